//! Whether a controller is there, and since when.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::plans::rule::Presence;

/// Sessions as they come and go. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Attendance {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    is_here: bool,
    /// Since when it is so; at first the start of the process.
    since: Instant,
    /// Planned jobs whose run the controller of the session has begun.
    begun: HashSet<Uuid>,
}

impl Default for Attendance {
    fn default() -> Self {
        let state = State { is_here: false, since: Instant::now(), begun: HashSet::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }
}

impl Attendance {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, is_here: bool) {
        *self.state() = State { is_here, since: Instant::now(), begun: HashSet::new() };
    }

    /// A session begins, and ends when what this gives is dropped.
    pub(super) fn here(&self) -> Here {
        self.set(true);
        Here(self.clone())
    }

    /// The controller of the session has begun the runs of these.
    pub(super) fn begun(&self, jobs: HashSet<Uuid>) {
        self.state().begun = jobs;
    }

    /// Whether a controller is there for a planned job.
    pub(super) fn of(&self, job: Uuid) -> Presence {
        let state = self.state();
        let since = state.since.elapsed();
        if state.is_here {
            Presence::Here { since, begun: state.begun.contains(&job) }
        } else {
            Presence::Away(since)
        }
    }
}

/// A session.
#[derive(Debug)]
pub(super) struct Here(Attendance);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
