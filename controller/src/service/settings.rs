//! The time limits that the controller works with.

use std::time::Duration;

use jiff::fmt::serde::unsigned_duration::friendly::compact::required as friendly;
use serde::{Deserialize, Serialize};

/// Time limits, with defaults. All controllers of one database should have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A probe sends a heartbeat this often; three missed ones end its session.
    #[serde(with = "friendly")]
    pub heartbeat: Duration,
    /// A probe not heard of for this long does not count as connected.
    #[serde(with = "friendly")]
    pub live_window: Duration,
    /// Jobs of a vantage that has no connected probe for this long are missed.
    #[serde(with = "friendly")]
    pub probe_grace: Duration,
    /// Jobs whose probe is away for this long go to another probe of the vantage, or are missed.
    #[serde(with = "friendly")]
    pub lost_grace: Duration,
    /// The flows of a sweep are planned this long after its start even if discovery has not ended everywhere.
    #[serde(with = "friendly")]
    pub discovery_wait: Duration,
    /// A sweep ends this long after its start; what was not tested is missed.
    #[serde(with = "friendly")]
    pub sweep_deadline: Duration,
    /// How often the controller looks for work that nobody told it of.
    #[serde(with = "friendly")]
    pub tick: Duration,
    /// Most jobs that one probe holds at a time.
    pub jobs_per_probe: u32,
    /// Most tasks in one job.
    pub tasks_per_job: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            live_window: Duration::from_secs(20),
            probe_grace: Duration::from_secs(15),
            lost_grace: Duration::from_secs(60),
            discovery_wait: Duration::from_secs(30),
            sweep_deadline: Duration::from_secs(15 * 60),
            tick: Duration::from_secs(1),
            jobs_per_probe: 4,
            tasks_per_job: sekisho_proto::limits::TASKS_PER_JOB,
        }
    }
}
