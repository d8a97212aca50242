//! What happened somewhere on the database, told by NOTIFY.

use uuid::Uuid;

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
    /// The set of controllers changed: read [`super::Services::trust`] again.
    TrustChanged,
    /// A sweep moved on.
    SweepChanged {
        /// Number of the sweep.
        sweep: i64,
    },
    /// The connection that carries events was away: anything may have happened.
    Resync,
}
