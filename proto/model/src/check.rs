//! Checks of a vantage: what surrounds the flows and decides about a domain join as they do.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Facts;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $unknown:ident, $what:literal, $($(#[$variant_doc:meta])* $variant:ident $word:literal;)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// All of them, in the order of tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in JSON, on the wire and in SQL.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        #[doc = concat!("A word that names no ", $what, ".")]
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        #[error("\"{0}\" is not a {what}; there are {known}", what = $what, known = [$($word),*].join(", "))]
        pub struct $unknown(pub String);

        impl std::str::FromStr for $name {
            type Err = $unknown;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|known| known.word() == word).ok_or_else(|| $unknown(word.to_owned()))
            }
        }
    };
}

words! {
    /// What is checked besides the flows.
    CheckKind, UnknownCheck, "check of a vantage",
    /// The resolvers that the host really uses: do they know the domain, and are they who they seem to be.
    Resolver "resolver";
    /// Every name that a member of the domain looks up, and what the names point to.
    SrvRecords "srv-records";
    /// The clock of a domain controller against this host's.
    Clock "clock";
    /// How large packets may be to a domain controller and back, and whether too large ones vanish.
    PathMtu "path-mtu";
    /// Whether a computer account of a given name exists.
    ComputerAccount "computer-account";
    /// Whether an account may join a computer.
    JoinRights "join-rights";
    /// The probe's own machine.
    Host "host";
}

words! {
    /// How a check of a vantage ended.
    CheckStatus, UnknownStatus, "status of a check",
    /// Nothing stands in the way.
    Ok "ok";
    /// It works, and something is not as it should be.
    Warning "warning";
    /// It will keep a computer from joining, or from working as a member.
    Problem "problem";
    /// It could not be found out.
    Unknown "unknown";
}

/// The result of a check of a vantage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Name of the vantage.
    pub vantage: String,
    /// The domain.
    pub domain: String,
    /// The target, where the check concerns one: its host name, or its address where it has no name.
    pub target: Option<String>,
    /// Address of the target.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// What was checked.
    pub check: CheckKind,
    /// How it ended.
    pub status: CheckStatus,
    /// What was found. The fact `reason` says why the status is not `ok`.
    pub facts: Facts,
    /// When it was observed; `None` when it was missed: then the status is `unknown` and there is a fact `missed`.
    pub observed_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_in_text_and_json() {
        for kind in CheckKind::ALL {
            assert_eq!(kind.word().parse(), Ok(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
        for status in CheckStatus::ALL {
            assert_eq!(status.word().parse(), Ok(*status));
            assert_eq!(serde_json::to_string(status).unwrap(), format!("\"{status}\""));
        }
        let error = "ping".parse::<CheckKind>().unwrap_err().to_string();
        assert!(error.contains("\"ping\"") && error.contains("path-mtu"), "{error}");
    }
}
