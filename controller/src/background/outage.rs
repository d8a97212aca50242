//! An outage of the database is logged once when it begins and once when it ends.

use std::{error::Error, time::Instant};

/// Whether the database is away.
pub(super) struct Outage {
    what: &'static str,
    since: Option<Instant>,
}

impl Outage {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, since: None }
    }

    /// Notes a failure.
    pub(super) fn failed(&mut self, error: &(dyn Error + 'static)) {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::error!(error, "{} stopped; trying again until the database is back", self.what);
        }
    }

    /// Notes a success. Says whether it ends an outage.
    pub(super) fn worked(&mut self) -> bool {
        let Some(since) = self.since.take() else { return false };
        tracing::info!(seconds = since.elapsed().as_secs(), "{} works again", self.what);
        true
    }
}
