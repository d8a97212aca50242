//! One flow under test: when to try, how often, and what the attempts prove together.
//!
//! The machine is pure: time comes in as the duration since the start of the check, attempts are numbered from 0.
//! One lost packet is never a verdict. Silence is believed only after two series of attempts with a quiet pause between
//! them; a refusal is asked for a second time; a peer that ends accepted connections is asked three times.

use std::time::Duration;

use sekisho_model::{Facts, Transport};

use crate::classify::IcmpError;

/// Attempts in one series.
const SERIES: usize = 4;
/// Attempts of a service that accepts and then says nothing.
const MUTE_ATTEMPTS: usize = 3;

/// How an accepted connection ended without a reply of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The peer closed it.
    Eof,
    /// A RST came.
    Reset,
    /// Nothing came within the time for a reply, though the peer acknowledged what was sent: a proxy, a hung service.
    Silence,
    /// Nothing came, not even an acknowledgement of what was sent: the handshake passes and data does not.
    Undelivered,
}

impl Ending {
    /// The word used in facts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Eof => "closed-without-reply",
            Self::Reset => "reset-without-reply",
            Self::Silence | Self::Undelivered => "silent",
        }
    }

    /// Whether what was sent was acknowledged, as a word; `None` where it does not matter.
    #[must_use]
    pub const fn data(self) -> Option<&'static str> {
        match self {
            Self::Silence => Some("acknowledged"),
            Self::Undelivered => Some("dropped"),
            Self::Eof | Self::Reset => None,
        }
    }
}

/// What one attempt told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A valid reply of the protocol; for a bare port, the handshake.
    Proven(Facts),
    /// A reply that is not the protocol, or not of this domain.
    Wrong(Facts),
    /// The handshake completed and the connection ended without a reply.
    Ended(Ending),
    /// A RST answered the SYN.
    Reset,
    /// An ICMP error that says something about the flow.
    Icmp(IcmpError),
    /// This machine has no route to the target, or no neighbour answered for it.
    NoRoute(String),
    /// This machine could not send: the flow was not tested.
    Local(String),
}

impl Signal {
    /// The word used in the evidence.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Proven(_) => "reply",
            Self::Wrong(_) => "wrong",
            Self::Ended(Ending::Eof) => "closed",
            Self::Ended(Ending::Reset) => "reset",
            Self::Ended(Ending::Silence | Ending::Undelivered) => "mute",
            Self::Reset => "rst",
            Self::Icmp(_) => "icmp",
            Self::NoRoute(_) => "no-route",
            Self::Local(_) => "error",
        }
    }

    /// Order in which contradicting signals decide: what proves most comes first.
    const fn weight(&self) -> u8 {
        match self {
            Self::Proven(_) => 0,
            Self::Wrong(_) => 1,
            Self::Ended(_) => 2,
            Self::Icmp(_) => 3,
            Self::Reset => 4,
            Self::NoRoute(_) => 5,
            Self::Local(_) => 6,
        }
    }

    /// Whether two signals tell the same story.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Icmp(a), Self::Icmp(b)) => a == b,
            (Self::Ended(_), Self::Ended(_)) => true,
            (a, b) => a.weight() == b.weight(),
        }
    }
}

/// What the attempts prove together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The signal that decides; `None` is silence through all attempts.
    pub signal: Option<Signal>,
    /// Number of the attempt that gave it.
    pub attempt: Option<usize>,
    /// Attempts that were given up without an answer.
    pub silent: u32,
    /// Attempts contradicted each other.
    pub intermittent: bool,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Begin an attempt from a fresh source port, and call [`Flow::started`].
    Start,
    /// Nothing to do until then, unless an attempt tells something before.
    WaitUntil(Duration),
    /// The verdict. Attempts still under way are dropped.
    Done(Decision),
}

/// Waiting times of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tempo {
    /// Shortest interval between two attempts.
    pub floor: Duration,
    /// Quiet between the two series: longer than the second to which routers ration their ICMP errors.
    pub quiet: Duration,
    /// Time for a reply after the handshake.
    pub reply: Duration,
}

impl Tempo {
    /// What suits the transport. Without a handshake the floor covers the service's own time to think.
    #[must_use]
    pub const fn of(transport: Transport) -> Self {
        let floor = match transport {
            Transport::Tcp | Transport::Icmp => Duration::from_millis(60),
            Transport::Udp => Duration::from_millis(250),
        };
        Self { floor, quiet: Duration::from_millis(1_200), reply: Duration::from_secs(4) }
    }
}

/// Interval that an unmeasured target gets.
const UNMEASURED: Duration = Duration::from_millis(250);
/// A conversation ends by itself after the time for a reply, and a little more where it learns more than that.
const CONVERSATION: Duration = Duration::from_millis(1_500);
/// A system asks three times, a second apart, who on the local link has an address, and then says that nobody has
/// (RFC 4861 section 10; Linux does the same with ARP, arp(7), `mcast_solicit` and `retrans_time`).
const NEIGHBOUR: Duration = Duration::from_millis(3_500);
/// Longest interval between two attempts of a series.
const LONGEST: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Attempt {
    started: Duration,
    connected: Option<Duration>,
    signal: Option<Signal>,
}

/// The machine of one flow.
#[derive(Debug)]
pub struct Flow {
    tempo: Tempo,
    attempts: Vec<Attempt>,
}

impl Flow {
    /// A flow of which nothing is known.
    #[must_use]
    pub const fn new(tempo: Tempo) -> Self {
        Self { tempo, attempts: Vec::new() }
    }

    /// Notes that an attempt began, and gives its number.
    pub fn started(&mut self, now: Duration) -> usize {
        self.attempts.push(Attempt { started: now, connected: None, signal: None });
        self.attempts.len().saturating_sub(1)
    }

    /// Notes that the handshake of an attempt completed and a reply is awaited.
    pub fn connected(&mut self, attempt: usize, now: Duration) {
        if let Some(attempt) = self.attempts.get_mut(attempt) {
            attempt.connected = Some(now);
        }
    }

    /// Notes what an attempt told.
    pub fn signal(&mut self, attempt: usize, signal: Signal) {
        if let Some(attempt) = self.attempts.get_mut(attempt) {
            attempt.signal = Some(signal);
        }
    }

    /// Whether the attempt that begins next is the first of its series.
    #[must_use]
    pub fn begins_series(&self) -> bool {
        self.attempts.len().is_multiple_of(SERIES)
    }

    /// How long an attempt that begins next may stay unanswered: as long as its series.
    ///
    /// An attempt that lived longer would keep its socket from others while the flow waits for its turn. The first attempt
    /// at a target that has not answered yet lives until the system says that nobody on the local link has its address.
    #[must_use]
    pub fn life(&self, patience: Option<Duration>) -> Duration {
        if self.attempts.is_empty() && patience.is_none() {
            return NEIGHBOUR;
        }
        let slow = self.attempts.len() >= SERIES;
        self.paced(patience, slow).saturating_mul(8).max(self.settle(patience))
    }

    /// Time for a reply after the handshake.
    #[must_use]
    pub const fn reply(&self) -> Duration {
        self.tempo.reply
    }

    /// Decides what to do at `now`. `patience` is the time within which this target answers, where it is known.
    #[must_use]
    pub fn poll(&self, now: Duration, patience: Option<Duration>) -> Step {
        let decided = self.signals().any(|s| matches!(s, Signal::Proven(_) | Signal::Local(_)));
        if decided {
            return Step::Done(self.decide());
        }
        let (next, give_up) = self.outlook(patience);
        match (next, give_up) {
            (Some(at), _) if at <= now => Step::Start,
            (None, Some(at)) if at <= now => Step::Done(self.decide()),
            (None, None) => Step::Done(self.decide()),
            (Some(at), _) | (None, Some(at)) => Step::WaitUntil(at),
        }
    }

    fn signals(&self) -> impl Iterator<Item = &Signal> {
        self.attempts.iter().filter_map(|a| a.signal.as_ref())
    }

    /// When the next attempt is due, if another one is worth it, and when to give up waiting for those under way
    /// (`None`: none is under way).
    fn outlook(&self, patience: Option<Duration>) -> (Option<Duration>, Option<Duration>) {
        let Some(last) = self.attempts.last() else { return (Some(Duration::ZERO), None) };
        let told = self.signals().count();
        let ended = self.signals().any(|s| matches!(s, Signal::Ended(_)));
        let connected = self.attempts.iter().filter(|a| a.connected.is_some()).count();
        let base = self.base(patience);

        if told > 0 || connected > 0 {
            let wanted = if ended || connected > 0 { MUTE_ATTEMPTS } else { 2 };
            let first = self.attempts.iter().position(|a| a.signal.is_some() || a.connected.is_some());
            let since = self.attempts.len().saturating_sub(first.unwrap_or(0));
            // Attempts after the first answer may be lost: allow one more than wanted.
            let more = told.max(connected) < wanted && since <= wanted;
            let spacing = if told > 0 { base.max(self.tempo.floor) } else { third(self.tempo.reply) };
            return (more.then(|| last.started.saturating_add(spacing)), self.give_up(base));
        }

        let made = self.attempts.len();
        let factor = u32::try_from(made.saturating_sub(1) % SERIES).unwrap_or(0);
        let series_end = last.started.saturating_add(base.saturating_mul(2).max(self.settle(patience)));
        if made.is_multiple_of(SERIES) {
            let next = (made < 2 * SERIES).then(|| series_end.saturating_add(self.tempo.quiet));
            return (next, Some(series_end));
        }
        let interval = base.saturating_mul(1 << factor).min(LONGEST.max(base));
        (Some(last.started.saturating_add(interval)), None)
    }

    /// First interval of the series under way.
    fn base(&self, patience: Option<Duration>) -> Duration {
        self.paced(patience, self.attempts.len() > SERIES)
    }

    /// First interval of a series; the second series is twice as slow as the first, where that was a quick one.
    fn paced(&self, patience: Option<Duration>, slow: bool) -> Duration {
        let base = self.tempo.floor.max(patience.unwrap_or(UNMEASURED)).min(LONGEST);
        if slow { base.saturating_mul(2).min(UNMEASURED).max(base) } else { base }
    }

    /// Wait after the last attempt of a series.
    fn settle(&self, patience: Option<Duration>) -> Duration {
        patience.map_or(Duration::from_secs(1), |p| p.saturating_mul(2).max(self.tempo.floor))
    }

    /// When the last attempt under way is given up.
    fn give_up(&self, base: Duration) -> Option<Duration> {
        self.attempts
            .iter()
            .filter(|a| a.signal.is_none())
            .map(|a| match a.connected {
                Some(at) => at.saturating_add(self.tempo.reply).saturating_add(CONVERSATION),
                None => a.started.saturating_add(base.saturating_mul(2)),
            })
            .max()
    }

    /// One connection that was reset before a proof contradicts nothing: a Windows domain controller now and then resets
    /// sessions that are young (Microsoft Learn, "LDAP and Kerberos Server may not respond to UDP requests or may reset TCP
    /// sessions immediately after creation").
    fn decide(&self) -> Decision {
        let told = |a: &Attempt| match (&a.signal, a.connected) {
            (Some(signal), _) => Some(signal.clone()),
            (None, Some(_)) => Some(Signal::Ended(Ending::Silence)),
            (None, None) => None,
        };
        let signals: Vec<(usize, Signal)> =
            self.attempts.iter().enumerate().filter_map(|(n, a)| Some((n, told(a)?))).collect();
        let best = signals.iter().min_by_key(|(_, s)| s.weight());
        // A hedge that is still waiting for its reply while another attempt has one contradicts nothing.
        let waiting = |n: &usize| self.attempts.get(*n).is_some_and(|a| a.signal.is_none());
        let contradicts = |best: &Signal, n: &usize, s: &Signal| {
            !(s.agrees(best) || waiting(n) && matches!(best, Signal::Proven(_)))
        };
        let against = |best| signals.iter().filter(|(n, s)| contradicts(best, n, s)).collect::<Vec<_>>();
        let intermittent = best.is_some_and(|(_, best)| match (best, against(best).as_slice()) {
            (_, []) | (Signal::Proven(_), [(_, Signal::Ended(Ending::Reset))]) => false,
            (_, _) => true,
        });
        Decision {
            signal: best.map(|(_, s)| s.clone()),
            attempt: best.map(|(n, _)| *n),
            silent: u32::try_from(self.attempts.len().saturating_sub(signals.len())).unwrap_or(u32::MAX),
            intermittent,
        }
    }
}

/// A third of the time for a reply lies between the attempts of a mute service.
fn third(duration: Duration) -> Duration {
    duration.checked_div(3).unwrap_or_default()
}

#[cfg(test)]
mod tests;
