//! What every flow looks like in every night.

use sekisho::service::HandedIn;
use sekisho_model::{Attempt, Fact, Facts, Outcome};
use uuid::Uuid;

/// A small generator of numbers: the same seed gives the same year.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Of 100 flows 80 are open, 14 silent, 5 rejected, 1 closed.
fn draw(dice: &mut Dice) -> u8 {
    match dice.below(100) {
        0..80 => b'o',
        80..94 => b'f',
        94..99 => b'r',
        _ => b'c',
    }
}

/// A run of one flow: letter, first night, last night.
pub(crate) type Run = (u8, u16, u16);

pub(crate) struct Year {
    pub(crate) dice: Dice,
    pub(crate) now: Vec<u8>,
    /// Runs that are over and the one that is not, oldest first.
    pub(crate) runs: Vec<Vec<Run>>,
}

impl Year {
    pub(crate) fn new(seed: u64, flows: usize) -> Self {
        let mut dice = Dice(seed);
        let now: Vec<u8> = (0..flows).map(|_| draw(&mut dice)).collect();
        let runs = now.iter().map(|letter| vec![(*letter, 0, 0)]).collect();
        Self { dice, now, runs }
    }

    /// Lets a night pass: one flow in a hundred changes.
    pub(crate) fn pass(&mut self, night: usize) {
        for flow in 0..self.now.len() {
            if night > 0 && self.dice.below(100) == 0 {
                let old = self.now[flow];
                while self.now[flow] == old {
                    self.now[flow] = draw(&mut self.dice);
                }
                self.runs[flow].push((self.now[flow], night as u16, night as u16));
            }
            self.runs[flow].last_mut().unwrap().2 = night as u16;
        }
    }
}

/// A result as long as those that probes in the lab hand in: 220 bytes of facts and one or two attempts where it is open, 70 and
/// eight where it is not.
pub(crate) fn result(job: Uuid, task: u32, letter: u8, at: jiff::Timestamp, dice: &mut Dice) -> HandedIn {
    let (outcome, attempts) = match letter {
        b'o' => (Outcome::Open, 1 + u32::from(dice.below(4) == 0)),
        b'c' => (Outcome::Closed, 3),
        b'r' => (Outcome::Rejected, 4),
        _ => (Outcome::Filtered, 9),
    };
    let by = (letter == b'r').then(|| std::net::IpAddr::from([10, 77, (task % 7) as u8, 1]));
    let rtt_us = (letter != b'f').then(|| 800 + dice.below(4_000) as u32);
    let evidence = (0..attempts).map(|_| attempt(letter, by, dice)).collect();
    HandedIn {
        job,
        task,
        outcome,
        by,
        rtt_us,
        attempts,
        confirmed: false,
        facts: facts(letter, task),
        evidence,
        observed_at: Some(at),
        discovered: Vec::new(),
        status: None,
        autonomous: false,
    }
}

fn facts(letter: u8, task: u32) -> Facts {
    let text = |name: &str, value: String| (name.to_owned(), Fact::Text(value));
    match letter {
        b'o' => Facts::from([
            text("host", format!("dc{}.corp.example", task / 25)),
            text("naming-context", "DC=corp,DC=example".to_owned()),
            text("functionality", "Windows Server 2016".to_owned()),
            text("certificate-subject", format!("CN=dc{}.corp.example", task / 25)),
            ("certificate-days-left".to_owned(), Fact::Integer(217)),
            ("signing-required".to_owned(), Fact::Flag(true)),
        ]),
        b'c' => Facts::from([text("rst-origin", "target-or-last-hop".to_owned())]),
        _ => Facts::from([
            text("last-hop", format!("10.77.{}.1", task % 7)),
            text("next-hop", "10.77.254.2".to_owned()),
        ]),
    }
}

fn attempt(letter: u8, by: Option<std::net::IpAddr>, dice: &mut Dice) -> Attempt {
    let signal = match letter {
        b'o' => "reply",
        b'c' => "rst",
        b'r' => "icmp",
        _ => "silence",
    };
    Attempt {
        at_us: dice.below(6_000_000),
        took_us: if letter == b'f' { 2_000_000 + dice.below(2_000) } else { 500 + dice.below(4_000) },
        source_port: Some(32_768 + dice.below(28_000) as u16),
        signal: signal.to_owned(),
        icmp: by.map(|_| (3, 13)),
        offender: by,
        ttl: None,
        sent_bytes: if letter == b'o' { 72 } else { 0 },
        received_bytes: if letter == b'o' { 220 } else { 0 },
    }
}
