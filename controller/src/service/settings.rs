//! The time limits that the controller works with.

use std::time::Duration;

use sekisho_domain::health::Bounds;
use sekisho_proto::limits::{CONTROLLERS, JOBS_PER_PROBE, TASKS_PER_JOB, TEXT_BYTES};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time limits, with defaults. All controllers of one database should have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// A probe sends a heartbeat this often; three missed ones end its session.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "heartbeat")]
    pub heartbeat: Duration,
    /// A probe not heard of for this long does not count as connected.
    #[serde(with = "duration")]
    pub live_window: Duration,
    /// Jobs of a vantage that has no connected probe for this long are missed.
    #[serde(with = "duration")]
    pub probe_grace: Duration,
    /// Jobs whose probe is away for this long go to another probe of the vantage, or are missed.
    #[serde(with = "duration")]
    pub lost_grace: Duration,
    /// A connected probe that has work, and for this long neither hands in a result nor ends a job, is stuck.
    #[serde(with = "duration")]
    pub stuck_after: Duration,
    /// The last observations of a job may take this long after its probe said that it is through with it; what is still
    /// missing then was refused.
    #[serde(with = "duration")]
    pub result_grace: Duration,
    /// The flows of a sweep are planned this long after its start even if discovery has not ended everywhere.
    #[serde(with = "duration")]
    pub discovery_wait: Duration,
    /// A sweep ends this long after its start; what was not tested is missed.
    #[serde(with = "duration")]
    pub sweep_deadline: Duration,
    /// Observations are kept this long after the day of their sweep; then its jobs and their observations go, and what they
    /// came to stays in numbers and spans. From one day to ten years.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "keep")]
    pub keep_observations: Duration,
    /// Attempts of flows that had not changed, and facts of those that are open, are kept this long. As above.
    #[serde(serialize_with = "duration::serialize", deserialize_with = "keep")]
    pub keep_details: Duration,
    /// A probe that holds the plan of a night and has had no controller for this long begins it by itself.
    #[serde(with = "duration")]
    pub plan_grace: Duration,
    /// Where probes reach the controllers, `https://HOST:PORT`: they are told, and try these besides those that they were given.
    #[serde(deserialize_with = "controllers")]
    pub controllers: Vec<String>,
    /// How often the controller looks for work that nobody told it of.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// What comes back within this time after it was told to be over is not told again before it is.
    #[serde(with = "duration")]
    pub alert_hold: Duration,
    /// A notice that could not be delivered is tried again after this pause, and each time after one twice as long, up to
    /// a quarter of an hour.
    #[serde(with = "duration")]
    pub alert_retry: Duration,
    /// A notice that could not be delivered for this long is given up.
    #[serde(with = "duration")]
    pub alert_give_up: Duration,
    /// Most jobs that one probe holds at a time.
    #[serde(deserialize_with = "jobs_per_probe")]
    pub jobs_per_probe: u32,
    /// Most tasks in one job.
    #[serde(deserialize_with = "tasks_per_job")]
    pub tasks_per_job: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            live_window: Duration::from_secs(20),
            probe_grace: Duration::from_secs(15),
            lost_grace: Duration::from_secs(60),
            stuck_after: Duration::from_secs(5 * 60),
            result_grace: Duration::from_secs(10),
            discovery_wait: Duration::from_secs(30),
            sweep_deadline: Duration::from_secs(15 * 60),
            keep_observations: 30 * DAY,
            keep_details: 3 * DAY,
            plan_grace: Duration::from_secs(20),
            controllers: Vec::new(),
            tick: Duration::from_secs(1),
            alert_hold: Duration::from_secs(6 * 60 * 60),
            alert_retry: Duration::from_secs(5),
            alert_give_up: Duration::from_secs(24 * 60 * 60),
            jobs_per_probe: 4,
            tasks_per_job: TASKS_PER_JOB,
        }
    }
}

impl Settings {
    /// From when on a probe is late, lost or stuck.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        Bounds { late: self.heartbeat.saturating_mul(2), lost: self.lost_grace, stuck: self.stuck_after }
    }

    /// Says what does not fit together.
    ///
    /// # Errors
    /// When healthy probes would count as lost.
    pub fn check(&self) -> Result<(), String> {
        let least = self.heartbeat.saturating_mul(2);
        if self.live_window < least {
            return Err(format!(
                "live_window is {:?}; with a heartbeat of {:?} it must be at least {least:?}, or healthy probes lose \
                 their sessions",
                self.live_window, self.heartbeat
            ));
        }
        Ok(())
    }
}

/// Probes are told a heartbeat in whole seconds.
fn heartbeat<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let heartbeat = duration::deserialize(deserializer)?;
    if heartbeat.as_secs() > 0 && heartbeat.subsec_nanos() == 0 {
        Ok(heartbeat)
    } else {
        Err(D::Error::custom(format!("a heartbeat takes whole seconds, not {heartbeat:?}")))
    }
}

fn keep<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let keep = duration::any(deserializer)?;
    if (DAY..=3_653 * DAY).contains(&keep) {
        Ok(keep)
    } else {
        Err(D::Error::custom(format!("results are kept from 1 day to 10 years, not {keep:?}")))
    }
}

fn controllers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let list = Vec::<String>::deserialize(deserializer)?;
    if list.len() > CONTROLLERS {
        return Err(D::Error::custom(format!(
            "controllers names {}; at most {CONTROLLERS} are told",
            list.len()
        )));
    }
    let is_address = |address: &str| {
        let place = address.strip_prefix("https://").and_then(|place| place.rsplit_once(':'));
        place.is_some_and(|(host, port)| {
            !host.is_empty()
                && !host.contains('/')
                && port.parse::<u16>().is_ok()
                && address.len() <= TEXT_BYTES
        })
    };
    match list.iter().find(|address| !is_address(address)) {
        Some(bad) => Err(D::Error::custom(format!("controllers: {bad:?} is not https://HOST:PORT"))),
        None => Ok(list),
    }
}

fn jobs_per_probe<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let jobs = u32::deserialize(deserializer)?;
    let most = u32::try_from(JOBS_PER_PROBE).unwrap_or(u32::MAX);
    if (1..=most).contains(&jobs) {
        Ok(jobs)
    } else {
        Err(D::Error::custom(format!("jobs_per_probe is a number from 1 to {most}, not {jobs}")))
    }
}

fn tasks_per_job<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let tasks = usize::deserialize(deserializer)?;
    if (1..=TASKS_PER_JOB).contains(&tasks) {
        Ok(tasks)
    } else {
        Err(D::Error::custom(format!("tasks_per_job is a number from 1 to {TASKS_PER_JOB}, not {tasks}")))
    }
}

/// Durations as people write them: `15s`, `2m 30s`.
mod duration {
    use std::time::Duration;

    use jiff::fmt::serde::unsigned_duration::friendly::compact::required as friendly;
    use serde::{Deserializer, Serializer, de::Error as _};

    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        friendly::serialize(duration, serializer)
    }

    pub(super) fn any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        friendly::deserialize(deserializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let duration = any(deserializer)?;
        if (SHORTEST..=LONGEST).contains(&duration) {
            Ok(duration)
        } else {
            Err(D::Error::custom(format!("a duration is from 10ms to 7 days, not {duration:?}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_people_write_them() {
        let text =
            "lost_grace = \"2m 30s\"\njobs_per_probe = 8\ncontrollers = [\"https://[fd00::1]:7443\"]\n";
        let settings: Settings = toml::from_str(text).unwrap();
        assert_eq!((settings.lost_grace, settings.jobs_per_probe), (Duration::from_secs(150), 8));
        assert_eq!(settings.heartbeat, Settings::default().heartbeat);
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
    }

    #[test]
    fn a_probe_is_not_lost_before_its_heartbeat_is_due() {
        Settings::default().check().unwrap();
        let hasty = Settings { live_window: Duration::from_secs(1), ..Settings::default() };
        let refused = hasty.check().unwrap_err();
        assert!(refused.contains("live_window is 1s") && refused.contains("10s"), "{refused}");
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for text in [
            "tick = \"0s\"",
            "keep_observations = \"23h\"",
            "keep_details = \"11y\"",
            "tick = 1",
            "heartbeat = \"8d\"",
            "heartbeat = \"100ms\"",
            "heartbeat = \"1500ms\"",
            "jobs_per_probe = 0",
            "tasks_per_job = 2049",
            "controllers = [\"https://a\"]",
            "controllers = [\"http://a:1\"]",
            "controllers = [\"https://a:7443/\"]",
            "plan_grace = \"0s\"",
            "x = 1",
        ] {
            assert!(toml::from_str::<Settings>(text).is_err(), "{text}");
        }
    }
}
