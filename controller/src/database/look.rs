//! Asks every server of the list what it is, on connections that are kept for it.

use std::time::Duration;

use sqlx::{Connection as _, postgres::PgConnection};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};

use super::{
    choice::{Answer, Fault, Server},
    hosts::Host,
};

/// How long a server may take to be connected to and to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a kept connection may take to answer before another one is tried.
const KEPT: Duration = Duration::from_secs(2);
/// How long the others may still take when one that can be worked on has answered.
const LATE: Duration = Duration::from_secs(1);

/// A connection to each server.
#[derive(Debug)]
pub(super) struct Posts {
    hosts: Vec<Host>,
    kept: Vec<Option<PgConnection>>,
}

impl Posts {
    pub(super) fn new(hosts: Vec<Host>) -> Self {
        let kept = hosts.iter().map(|_| None).collect();
        Self { hosts, kept }
    }

    pub(super) fn host(&self, place: usize) -> Option<&Host> {
        self.hosts.get(place)
    }

    /// What each server says, in the order of the list.
    pub(super) async fn look(&mut self) -> Vec<Answer> {
        let mut asked = JoinSet::new();
        for (place, (host, kept)) in self.hosts.iter().zip(&mut self.kept).enumerate() {
            let (host, kept) = (host.clone(), kept.take());
            asked.spawn(async move { (place, timeout(PATIENCE, ask(&host, kept)).await) });
        }
        let mut answers: Vec<Answer> = self.hosts.iter().map(|_| Err(Fault::Silent)).collect();
        let mut end = Instant::now() + PATIENCE;
        while let Ok(Some(joined)) = timeout_at(end, asked.join_next()).await {
            let Ok((place, Ok(answer))) = joined else { continue };
            let (answer, connection) = match answer {
                Ok((server, connection)) => (Ok(server), Some(connection)),
                Err(error) => (Err(Fault::Away(error)), None),
            };
            if answer.as_ref().is_ok_and(|server| server.check().is_ok()) {
                end = end.min(Instant::now() + LATE);
            }
            if let (Some(kept), Some(told)) = (self.kept.get_mut(place), answers.get_mut(place)) {
                (*kept, *told) = (connection, answer);
            }
        }
        answers
    }

    /// Why nobody is worked on, server by server, in these words.
    pub(super) fn explain(&self, answers: &[Answer], words: impl Fn(&Fault) -> String) -> String {
        let faults = self.hosts.iter().zip(answers).filter_map(|(host, answer)| {
            answer.as_ref().err().map(|fault| format!("{}: {}", host.place, words(fault)))
        });
        faults.collect::<Vec<_>>().join("; ")
    }
}

async fn ask(host: &Host, kept: Option<PgConnection>) -> Result<(Server, PgConnection), sqlx::Error> {
    if let Some(mut connection) = kept
        && let Ok(Ok(server)) = timeout(KEPT, describe(&mut connection)).await
    {
        return Ok((server, connection));
    }
    let mut connection = PgConnection::connect_with(&host.options).await?;
    let server = describe(&mut connection).await?;
    Ok((server, connection))
}

/// What the server of a connection says of itself.
pub(super) async fn describe(connection: &mut PgConnection) -> Result<Server, sqlx::Error> {
    let told = sqlx::query_as(
        "SELECT system_identifier::text AS system,
                CASE WHEN pg_is_in_recovery() THEN 0
                     ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint END AS timeline,
                (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
                pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only')::boolean AS is_read_only
         FROM pg_control_system()",
    )
    .fetch_one(&mut *connection)
    .await;
    match told {
        // A service that others run may keep these functions to itself: then there is no timeline to compare.
        Err(sqlx::Error::Database(error)) => {
            tracing::debug!(%error, "the database does not tell its timeline");
        }
        told => return told,
    }
    sqlx::query_as(
        "SELECT '' AS system, 0::bigint AS timeline,
                (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
                pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only')::boolean AS is_read_only",
    )
    .fetch_one(connection)
    .await
}
