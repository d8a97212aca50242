//! Events between controllers: NOTIFY, sent when the transaction commits.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Named, Result};

/// Something that a session, a waiting request or the TLS side may have to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Jobs are queued for the vantage.
    JobQueued {
        /// Key of the vantage.
        vantage: i32,
    },
    /// Jobs given to the probe are no longer wanted.
    JobsCancelled {
        /// The probe.
        probe: Uuid,
    },
    /// Another session took over for the probe.
    SessionOpened {
        /// The probe.
        probe: Uuid,
        /// The session that counts from here on.
        session: Uuid,
    },
    /// The probe's certificates are no longer accepted.
    ProbeRevoked {
        /// The probe.
        probe: Uuid,
    },
    /// The set of controllers changed: read the trust list again.
    TrustChanged,
    /// What probes are to do when no controller is there is another.
    PlansChanged,
    /// A sweep moved on.
    SweepChanged {
        /// Number of the sweep.
        sweep: i64,
    },
    /// The connection that carries events was away: anything may have happened.
    Resync,
}

/// Channels that a controller listens on.
pub(crate) const CHANNELS: [&str; 7] = [
    "sekisho_job",
    "sekisho_cancel",
    "sekisho_session",
    "sekisho_revoked",
    "sekisho_trust",
    "sekisho_plan",
    "sekisho_sweep",
];

/// Asks for what is asked for already, by which nothing changes: it tells whether the database is still there.
pub(crate) const STILL: &str = "LISTEN sekisho_job";

/// Tells every controller, once the transaction commits. [`Event::Resync`] is never sent: it stands for what was missed.
pub(crate) async fn send(connection: &mut PgConnection, event: Event) -> Result<()> {
    let (channel, payload) = match event {
        Event::JobQueued { vantage } => ("sekisho_job", vantage.to_string()),
        Event::JobsCancelled { probe } => ("sekisho_cancel", probe.to_string()),
        Event::SessionOpened { probe, session } => ("sekisho_session", format!("{probe} {session}")),
        Event::ProbeRevoked { probe } => ("sekisho_revoked", probe.to_string()),
        Event::TrustChanged => ("sekisho_trust", String::new()),
        Event::PlansChanged => ("sekisho_plan", String::new()),
        Event::SweepChanged { sweep } => ("sekisho_sweep", sweep.to_string()),
        Event::Resync => return Ok(()),
    };
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(channel)
        .bind(payload)
        .execute(connection)
        .await
        .named("sending an event")?;
    Ok(())
}

/// The event of a notification; `None` when another version sent something that this one does not know.
pub(crate) fn read(channel: &str, payload: &str) -> Option<Event> {
    let uuid = |text: &str| text.parse::<Uuid>().ok();
    match channel {
        "sekisho_job" => Some(Event::JobQueued { vantage: payload.parse().ok()? }),
        "sekisho_cancel" => Some(Event::JobsCancelled { probe: uuid(payload)? }),
        "sekisho_session" => {
            let (probe, session) = payload.split_once(' ')?;
            Some(Event::SessionOpened { probe: uuid(probe)?, session: uuid(session)? })
        }
        "sekisho_revoked" => Some(Event::ProbeRevoked { probe: uuid(payload)? }),
        "sekisho_trust" => Some(Event::TrustChanged),
        "sekisho_plan" => Some(Event::PlansChanged),
        "sekisho_sweep" => Some(Event::SweepChanged { sweep: payload.parse().ok()? }),
        _ => None,
    }
}
