//! Whether a probe, and with it its vantage, can be counted on.
//!
//! Of a probe the first row that holds, from the top:
//!
//! | status | problem | when |
//! |---|---|---|
//! | `revoked` | no | an operator shut it out |
//! | `never` | yes | it enrolled and has never connected |
//! | `lost` | yes | it is not connected, or was not heard of for two heartbeats, and that for `lost_grace` |
//! | `late` | no | the same for a shorter time: it may be starting again |
//! | `stuck` | yes | it is heard of, was given work, and has neither handed in a result nor ended a job for `stuck_after` |
//! | `unwell` | yes | it says itself that something keeps it from working, or its clock is wrong |
//! | `online` | no | it is connected, was heard of lately, and nothing of the above |
//!
//! Only work that was given and not done makes a probe `stuck`: one that nobody asks for anything is `online`. It stays so
//! after its jobs are taken from it, until it hands something in, ends a job, or begins anew.
//!
//! A vantage of the inventory is covered by a probe that is `online` or `late`. One that is not has the status `no-probe`,
//! which is a problem.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Status of a vantage of the inventory that no probe covers.
pub const NO_PROBE: &str = "no-probe";

/// Clocks may differ by this much: what is observed is dated by the probe's.
pub const CLOCK: SignedDuration = SignedDuration::from_secs(60);

/// What can be said of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeStatus {
    /// Connected, heard of lately, and working or without work.
    Online,
    /// Not heard of for longer than it should be, but not for long.
    Late,
    /// Connected, and works on nothing of what it was given.
    Stuck,
    /// Connected, and something keeps it from working well.
    Unwell,
    /// Not heard of for a long time.
    Lost,
    /// Enrolled, and has not connected yet.
    Never,
    /// Shut out by an operator.
    Revoked,
}

impl ProbeStatus {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Online, Self::Late, Self::Stuck, Self::Unwell, Self::Lost, Self::Never, Self::Revoked];

    /// The word used in JSON, in metrics and on the terminal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Late => "late",
            Self::Stuck => "stuck",
            Self::Unwell => "unwell",
            Self::Lost => "lost",
            Self::Never => "never",
            Self::Revoked => "revoked",
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn is_problem(self) -> bool {
        match self {
            Self::Online | Self::Late | Self::Revoked => false,
            Self::Stuck | Self::Unwell | Self::Lost | Self::Never => true,
        }
    }

    /// Whether its vantage is covered by it.
    #[must_use]
    pub const fn covers(self) -> bool {
        match self {
            Self::Online | Self::Late => true,
            Self::Stuck | Self::Unwell | Self::Lost | Self::Never | Self::Revoked => false,
        }
    }
}

/// What is known of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signs {
    /// An operator shut it out.
    pub revoked: bool,
    /// It has a session.
    pub connected: bool,
    /// Since it was heard of; `None`: it never was.
    pub silent: Option<Duration>,
    /// Since it owes results or the end of a job; `None`: it owes nothing.
    pub owing: Option<Duration>,
    /// What it says keeps it from working.
    pub problems: Vec<String>,
    /// Its clock minus the controller's.
    pub clock: Option<SignedDuration>,
}

/// From when on something is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Silence of a connected probe.
    pub late: Duration,
    /// Silence of a probe that is not connected.
    pub lost: Duration,
    /// Time without a result of a probe that has work.
    pub stuck: Duration,
}

/// What is to be said of a probe, and why where that is not plain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub status: ProbeStatus,
    /// A sentence for people.
    pub why: Option<String>,
}

impl Signs {
    /// The first row of the table that holds.
    #[must_use]
    pub fn judge(&self, bounds: Bounds) -> Verdict {
        let is = |status, why: String| Verdict { status, why: Some(why) };
        if self.revoked {
            return Verdict { status: ProbeStatus::Revoked, why: None };
        }
        let Some(silent) = self.silent else {
            return is(ProbeStatus::Never, "it enrolled and has not connected".to_owned());
        };
        if !self.connected || silent >= bounds.late {
            let status = if silent >= bounds.lost { ProbeStatus::Lost } else { ProbeStatus::Late };
            let link = if self.connected { "it says nothing" } else { "it is not connected" };
            return is(status, format!("{link}; it was last heard of {} ago", rough(silent)));
        }
        if let Some(owing) = self.owing.filter(|owing| *owing >= bounds.stuck) {
            let why = format!(
                "it was given work, and has neither handed in nor ended anything for {}",
                rough(owing)
            );
            return is(ProbeStatus::Stuck, why);
        }
        let problems = self.problems();
        if problems.is_empty() {
            return Verdict { status: ProbeStatus::Online, why: None };
        }
        is(ProbeStatus::Unwell, problems.join("; "))
    }

    fn problems(&self) -> Vec<String> {
        let clock = self.clock.filter(|clock| clock.abs() > CLOCK).map(|clock| {
            let side = if clock.is_negative() { "behind" } else { "ahead" };
            format!("its clock is {} {side}", rough(clock.unsigned_abs()))
        });
        self.problems.iter().cloned().chain(clock).collect()
    }
}

/// Why a vantage is not covered, from the statuses of its probes; `None` where it is.
#[must_use]
pub fn uncovered(vantage: &str, probes: &[ProbeStatus]) -> Option<String> {
    if probes.iter().any(|status| status.covers()) {
        return None;
    }
    let mut counts = BTreeMap::<_, u32>::new();
    for status in probes.iter().filter(|status| **status != ProbeStatus::Revoked) {
        let count = counts.entry(*status).or_default();
        *count = count.saturating_add(1);
    }
    if counts.is_empty() {
        return Some(format!("no probe; make a token for one with: sekisho probe token --vantage {vantage}"));
    }
    let counts: Vec<String> =
        counts.iter().map(|(status, count)| format!("{count} {}", status.word())).collect();
    Some(format!("no probe that works: {}", counts.join(", ")))
}

/// A duration in its two largest units.
fn rough(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = duration.as_secs();
    let mut parts = Vec::new();
    for (seconds, name) in UNITS {
        let count = left.checked_div(seconds).unwrap_or(0);
        left = left.checked_rem(seconds).unwrap_or(0);
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "less than 1 s".to_owned() } else { parts.join(" ") }
}
