//! What came of a check.

use serde::{Deserialize, Serialize};

/// The outcome of one task: what is known of the flow, and so where the fault lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The target answered: the handshake completed and, where the service has a protocol, a valid reply came.
    Open,
    /// The target itself refused: its own RST, or its own ICMP port unreachable.
    Closed,
    /// Silence through all attempts.
    Filtered,
    /// Somebody else refused: an ICMP prohibition from a device, or a RST that is not the target's.
    Rejected,
    /// Routing said no: no route, host or net unreachable, TTL exceeded.
    Unreachable,
    /// The handshake completed and then no reply of the protocol came.
    Mute,
    /// A reply came, but not of the protocol, or not of this domain.
    Wrong,
    /// The probe could not test. Never counted as blocked.
    Failed,
    /// Not tested in this sweep. Never shown as green, never as unchanged.
    Missed,
}

/// A word that names no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not an outcome; outcomes are open, closed, filtered, rejected, unreachable, mute, wrong, failed, missed"
)]
pub struct UnknownOutcome(pub String);

impl Outcome {
    /// Every outcome, in the order of the legend.
    pub const ALL: [Self; 9] = [
        Self::Open,
        Self::Closed,
        Self::Filtered,
        Self::Rejected,
        Self::Unreachable,
        Self::Mute,
        Self::Wrong,
        Self::Failed,
        Self::Missed,
    ];

    /// The word used in JSON, in SQL and on the terminal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Filtered => "filtered",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
            Self::Mute => "mute",
            Self::Wrong => "wrong",
            Self::Failed => "failed",
            Self::Missed => "missed",
        }
    }

    /// Whether the flow was tested and does not work.
    #[must_use]
    pub const fn is_blocked(self) -> bool {
        match self {
            Self::Closed | Self::Filtered | Self::Rejected | Self::Unreachable | Self::Mute | Self::Wrong => {
                true
            }
            Self::Open | Self::Failed | Self::Missed => false,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

impl std::str::FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|o| o.word() == word).ok_or_else(|| UnknownOutcome(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_match_json() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.word().parse(), Ok(outcome));
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.word()));
        }
        assert!("green".parse::<Outcome>().is_err());
    }
}
