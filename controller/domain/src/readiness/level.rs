//! How well a join goes, as far as that is known.

use serde::{Deserialize, Serialize};

/// How well a join goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It works.
    Ready,
    /// It may work.
    AtRisk,
    /// It does not.
    Blocked,
}

/// How well a join goes at best and at worst: what is not known can make it either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// If all that is not known is well.
    pub best: Level,
    /// If none of it is.
    pub worst: Level,
}

impl Range {
    /// It is known.
    #[must_use]
    pub const fn exactly(level: Level) -> Self {
        Self { best: level, worst: level }
    }

    /// It is not known.
    #[must_use]
    pub const fn up_to(worst: Level) -> Self {
        Self { best: Level::Ready, worst }
    }

    /// Of two things that both matter: the worse one counts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { best: self.best.max(other.best), worst: self.worst.max(other.worst) }
    }

    /// The level, where it is known.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        match self.best {
            _ if self.best != self.worst => Verdict::Unknown,
            Level::Ready => Verdict::Ready,
            Level::AtRisk => Verdict::AtRisk,
            Level::Blocked => Verdict::Blocked,
        }
    }
}

/// Whether a computer can join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It can.
    Ready,
    /// It can, if it is lucky: not every domain controller is well, or something is not as it should be.
    AtRisk,
    /// It cannot.
    Blocked,
    /// What was not tested decides.
    Unknown,
}

impl Verdict {
    /// The word used in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::AtRisk => "at-risk",
            Self::Blocked => "blocked",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}
