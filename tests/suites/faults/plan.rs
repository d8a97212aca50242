//! Which faults come when: pure, and the same for the same seed.

use std::{fmt, time::Duration};

use sekisho_tests::Severed;

/// Controllers and probes that there are.
pub(crate) const CONTROLLERS: usize = 2;
pub(crate) const PROBES: usize = 3;
/// The night begins so long after a round.
pub(crate) const LEAD: Duration = Duration::from_secs(8);
/// Every fault of a round is over after this.
pub(crate) const ROUND: Duration = Duration::from_secs(25);
/// Most faults of a round.
const TOGETHER: u64 = 5;
/// Shortest and longest fault, milliseconds.
const SHORTEST: u64 = 100;
const LONGEST: u64 = 12_000;

/// A process, or all processes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    Controller(usize),
    Probe(usize),
    Postgres,
}

/// What becomes of the way between a probe and the controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Trouble {
    Silent,
    Reset,
    /// So many of a hundred packets are lost, in each direction.
    Loss(u8),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum What {
    /// `kill -9`, and a start at the end.
    Kill(Part),
    /// `SIGSTOP`, and `SIGCONT` at the end.
    Pause(Part),
    /// Between that probe and all controllers.
    Session(usize, Trouble),
    /// Between that controller and PostgreSQL.
    Database(usize, Severed),
    /// Between all probes and what they test, percent in each direction.
    Flows(u8),
}

/// A fault and when it comes, counted from the beginning of its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Fault {
    pub(crate) what: What,
    pub(crate) at: Duration,
    pub(crate) until: Duration,
}

impl What {
    /// What it happens to: two faults of a round never happen to the same.
    fn victim(self) -> (u8, usize) {
        match self {
            Self::Kill(part) | Self::Pause(part) => match part {
                Part::Controller(number) => (0, number),
                Part::Probe(number) => (1, number),
                Part::Postgres => (2, 0),
            },
            Self::Session(number, _) => (3, number),
            Self::Database(number, _) => (4, number),
            Self::Flows(_) => (5, 0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.2}..{:5.2} s {:?}", self.at.as_secs_f32(), self.until.as_secs_f32(), self.what)
    }
}

/// Splitmix64: a few lines, and the same everywhere.
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn place(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).unwrap_or(0)
    }

    /// From `from` to before `to`, milliseconds.
    fn moment(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }
}

/// So many faults, in rounds of some that may overlap.
pub(crate) fn rounds(seed: u64, faults: usize) -> Vec<Vec<Fault>> {
    let mut random = Random(seed);
    let (mut rounds, mut left) = (Vec::new(), faults);
    while left > 0 {
        let mut round = round(&mut random);
        round.truncate(left);
        round.sort_by_key(|fault| fault.at);
        left -= round.len();
        rounds.push(round);
    }
    rounds
}

fn round(random: &mut Random) -> Vec<Fault> {
    let mut faults = Vec::new();
    // Now and then no controller serves when the night begins, and for some time after.
    if random.below(3) == 0 {
        for controller in 0..CONTROLLERS {
            let what = match random.below(4) {
                0 => What::Pause(Part::Controller(controller)),
                1 => What::Database(controller, severed(random)),
                _ => What::Kill(Part::Controller(controller)),
            };
            let (at, until) = (random.moment(0, 4_000), random.moment(16_000, 22_000));
            faults.push(Fault { what, at, until });
        }
    }
    let wanted = faults.len() as u64 + 1 + random.below(TOGETHER - faults.len() as u64);
    while (faults.len() as u64) < wanted {
        let lasts = random.moment(SHORTEST, LONGEST);
        let latest = u64::try_from((ROUND - lasts).as_millis()).unwrap_or(1);
        let at = random.moment(0, latest);
        let what = what(random);
        // One that happens to what something happens to already is thrown anew.
        if faults.iter().all(|fault| fault.what.victim() != what.victim()) {
            faults.push(Fault { what, at, until: at + lasts });
        }
    }
    faults
}

fn what(random: &mut Random) -> What {
    match random.below(10) {
        0..=2 => What::Kill(part(random)),
        3..=5 => What::Pause(part(random)),
        6 | 7 => {
            let trouble = match random.below(3) {
                0 => Trouble::Silent,
                1 => Trouble::Reset,
                _ => Trouble::Loss(10 + u8::try_from(random.below(50)).unwrap_or(0)),
            };
            What::Session(random.place(PROBES), trouble)
        }
        8 => What::Database(random.place(CONTROLLERS), severed(random)),
        _ => What::Flows(5 + u8::try_from(random.below(25)).unwrap_or(0)),
    }
}

fn part(random: &mut Random) -> Part {
    match random.below(5) {
        0 | 1 => Part::Controller(random.place(CONTROLLERS)),
        2 | 3 => Part::Probe(random.place(PROBES)),
        _ => Part::Postgres,
    }
}

fn severed(random: &mut Random) -> Severed {
    match random.below(3) {
        0 => Severed::Silent,
        1 => Severed::Closed,
        _ => Severed::Forgotten,
    }
}

#[test]
fn a_seed_gives_the_same_faults_and_no_two_to_one_victim() {
    for seed in 0..200 {
        let (rounds, again) = (rounds(seed, 100), rounds(seed, 100));
        assert_eq!(rounds, again);
        assert_eq!(rounds.iter().map(Vec::len).sum::<usize>(), 100);
        for round in &rounds {
            assert!((1..=usize::try_from(TOGETHER).unwrap()).contains(&round.len()), "{round:?}");
            let victims: std::collections::BTreeSet<_> = round.iter().map(|f| f.what.victim()).collect();
            assert_eq!(victims.len(), round.len(), "{round:?}");
            assert!(round.iter().all(|fault| fault.at < fault.until && fault.until <= ROUND), "{round:?}");
        }
    }
}

#[test]
fn a_hundred_faults_are_of_every_kind_and_some_nights_have_no_controller() {
    let rounds = rounds(1, 100);
    let all: Vec<What> = rounds.iter().flatten().map(|fault| fault.what).collect();
    let has = |is: fn(&What) -> bool| assert!(all.iter().any(is), "{all:?}");
    has(|what| matches!(what, What::Kill(Part::Controller(_))));
    has(|what| matches!(what, What::Kill(Part::Probe(_))));
    has(|what| matches!(what, What::Kill(Part::Postgres)));
    has(|what| matches!(what, What::Pause(Part::Controller(_))));
    has(|what| matches!(what, What::Pause(Part::Probe(_))));
    has(|what| matches!(what, What::Pause(Part::Postgres)));
    has(|what| matches!(what, What::Session(_, Trouble::Silent)));
    has(|what| matches!(what, What::Session(_, Trouble::Reset)));
    has(|what| matches!(what, What::Session(_, Trouble::Loss(_))));
    has(|what| matches!(what, What::Database(_, _)));
    has(|what| matches!(what, What::Flows(_)));
    let serves = |fault: &&Fault| match fault.what {
        What::Kill(Part::Controller(_)) | What::Pause(Part::Controller(_)) | What::Database(..) => {
            fault.at < LEAD && fault.until > LEAD + Duration::from_secs(5)
        }
        What::Kill(_) | What::Pause(_) | What::Session(..) | What::Flows(_) => false,
    };
    assert!(rounds.iter().any(|round| round.iter().filter(serves).count() >= CONTROLLERS));
}
