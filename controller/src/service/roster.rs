//! The open sessions of this controller, and what each of them has to look at.
//!
//! Each session has a bell. News concern a vantage, a probe, or everybody, and ring only the bells that they concern: in a
//! fleet of thousands most news are of one probe. Rings that come before the bell is heard are one, so that nothing piles up
//! and nothing is lost.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;
use uuid::Uuid;

use super::{Event, Session};

/// What a session has to look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ring {
    /// The probe is revoked.
    pub revoked: bool,
    /// Its jobs are to be compared with what it has.
    pub work: bool,
    /// Jobs are queued for its vantage: worth a look where it has room for one.
    pub queued: bool,
    /// What it is to hold for the nights to come has changed.
    pub plans: bool,
    /// The set of controllers has changed.
    pub trust: bool,
}

impl Ring {
    /// Anything may have happened.
    pub const EVERYTHING: Self = Self { revoked: false, work: true, queued: false, plans: true, trust: true };

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            revoked: self.revoked || other.revoked,
            work: self.work || other.work,
            queued: self.queued || other.queued,
            plans: self.plans || other.plans,
            trust: self.trust || other.trust,
        }
    }
}

/// What a session waits at.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<Ring>,
    wake: Notify,
}

impl Bell {
    fn ring(&self, ring: Ring) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        *rung = rung.and(ring);
        drop(rung);
        self.wake.notify_one();
    }

    fn take(&self) -> Ring {
        std::mem::take(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The open sessions of one controller. A hint: what counts is in the database.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    bells: HashMap<Uuid, Arc<Bell>>,
    of_probe: HashMap<Uuid, HashSet<Uuid>>,
    of_vantage: HashMap<i32, HashSet<Uuid>>,
}

impl Seats {
    fn ring<'a>(&self, sessions: impl IntoIterator<Item = &'a Uuid>, ring: Ring) {
        sessions.into_iter().filter_map(|session| self.bells.get(session)).for_each(|bell| bell.ring(ring));
    }
}

impl Roster {
    /// A seat for a session, until it is dropped.
    pub(super) fn enter(self: &Arc<Self>, session: Session) -> Seat {
        let bell = Arc::new(Bell::default());
        let mut seats = self.seats();
        seats.bells.insert(session.id, bell.clone());
        seats.of_probe.entry(session.probe).or_default().insert(session.id);
        seats.of_vantage.entry(session.vantage).or_default().insert(session.id);
        drop(seats);
        Seat { roster: self.clone(), session, bell }
    }

    /// Rings where an event has to be looked at.
    pub(super) fn tell(&self, event: Event) {
        let seats = self.seats();
        let nothing = Ring::default();
        match event {
            Event::JobQueued { vantage } => {
                let here = seats.of_vantage.get(&vantage).into_iter().flatten();
                seats.ring(here, Ring { queued: true, ..nothing });
            }
            Event::JobsCancelled { probe } => {
                seats.ring(seats.of_probe.get(&probe).into_iter().flatten(), Ring { work: true, ..nothing });
            }
            Event::ProbeRevoked { probe } => {
                seats.ring(
                    seats.of_probe.get(&probe).into_iter().flatten(),
                    Ring { revoked: true, ..nothing },
                );
            }
            Event::SessionOpened { probe, session } => {
                let others =
                    seats.of_probe.get(&probe).into_iter().flatten().filter(|other| **other != session);
                // The news of an older session may come late: the database tells which one counts.
                seats.ring(others, Ring { work: true, ..nothing });
            }
            Event::TrustChanged => seats.ring(seats.bells.keys(), Ring { trust: true, ..nothing }),
            Event::PlansChanged => seats.ring(seats.bells.keys(), Ring { plans: true, ..nothing }),
            Event::Resync => seats.ring(seats.bells.keys(), Ring::EVERYTHING),
            Event::SweepChanged { .. } => {}
        }
    }

    /// Whether nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.seats().bells.is_empty()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one session in the roster, free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    roster: Arc<Roster>,
    session: Session,
    bell: Arc<Bell>,
}

impl Seat {
    /// Waits until there is something to look at.
    pub async fn rung(&self) -> Ring {
        loop {
            let ring = self.bell.take();
            if ring != Ring::default() {
                return ring;
            }
            self.bell.wake.notified().await;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.roster.seats();
        let Session { id, probe, vantage, .. } = self.session;
        seats.bells.remove(&id);
        if let Some(sessions) = seats.of_probe.get_mut(&probe) {
            sessions.remove(&id);
            if sessions.is_empty() {
                seats.of_probe.remove(&probe);
            }
        }
        if let Some(sessions) = seats.of_vantage.get_mut(&vantage) {
            sessions.remove(&id);
            if sessions.is_empty() {
                seats.of_vantage.remove(&vantage);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u128, vantage: i32) -> Session {
        Session {
            id: Uuid::from_u128(number),
            probe: Uuid::from_u128(number % 10),
            vantage,
            keeps_shares: true,
            keeps_plan_shares: true,
        }
    }

    #[test]
    fn news_ring_where_they_concern_somebody() {
        let roster = Arc::new(Roster::default());
        let seats = [roster.enter(session(1, 1)), roster.enter(session(11, 1)), roster.enter(session(2, 2))];
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let none = Ring::default();
        let queued = Ring { queued: true, ..none };
        let work = Ring { work: true, ..none };
        let revoked = Ring { revoked: true, ..none };
        let plans = Ring { plans: true, ..none };
        let trust = Ring { trust: true, ..none };
        for (event, rung) in [
            (Event::JobQueued { vantage: 1 }, [queued, queued, none]),
            (Event::JobQueued { vantage: 3 }, [none; 3]),
            (Event::JobsCancelled { probe: two }, [none, none, work]),
            (Event::ProbeRevoked { probe: one }, [revoked, revoked, none]),
            (Event::SessionOpened { probe: one, session: Uuid::from_u128(11) }, [work, none, none]),
            (Event::TrustChanged, [trust; 3]),
            (Event::PlansChanged, [plans; 3]),
            (Event::Resync, [Ring::EVERYTHING; 3]),
            (Event::SweepChanged { sweep: 1 }, [none; 3]),
        ] {
            roster.tell(event);
            assert_eq!(seats.each_ref().map(|seat| seat.bell.take()), rung, "{event:?}");
        }
        drop(seats);
        assert!(roster.is_empty());
        assert!(roster.seats().of_probe.is_empty() && roster.seats().of_vantage.is_empty());
    }

    #[tokio::test]
    async fn rings_before_the_bell_is_heard_are_one() {
        let roster = Arc::new(Roster::default());
        let seat = roster.enter(session(1, 1));
        roster.tell(Event::TrustChanged);
        roster.tell(Event::JobQueued { vantage: 1 });
        assert_eq!(seat.rung().await, Ring { trust: true, queued: true, ..Ring::default() });
        let late = tokio::spawn(async move { seat.rung().await });
        tokio::task::yield_now().await;
        roster.tell(Event::PlansChanged);
        assert_eq!(late.await.unwrap(), Ring { plans: true, ..Ring::default() });
    }
}
