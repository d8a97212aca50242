//! The JSON contract of the matrix. Fields may be added, never renamed or removed.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Check, Need, Outcome, Service, Transport};

/// The value of a fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Fact {
    /// Yes or no.
    Flag(bool),
    /// A number; its unit is in the fact's name.
    Integer(i64),
    /// Words.
    Text(String),
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Fact {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Fact {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Fact {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

/// What an exchange told about the target, by kebab-case name.
pub type Facts = BTreeMap<String, Fact>;

/// Evidence: one attempt of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Start, microseconds after the start of the check.
    pub at_us: u64,
    /// How long until it was decided or given up, microseconds.
    pub took_us: u64,
    /// Local port, `None` for ICMP.
    pub source_port: Option<u16>,
    /// What happened, one word: `reply`, `silence`, `rst`, `icmp`, `reset`, `closed`, `mute`, `wrong`, `error`.
    pub signal: String,
    /// ICMP type and code, where the signal is ICMP.
    pub icmp: Option<(u8, u8)>,
    /// Who sent the ICMP message.
    pub offender: Option<IpAddr>,
    /// IP TTL that it was sent with, where not the system's default.
    pub ttl: Option<u8>,
    /// Bytes of the protocol that were sent, without headers.
    #[serde(default)]
    pub sent_bytes: u32,
    /// Bytes of the protocol that came back.
    #[serde(default)]
    pub received_bytes: u32,
}

/// One square of the matrix: a flow and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Name of the vantage, or of this host for a local check.
    pub vantage: String,
    /// The vantage's subnet, where it has one.
    pub subnet: Option<IpNet>,
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
    /// The service's transport.
    pub transport: Transport,
    /// How much a domain join needs the service.
    pub need: Need,
    /// The service's port, where it has one; for an RPC interface the one that the endpoint mapper told.
    pub port: Option<u16>,
    /// The outcome.
    pub outcome: Outcome,
    /// Address of the device that refused, where it is known.
    pub by: Option<IpAddr>,
    /// Round trip of the attempt that decided, microseconds.
    pub rtt_us: Option<u32>,
    /// How many attempts were made.
    pub attempts: u32,
    /// A change was tested again and seen again.
    pub confirmed: bool,
    /// What the exchange told.
    pub facts: Facts,
    /// Every attempt, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Attempt>,
    /// When it was observed; `None` when it was missed.
    pub observed_at: Option<Timestamp>,
}

impl Cell {
    /// A flow with its outcome, and no more.
    #[must_use]
    pub fn bare(
        vantage: &str,
        subnet: Option<IpNet>,
        (target, address): (&str, IpAddr),
        service: Service,
        outcome: Outcome,
    ) -> Self {
        Self {
            vantage: vantage.to_owned(),
            subnet,
            target: target.to_owned(),
            address,
            service,
            transport: service.transport(),
            need: service.need(),
            port: service.port(),
            outcome,
            by: None,
            rtt_us: None,
            attempts: 0,
            confirmed: false,
            facts: Facts::new(),
            evidence: Vec::new(),
            observed_at: None,
        }
    }
}

impl Cell {
    /// The port of a service: its own, or the fact `port` where the service has none.
    #[must_use]
    pub fn port_of(service: Service, facts: &Facts) -> Option<u16> {
        service.port().or_else(|| match facts.get("port") {
            Some(Fact::Integer(port)) => u16::try_from(*port).ok().filter(|port| *port > 0),
            Some(Fact::Flag(_) | Fact::Text(_)) | None => None,
        })
    }
}

/// Where a sweep stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SweepState {
    /// Jobs are out.
    Running,
    /// Everything that was planned was observed.
    Complete,
    /// Ended with missed flows or checks.
    Partial,
    /// Ended by the operator.
    Cancelled,
}

impl SweepState {
    /// The word used in JSON and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Partial => "partial",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Running, Self::Complete, Self::Partial, Self::Cancelled].into_iter().find(|s| s.word() == word)
    }
}

/// One sweep in numbers: of tasks, which are flows to test and checks of vantages alike. Once it is not running,
/// planned = observed + missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepSummary {
    /// Number of the sweep.
    pub id: i64,
    /// Where it stands.
    pub state: SweepState,
    /// Name of the profile.
    pub profile: String,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When the last job ended.
    pub finished_at: Option<Timestamp>,
    /// Tasks: flows to test and checks to do.
    pub planned: i64,
    /// How many of the planned tasks are checks of a vantage.
    #[serde(default)]
    pub checks: i64,
    /// Tasks with a result.
    pub observed: i64,
    /// Tasks that will not be done in this sweep any more.
    pub missed: i64,
}

impl SweepSummary {
    /// What is planned, in words: `108 flows`, `108 flows and 12 checks`.
    #[must_use]
    pub fn planned_words(&self) -> String {
        let counted = |count: i64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let flows = counted(self.planned.saturating_sub(self.checks), "flow");
        if self.checks == 0 { flows } else { format!("{flows} and {}", counted(self.checks, "check")) }
    }
}

/// The matrix: vantages against services of targets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// The sweep; `None` for a local check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<SweepSummary>,
    /// The time that it shows, where it is of no one sweep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// One per flow.
    pub cells: Vec<Cell>,
    /// One per check of a vantage.
    pub checks: Vec<Check>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(port: impl Into<Fact>) -> Facts {
        Facts::from([("port".to_owned(), port.into())])
    }

    #[test]
    fn an_rpc_interface_has_the_port_that_was_mapped() {
        let service = |name: &str| name.parse::<Service>().unwrap();
        assert_eq!(Cell::port_of(service("rpc-lsa"), &facts(49_671_i64)), Some(49_671));
        assert_eq!(Cell::port_of(service("smb"), &facts(1_i64)), Some(445));
        assert_eq!(Cell::port_of(service("rpc-lsa"), &Facts::new()), None);
        for strange in [facts(0_i64), facts(-1_i64), facts(65_536_i64), facts("49671"), facts(true)] {
            assert_eq!(Cell::port_of(service("rpc-lsa"), &strange), None, "{strange:?}");
        }
    }

    #[test]
    fn flows_and_checks_are_told_apart() {
        let words = |planned, checks| {
            let started_at = Timestamp::UNIX_EPOCH;
            SweepSummary {
                id: 1,
                state: SweepState::Running,
                profile: "ports".to_owned(),
                started_at,
                finished_at: None,
                planned,
                checks,
                observed: 0,
                missed: 0,
            }
            .planned_words()
        };
        assert_eq!(words(108, 0), "108 flows");
        assert_eq!(words(120, 12), "108 flows and 12 checks");
        assert_eq!(words(2, 1), "1 flow and 1 check");
        assert_eq!(words(3, 3), "0 flows and 3 checks");
    }
}
