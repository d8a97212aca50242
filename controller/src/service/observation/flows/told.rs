//! What was told of observations, as it is kept: by task, in few bytes, apart by how long it is worth keeping.

use std::collections::BTreeMap;

use sekisho_model::{Attempt, Facts};
use serde::{Serialize, Serializer, ser::SerializeSeq};

/// What was told of one observation.
#[derive(Debug, Default, Serialize)]
pub(super) struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<&'a Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<Attempts<'a>>,
}

/// What was told of the observations of a job, by task.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    /// Kept as long as the observations: facts of flows that are blocked, everything of flows that have changed.
    pub(super) telling: BTreeMap<i16, Told<'a>>,
    /// The rest: what is the same every night.
    pub(super) plain: BTreeMap<i16, Told<'a>>,
}

impl<'a> Parts<'a> {
    /// Takes what was told of a task to the part where it belongs.
    pub(super) fn put(
        &mut self,
        task: i16,
        facts: &'a Facts,
        attempts: &'a [Attempt],
        is_open: bool,
        has_changed: bool,
    ) {
        if !facts.is_empty() {
            let part = if has_changed || !is_open { &mut self.telling } else { &mut self.plain };
            part.entry(task).or_default().facts = Some(facts);
        }
        if !attempts.is_empty() {
            let part = if has_changed { &mut self.telling } else { &mut self.plain };
            part.entry(task).or_default().attempts = Some(Attempts(attempts));
        }
    }
}

/// Attempts without the names of their fields: they are most of what a night tells. Each is a list: start and duration in
/// microseconds, local port, signal, bytes sent, bytes received, TTL, ICMP type, ICMP code, sender of the ICMP message;
/// without what is zero or null at its end.
#[derive(Debug)]
struct Attempts<'a>(&'a [Attempt]);

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Brief))
    }
}

struct Brief<'a>(&'a Attempt);

impl Serialize for Brief<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Attempt { at_us, took_us, source_port, signal, icmp, offender, ttl, sent_bytes, received_bytes } =
            self.0;
        let told = [
            *sent_bytes > 0,
            *received_bytes > 0,
            ttl.is_some(),
            icmp.is_some(),
            icmp.is_some(),
            offender.is_some(),
        ];
        let length = told.iter().rposition(|is_told| *is_told).map_or(0, |last| last + 1);
        let mut list = serializer.serialize_seq(Some(4 + length))?;
        list.serialize_element(at_us)?;
        list.serialize_element(took_us)?;
        list.serialize_element(source_port)?;
        list.serialize_element(signal)?;
        for place in 0..length {
            match place {
                0 => list.serialize_element(sent_bytes)?,
                1 => list.serialize_element(received_bytes)?,
                2 => list.serialize_element(ttl)?,
                3 => list.serialize_element(&icmp.map(|(kind, _)| kind))?,
                4 => list.serialize_element(&icmp.map(|(_, code)| code))?,
                _ => list.serialize_element(offender)?,
            }
        }
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_lists_without_what_says_nothing() {
        let silence = Attempt {
            at_us: 3_565,
            took_us: 3_501_554,
            source_port: Some(55_179),
            signal: "silence".to_owned(),
            icmp: None,
            offender: None,
            ttl: None,
            sent_bytes: 0,
            received_bytes: 0,
        };
        let icmp = Attempt {
            signal: "icmp".to_owned(),
            icmp: Some((3, 9)),
            offender: Some([10, 77, 30, 1].into()),
            ..silence.clone()
        };
        let reply =
            Attempt { source_port: None, signal: "reply".to_owned(), received_bytes: 48, ..silence.clone() };
        let json = serde_json::to_string(&Attempts(&[silence, icmp, reply])).unwrap();
        let expected = "[[3565,3501554,55179,\"silence\"],[3565,3501554,55179,\"icmp\",0,0,null,3,9,\"10.77.30.1\"],\
                        [3565,3501554,null,\"reply\",0,48]]";
        assert_eq!(json, expected);
    }

    #[test]
    fn what_is_the_same_every_night_is_put_apart() {
        let facts = Facts::from([("a".to_owned(), 1.into())]);
        let mut parts = Parts::default();
        for (task, is_open, has_changed) in
            [(0, true, false), (1, true, true), (2, false, false), (3, false, true)]
        {
            parts.put(task, &facts, &[], is_open, has_changed);
        }
        assert_eq!(parts.plain.keys().collect::<Vec<_>>(), [&0]);
        assert_eq!(parts.telling.keys().collect::<Vec<_>>(), [&1, &2, &3]);
    }
}
