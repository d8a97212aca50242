//! Tasks, as they stand in a job or in a part of a plan: both have the same lists.
//!
//! The statements are macros, because a statement is one text: `$of` is the table under the name `o`, `$rest` says which row.

use std::net::IpAddr;

use sqlx::FromRow;

/// One flow that is to be tested.
#[derive(FromRow)]
pub(crate) struct CheckTask {
    pub(crate) number: i64,
    pub(crate) target_id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) domain: String,
    pub(crate) service: String,
    /// Letter of what the flow was when it was last tested.
    pub(crate) last_outcome: Option<i8>,
}

/// Asks for flows, each with its last outcome at `$vantage`.
macro_rules! check_tasks {
    ($of:literal, $vantage:literal, $rest:literal) => {
        concat!(
            "SELECT task.number - 1 AS number, task.target_id, t.host, t.address, d.name AS domain, s.name AS service,
                    p.outcomes[array_position(p.services, task.service_id)] AS last_outcome
             FROM ",
            $of,
            " o
             CROSS JOIN LATERAL unnest(o.task_targets, o.task_services) WITH ORDINALITY
                 AS task (target_id, service_id, number)
             JOIN target t ON t.id = task.target_id
             JOIN domain d ON d.id = t.domain_id
             JOIN service s ON s.id = task.service_id
             LEFT JOIN span p ON p.vantage_id = ",
            $vantage,
            " AND p.target_id = task.target_id
             WHERE ",
            $rest,
            " ORDER BY task.number"
        )
    };
}

/// One check of a vantage that is to be done.
#[derive(FromRow)]
pub(crate) struct VantageTask {
    pub(crate) number: i64,
    pub(crate) kind: String,
    pub(crate) domain: String,
    pub(crate) dns_servers: Vec<IpAddr>,
    pub(crate) target_id: Option<i32>,
    pub(crate) computer: Option<String>,
}

/// Asks for checks of a vantage.
macro_rules! vantage_tasks {
    ($of:literal, $rest:literal) => {
        concat!(
            "SELECT task.number - 1 AS number, task.kind, d.name AS domain, d.dns_servers, task.target_id, task.computer
             FROM ",
            $of,
            " o
             CROSS JOIN LATERAL unnest(o.task_checks, o.domain_ids, o.task_targets, o.task_computers) WITH ORDINALITY
                 AS task (kind, domain_id, target_id, computer, number)
             JOIN domain d ON d.id = task.domain_id
             WHERE ",
            $rest,
            " ORDER BY task.number"
        )
    };
}

/// A domain controller that checks may have to talk to.
#[derive(FromRow)]
pub(crate) struct KnownTarget {
    pub(crate) id: i32,
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) domain: String,
}

/// Asks for the domain controllers that checks may have to talk to, in the order in which they were written down.
macro_rules! known_targets {
    ($of:literal, $rest:literal) => {
        concat!(
            "SELECT t.id, t.host, t.address, d.name AS domain
             FROM ",
            $of,
            " o
             CROSS JOIN LATERAL unnest(o.known_targets) WITH ORDINALITY AS known (target_id, place)
             JOIN target t ON t.id = known.target_id
             JOIN domain d ON d.id = t.domain_id
             WHERE ",
            $rest,
            " ORDER BY known.place"
        )
    };
}

pub(super) use {check_tasks, known_targets, vantage_tasks};
