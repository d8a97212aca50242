//! Messages of the wire to values of the probe and back: the one place that knows both.

mod job;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use sekisho_model::{Attempt, CheckStatus, Fact, Facts, Outcome};
use sekisho_proto::{limits, v1};
use uuid::Uuid;

use crate::runner::{Observed, Target};

pub(crate) use job::{Job, JobTask, job};

/// A UUID of 16 bytes.
pub(crate) fn uuid(bytes: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(bytes).ok()
}

/// Cuts a text to what the wire allows, at a character.
fn clipped(text: &str) -> String {
    let end = (0..=limits::TEXT_BYTES.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
    text.get(..end.unwrap_or(0)).unwrap_or_default().to_owned()
}

const fn outcome_out(outcome: Outcome) -> v1::Outcome {
    match outcome {
        Outcome::Open => v1::Outcome::Open,
        Outcome::Closed => v1::Outcome::Closed,
        Outcome::Filtered => v1::Outcome::Filtered,
        Outcome::Rejected => v1::Outcome::Rejected,
        Outcome::Unreachable => v1::Outcome::Unreachable,
        Outcome::Mute => v1::Outcome::Mute,
        Outcome::Wrong => v1::Outcome::Wrong,
        Outcome::Failed => v1::Outcome::Failed,
        Outcome::Missed => v1::Outcome::Missed,
    }
}

const fn status_out(status: CheckStatus) -> v1::CheckStatus {
    match status {
        CheckStatus::Ok => v1::CheckStatus::Ok,
        CheckStatus::Warning => v1::CheckStatus::Warning,
        CheckStatus::Problem => v1::CheckStatus::Problem,
        CheckStatus::Unknown => v1::CheckStatus::Unknown,
    }
}

/// What an observation is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) job: Uuid,
    /// The probe began the job by itself.
    pub(crate) autonomous: bool,
}

/// An observation for the wire.
pub(crate) fn observation(origin: Origin, observed: Observed, discovered: &[Target]) -> v1::Observation {
    v1::Observation {
        job: origin.job.as_bytes().to_vec(),
        task: observed.number,
        outcome: outcome_out(observed.outcome).into(),
        by: observed.by.map(|by| by.to_string()).unwrap_or_default(),
        rtt_us: observed.rtt_us.unwrap_or(0),
        attempts: observed.attempts,
        confirmed: observed.confirmed,
        facts: facts(observed.facts),
        evidence: observed.evidence.into_iter().take(limits::ATTEMPTS_PER_OBSERVATION).map(attempt).collect(),
        observed_at: Some(timestamp(observed.observed_at)),
        discovered: discovered.iter().take(limits::TARGETS_PER_DISCOVERY).map(target).collect(),
        status: observed.status.map_or(v1::CheckStatus::Unspecified, status_out).into(),
        autonomous: origin.autonomous,
    }
}

/// Facts within the limits of the wire: first those that say why, then the others by name. What does not fit is left out,
/// and counted.
fn facts(facts: Facts) -> Vec<v1::Fact> {
    const FIRST: [&str; 2] = ["reason", "detail"];
    const LEFT_OUT: &str = "facts-left-out";
    let (mut ordered, others): (Vec<_>, Vec<_>) =
        facts.into_iter().partition(|(name, _)| FIRST.contains(&name.as_str()));
    ordered.extend(others);
    let mut facts: Vec<v1::Fact> = ordered.into_iter().map(|(name, value)| fact(name, value)).collect();
    let fits = |facts: &[v1::Fact]| {
        facts.len() <= limits::FACTS_PER_OBSERVATION
            && facts.iter().map(size).sum::<usize>() <= limits::FACT_BYTES
    };
    if fits(&facts) {
        return facts;
    }
    let counted = |count: usize| fact(LEFT_OUT.to_owned(), i64::try_from(count).unwrap_or(i64::MAX).into());
    let all = facts.len();
    let mut room = limits::FACT_BYTES - size(&counted(all));
    facts.retain(|fact| {
        let fits = size(fact) <= room;
        room -= if fits { size(fact) } else { 0 };
        fits
    });
    facts.truncate(limits::FACTS_PER_OBSERVATION - 1);
    facts.push(counted(all - facts.len()));
    facts
}

fn fact(name: String, value: Fact) -> v1::Fact {
    let value = match value {
        Fact::Flag(flag) => v1::fact::Value::Flag(flag),
        Fact::Integer(integer) => v1::fact::Value::Integer(integer),
        Fact::Text(text) => v1::fact::Value::Text(clipped(&text)),
    };
    v1::Fact { name, value: Some(value) }
}

/// Bytes of a fact, as both sides count them.
fn size(fact: &v1::Fact) -> usize {
    let value = match &fact.value {
        Some(v1::fact::Value::Text(text)) => text.len(),
        Some(v1::fact::Value::Integer(_) | v1::fact::Value::Flag(_)) | None => size_of::<i64>(),
    };
    fact.name.len() + value
}

fn attempt(attempt: Attempt) -> v1::Attempt {
    let (kind, code) = attempt.icmp.unwrap_or_default();
    v1::Attempt {
        at_us: attempt.at_us,
        took_us: attempt.took_us,
        source_port: attempt.source_port.unwrap_or(0).into(),
        signal: attempt.signal,
        icmp_type: kind.into(),
        icmp_code: code.into(),
        offender: attempt.offender.map(|o| o.to_string()).unwrap_or_default(),
        ttl: attempt.ttl.unwrap_or(0).into(),
        sent_bytes: attempt.sent_bytes,
        received_bytes: attempt.received_bytes,
    }
}

fn target(target: &Target) -> v1::Target {
    v1::Target {
        host: target.host.clone().unwrap_or_default(),
        address: target.address.to_string(),
        domain: target.domain.clone().unwrap_or_default(),
    }
}

/// A time for the wire.
pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
