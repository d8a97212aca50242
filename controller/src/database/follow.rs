//! Follows the database to where it can be written to, as long as the controller runs.
//!
//! Every second all servers of the list are asked what they are. Where another one is to be worked on, or the same one
//! was started anew, new connections go there, and older ones are given up wherever the pool gets hold of them; who is
//! still at work on one is told by [`Standing::moves`]. A connection that lands on a server that must not be worked on is
//! refused before anybody gets it.

use std::time::Duration;

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnection, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    choice::{Fault, Present, choose},
    hosts::Host,
    look::{Posts, describe},
};

/// How often the servers are asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long a pooled connection may take to answer before it is given up.
const PING: Duration = Duration::from_secs(2);

/// Where the database is.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Host and port that are worked on, for people.
    pub place: String,
    /// Goes up whenever connections from before are of no use any more.
    pub moves: u64,
    /// Why nobody can be worked on, where that is so. It names hosts and holds nothing that is not for everybody.
    pub fault: Option<String>,
    present: Present,
    /// Connections from before are of no use.
    since: Instant,
}

impl Standing {
    pub(super) fn new(host: &Host, present: Present) -> Self {
        Self { place: host.place.clone(), moves: 0, fault: None, present, since: Instant::now() }
    }

    fn is_stale(&self, age: Duration) -> bool {
        Instant::now().checked_sub(age).is_none_or(|made| made < self.since)
    }
}

/// Lets a pool give out only connections to where the database is.
pub(super) fn guard(options: PgPoolOptions, standing: &watch::Receiver<Standing>) -> PgPoolOptions {
    let [made, taken, given_back] = [standing.clone(), standing.clone(), standing.clone()];
    options
        .after_connect(move |connection, _| {
            let standing = made.clone();
            Box::pin(async move { admit(connection, &standing).await })
        })
        // The pool itself would ask without a limit of time.
        .test_before_acquire(false)
        .before_acquire(move |connection, about| {
            let is_stale = taken.borrow().is_stale(about.age);
            Box::pin(
                async move { Ok(!is_stale && matches!(timeout(PING, connection.ping()).await, Ok(Ok(())))) },
            )
        })
        .after_release(move |_, about| {
            let is_stale = given_back.borrow().is_stale(about.age);
            Box::pin(async move { Ok(!is_stale) })
        })
}

async fn admit(
    connection: &mut PgConnection,
    standing: &watch::Receiver<Standing>,
) -> Result<(), sqlx::Error> {
    let server = describe(connection).await?;
    let standing = standing.borrow();
    server
        .check_against(&standing.present.server)
        .map_err(|fault| sqlx::Error::Configuration(format!("{}: {fault}", standing.place).into()))
}

/// Works until the pool is closed.
pub(super) async fn follow(mut posts: Posts, pool: PgPool, standing: watch::Sender<Standing>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closed = pool.close_event();
    loop {
        let answers = closed.do_until(async {
            ticks.tick().await;
            posts.look().await
        });
        let Ok(mut answers) = answers.await else { return };
        let chosen = choose(Some(&standing.borrow().present), &mut answers);
        match chosen.and_then(|present| posts.host(present.place).map(|host| (host, present))) {
            Some((host, present)) => arrive(&standing, &pool, host, present),
            None => {
                let public = posts.explain(&answers, Fault::for_strangers);
                if complain(&standing, public) {
                    let faults = posts.explain(&answers, ToString::to_string);
                    tracing::warn!(
                        faults,
                        "no host of the database can be worked on; looking on every second"
                    );
                }
            }
        }
    }
}

fn arrive(standing: &watch::Sender<Standing>, pool: &PgPool, host: &Host, present: Present) {
    let was = standing.borrow().clone();
    if was.present == present {
        if was.fault.is_some() {
            tracing::info!(database = was.place, "the database can be worked on again");
            standing.send_modify(|standing| standing.fault = None);
        }
        return;
    }
    let timeline = present.server.timeline;
    if was.present.place == present.place {
        tracing::info!(database = host.place, timeline, "the database was started anew");
    } else {
        tracing::warn!(database = host.place, timeline, from = was.place, "the database is at another host");
    }
    pool.set_connect_options(super::options(host));
    standing.send_modify(|standing| {
        *standing = Standing { moves: was.moves.wrapping_add(1), ..Standing::new(host, present) };
    });
}

/// Notes that nobody can be worked on, and says whether that is news.
fn complain(standing: &watch::Sender<Standing>, fault: String) -> bool {
    let mut is_news = false;
    standing.send_modify(|standing| is_news = standing.fault.replace(fault).is_none());
    is_news
}
