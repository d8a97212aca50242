//! What the spool holds, for people: its file is locked by the process that serves, so that this one writes down what it has.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context;
use jiff::Timestamp;
use redb::{Builder, Database, DatabaseError};
use serde::{Deserialize, Serialize};

use super::{FILE, Held, count};

const REPORT: &str = "spool.json";
/// Reports are this far apart at least.
const EVERY: Duration = Duration::from_secs(2);

/// What a spool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Depth {
    /// Observations that no controller has committed yet.
    pub(crate) observations: u64,
    pub(crate) bytes: u64,
    /// Jobs that they are of.
    pub(crate) jobs: usize,
    /// When the oldest one was made.
    pub(crate) oldest: Option<Timestamp>,
    /// Dropped because the spool was full or could not be written, since it was made.
    pub(crate) dropped_full: u64,
    /// Dropped because they were too old, since it was made.
    pub(crate) dropped_old: u64,
    /// When this was so.
    pub(crate) at: Timestamp,
    /// The process that has the spool open.
    pub(crate) agent: Option<u32>,
}

impl Depth {
    fn of(held: &Held, agent: Option<u32>) -> Self {
        Self {
            observations: held.rows,
            bytes: held.bytes,
            jobs: held.jobs.len(),
            oldest: held.oldest.and_then(|second| Timestamp::from_second(second).ok()),
            dropped_full: held.dropped,
            dropped_old: held.expired,
            at: Timestamp::now(),
            agent,
        }
    }
}

/// Writes reports, not too often.
pub(super) struct Report {
    written: Instant,
    told: Held,
}

impl Report {
    pub(super) fn begin(state: &Path, held: &Held) -> Self {
        write(state, held);
        Self { written: Instant::now(), told: held.clone() }
    }

    /// Writes one if there is something to tell, and the last is old.
    pub(super) fn write(&mut self, state: &Path, held: &Held) {
        if self.told != *held && self.written.elapsed() >= EVERY {
            self.written = Instant::now();
            self.told = held.clone();
            write(state, held);
        }
    }
}

fn write(state: &Path, held: &Held) {
    let text = serde_json::to_vec(&Depth::of(held, Some(std::process::id()))).unwrap_or_default();
    let (path, new) = (state.join(REPORT), state.join(format!("{REPORT}.new")));
    // Not worth waiting for the disk: a report that is lost is written again.
    if let Err(error) = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path)) {
        tracing::debug!(%error, "the report of the spool is not written");
    }
}

/// What the spool of a state directory holds: as the agent that serves wrote it last, else as it stands in the file. Nothing
/// is put aside or made.
///
/// # Errors
/// There is no spool, or it cannot be read; the text says what to do.
pub(crate) fn depth(state: &Path) -> anyhow::Result<Depth> {
    let path = state.join(FILE);
    anyhow::ensure!(
        path.exists(),
        "{} holds no spool: no probe has run on it yet; start one with: sekisho-probe run --state-dir {0}",
        state.display()
    );
    match Builder::new().open(&path) {
        Ok(database) => read(&database).with_context(|| format!("cannot read {}", path.display())),
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            let report = state.join(REPORT);
            let text = std::fs::read(&report).with_context(|| {
                format!(
                    "the spool is open in another process, and {} cannot be read; try again",
                    report.display()
                )
            })?;
            serde_json::from_slice(&text).with_context(|| format!("{} is damaged", report.display()))
        }
        Err(error) => Err(error).with_context(|| {
            format!("{} is damaged; the probe puts it aside when it starts", path.display())
        }),
    }
}

fn read(database: &Database) -> anyhow::Result<Depth> {
    Ok(Depth::of(&count(database)?, None))
}
