//! The record of the attempts of one flow.

use std::time::Duration;

use sekisho_checks::flow::Signal;
use sekisho_model::Attempt;

use crate::net::Traffic;

/// Attempts kept per flow. Beyond that the count goes on and the record stays.
pub(super) const KEPT: usize = 32;

/// The word of an attempt that nothing was heard of.
const SILENCE: &str = "silence";

/// What was tried, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    attempts: Vec<Attempt>,
    made: u32,
}

impl Evidence {
    /// Notes that an attempt began; gives its place.
    pub(super) fn begin(&mut self, at: Duration, ttl: Option<u8>) -> usize {
        self.made += 1;
        if self.attempts.len() < KEPT {
            self.attempts.push(Attempt {
                at_us: micros(at),
                took_us: 0,
                source_port: None,
                signal: SILENCE.to_owned(),
                icmp: None,
                offender: None,
                ttl,
                sent_bytes: 0,
                received_bytes: 0,
            });
            self.attempts.len() - 1
        } else {
            KEPT
        }
    }

    /// Notes the local port of an attempt.
    pub(super) fn source(&mut self, place: usize, port: u16) {
        if let Some(attempt) = self.attempts.get_mut(place) {
            attempt.source_port = Some(port).filter(|port| *port != 0);
        }
    }

    /// Notes what an attempt told, or that it was given up.
    pub(super) fn end(&mut self, place: usize, signal: Option<&Signal>, now: Duration) {
        let Some(attempt) = self.attempts.get_mut(place) else { return };
        attempt.took_us = micros(now).saturating_sub(attempt.at_us);
        if let Some(signal) = signal {
            attempt.signal = signal.word().to_owned();
        }
        if let Some(Signal::Icmp(error)) = signal {
            attempt.icmp = Some((error.kind, error.code));
            attempt.offender = Some(error.offender);
        }
    }

    /// Notes what was said and heard in an attempt.
    pub(super) fn traffic(&mut self, place: usize, traffic: Traffic) {
        if let Some(attempt) = self.attempts.get_mut(place) {
            (attempt.sent_bytes, attempt.received_bytes) = (traffic.sent, traffic.received);
        }
    }

    /// Notes that an attempt of which nothing was heard is given up.
    pub(super) fn give_up(&mut self, place: usize, now: Duration) {
        if self.attempts.get(place).is_some_and(|attempt| attempt.took_us == 0) {
            self.end(place, None, now);
        }
    }

    /// Local ports of whole attempts that nothing was heard of.
    pub(super) fn silent_ports(&self) -> impl Iterator<Item = u16> {
        let silent = self.attempts.iter().filter(|a| a.signal == SILENCE && a.ttl.is_none());
        silent.filter_map(|attempt| attempt.source_port)
    }

    /// Takes over the record of another flow that belongs to this one.
    pub(super) fn append(&mut self, mut other: Self) {
        self.made += other.made;
        self.attempts.append(&mut other.attempts);
        self.attempts.truncate(KEPT);
    }

    /// Whether anything of a reply came in an attempt.
    pub(super) fn has_heard(&self, place: usize) -> bool {
        self.attempts.get(place).is_some_and(|attempt| attempt.received_bytes > 0)
    }

    /// How many attempts were made.
    pub(super) const fn made(&self) -> u32 {
        self.made
    }

    /// The record.
    pub(super) fn into_attempts(self) -> Vec<Attempt> {
        self.attempts
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
