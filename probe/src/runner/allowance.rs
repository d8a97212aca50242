//! What a job may use of the budgets of targets, and of its vantage's.
//!
//! The scope file's rates are this host's own and hold as well. A budget is the fleet's: its shares were lent to jobs so that
//! together they keep it, each as a [`Lane`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use sekisho_checks::pace::Lane;
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, sleep},
};

/// A kernel sends a SYN again after a second. What is lent counts every packet that begins something, so an attempt under
/// an allowance ends well before, unless the repetitions are counted as well: [`Hold`].
const SYN_LIFE: Duration = Duration::from_millis(850);
/// A round trip from which on an answer to a SYN may come later than that.
const DISTANT: Duration = Duration::from_millis(800);

/// What a job may use of budgets. The default is bound by none.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    targets: HashMap<IpAddr, Arc<Track>>,
    link: Option<Arc<Track>>,
    until: Option<(Instant, SystemTime)>,
}

/// Shares as a job names them: attempts per second.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// By address.
    pub targets: Vec<(IpAddr, u32)>,
    /// In total, where the vantage has a budget.
    pub link: Option<u32>,
}

/// Lanes of jobs whose shares are lent for all of them together: those of one schedule that were planned ahead.
#[derive(Debug, Clone, Default)]
pub struct Lanes(Arc<std::sync::Mutex<HashMap<Option<IpAddr>, Arc<Track>>>>);

impl Lanes {
    /// The lane of an address, or of the link. Should two jobs name other rates the smaller one holds for both.
    fn track(&self, of: Option<IpAddr>, rate: u32, began: std::time::Instant) -> Arc<Track> {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let track = lanes.entry(of).or_insert_with(|| Track::new(rate, began));
        track.lane().slow(rate);
        track.clone()
    }
}

/// A lane, and those who wait for it.
#[derive(Debug)]
struct Track {
    lane: std::sync::Mutex<Lane>,
    began: std::time::Instant,
    /// Whoever waits for the lane; the others wait for him.
    first: Arc<Mutex<()>>,
    /// Something was released.
    released: Notify,
}

impl Track {
    /// A lane that is not used in the first second of this process.
    fn new(rate: u32, began: std::time::Instant) -> Arc<Self> {
        let lane = Lane::new(rate, Lane::SECOND).into();
        Arc::new(Self { lane, began, first: Arc::default(), released: Notify::new() })
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until an event may happen. Only one at a time waits.
    async fn ready(&self) {
        loop {
            let released = self.released.notified();
            let now = self.began.elapsed();
            let wait = self.lane().next(now).saturating_sub(now);
            if wait.is_zero() {
                return;
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = released => {}
            }
        }
    }
}

impl Allowance {
    /// What these shares allow for so long. Times are told by the clock that began at `began`, with this process: one that was
    /// here before may have used them until its end, so nobody uses them in the first second of this one.
    /// The lanes are those of other jobs as well.
    pub(super) fn new(shares: &Shares, within: Duration, began: std::time::Instant, lanes: &Lanes) -> Self {
        if *shares == Shares::default() {
            return Self::default();
        }
        let track = |of, rate| lanes.track(of, rate, began);
        Self {
            targets: shares.targets.iter().map(|(at, rate)| (*at, track(Some(*at), *rate))).collect(),
            link: shares.link.map(|rate| track(None, rate)),
            until: Some((Instant::now() + within, SystemTime::now() + within)),
        }
    }

    /// Waits for the turn at an address. Whoever has it sends next, so that only one waits with a slot.
    pub(super) async fn turn(&self, address: IpAddr) -> Turn<'_> {
        let target = self.targets.get(&address);
        let first = match target {
            Some(track) => Some(track.first.clone().lock_owned().await),
            None => None,
        };
        Turn { target, _first: first, allowance: self }
    }

    /// How long a SYN to an address may stay unanswered without a [`Hold`].
    pub(super) fn syn_life(&self, address: IpAddr) -> Option<Duration> {
        (self.link.is_some() || self.targets.contains_key(&address)).then_some(SYN_LIFE)
    }

    /// The clock of the system also counts while this host sleeps.
    fn is_over(&self) -> bool {
        let over = |(monotonic, system)| Instant::now() >= monotonic || SystemTime::now() >= system;
        self.until.is_some_and(over)
    }
}

/// Whether an answer to a SYN may come only after an attempt under an allowance has ended.
pub(super) fn is_distant(round_trip: Option<Duration>) -> bool {
    round_trip.is_some_and(|round_trip| round_trip >= DISTANT)
}

/// The turn at an address.
pub(super) struct Turn<'a> {
    target: Option<&'a Arc<Track>>,
    _first: Option<tokio::sync::OwnedMutexGuard<()>>,
    allowance: &'a Allowance,
}

impl Turn<'_> {
    /// Waits until the budgets allow an attempt, and counts it. What is sent is sent at once. With a `life`, asked when it is allowed, its
    /// repetitions count for so long at most, until what is given back is dropped. Never ends when the time of the shares is over: the job's is
    /// as well.
    pub(super) async fn pass(self, life: impl FnOnce() -> Option<Duration>) -> Hold {
        if let Some(track) = self.target {
            track.ready().await;
        }
        let link = self.allowance.link.as_ref();
        let _first = match link {
            Some(track) => Some(track.first.lock().await),
            None => None,
        };
        if let Some(track) = link {
            track.ready().await;
        }
        if self.allowance.is_over() {
            std::future::pending::<()>().await;
        }
        let mut hold = Hold { life: life(), tracks: Vec::new() };
        for track in self.target.into_iter().chain(link) {
            let (now, mut lane) = (track.began.elapsed(), track.lane());
            lane.passed(now);
            if let Some(life) = hold.life {
                hold.tracks.push((track.clone(), lane.hold(now, life)));
            }
        }
        hold
    }
}

/// An attempt that a kernel may repeat, as long as it is not dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    /// For how long at most; `None`: it may not.
    pub(super) life: Option<Duration>,
    tracks: Vec<(Arc<Track>, u64)>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        for (track, number) in &self.tracks {
            track.lane().release(*number, track.began.elapsed());
            track.released.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, sync::Arc};

    use super::*;
    use crate::{
        net::IcmpAccess,
        runner::{Engine, Rates},
    };

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn engine(targets: &[(IpAddr, u32)], link: Option<u32>, within: Duration) -> Arc<Engine> {
        let engine = Engine::new(Rates { per_target: 1_000, ..Rates::default() }, IcmpAccess::None);
        engine.within(&Shares { targets: targets.to_vec(), link }, within)
    }

    /// When attempts that all wish to begin at once do.
    async fn times(engine: &Arc<Engine>, attempts: usize) -> Vec<Duration> {
        let began = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..attempts {
            let (engine, address) =
                (engine.clone(), Ipv4Addr::new(127, 0, 0, 1 + u8::from(number % 2 == 1)).into());
            tasks.spawn(async move {
                engine.admit(address).await;
                began.elapsed()
            });
        }
        let mut times = tasks.join_all().await;
        times.sort();
        times
    }

    #[tokio::test]
    async fn a_share_has_no_burst_and_begins_after_a_second_of_rest() {
        let shares = [(ADDRESS, 20), (Ipv4Addr::new(127, 0, 0, 2).into(), 20)];
        let times = times(&engine(&shares, None, Duration::from_secs(60)), 22).await;
        assert!(times[0] >= Duration::from_secs(1), "{times:?}");
        // Eleven to each: ten intervals.
        assert!(times[21] - times[0] >= Lane::SECOND / 2, "{times:?}");
    }

    #[tokio::test]
    async fn jobs_of_one_run_share_what_is_lent_to_them_together() {
        let (first, lanes) = (Engine::new(Rates::default(), IcmpAccess::None), Lanes::default());
        let within = |rate| {
            let shares = Shares { targets: vec![(ADDRESS, rate)], link: None };
            first.within_lanes(&shares, Duration::from_secs(60), &lanes)
        };
        // The second one is of a later version of the plan, whatever that says.
        let engines = [within(20), within(30)];
        let mut attempts = tokio::task::JoinSet::new();
        let began = Instant::now();
        for engine in engines.iter().cycle().take(22) {
            let engine = engine.clone();
            attempts.spawn(async move {
                engine.admit(ADDRESS).await;
                began.elapsed()
            });
        }
        let mut times = attempts.join_all().await;
        times.sort();
        assert!(times[20] - times[0] >= Lane::SECOND, "twenty a second, not forty: {times:?}");
    }

    #[tokio::test]
    async fn a_link_counts_what_goes_to_any_address() {
        let times = times(&engine(&[], Some(20), Duration::from_secs(60)), 11).await;
        assert!(times[10] - times[0] >= Lane::SECOND / 2, "{times:?}");
    }

    #[tokio::test]
    async fn nothing_is_sent_when_the_time_of_the_shares_is_over() {
        let engine = engine(&[(ADDRESS, 1_000)], None, Duration::from_millis(1_100));
        assert!(engine.admit(ADDRESS).await.is_some());
        let late = async {
            loop {
                engine.admit(ADDRESS).await;
            }
        };
        let patience = Duration::from_millis(500);
        assert!(tokio::time::timeout(patience, late).await.is_err());
        assert!(tokio::time::timeout(patience, engine.admit(ADDRESS)).await.is_err(), "it is over");
        let other = Ipv4Addr::new(127, 0, 0, 3).into();
        assert!(tokio::time::timeout(patience, engine.admit(other)).await.is_err(), "for every address");
    }

    #[tokio::test]
    async fn what_a_kernel_may_repeat_holds_its_second_until_it_is_answered() {
        let engine = engine(&[(ADDRESS, 1)], None, Duration::from_secs(60));
        let (_slot, hold) = engine.admit_lasting(ADDRESS, || Some(Duration::from_secs(30))).await.unwrap();
        let began = Instant::now();
        let patience = Duration::from_millis(1_500);
        assert!(tokio::time::timeout(patience, engine.admit(ADDRESS)).await.is_err(), "it is held");
        let next = tokio::spawn({
            let engine = engine.clone();
            async move { engine.admit(ADDRESS).await }
        });
        // It waits by now, until the hold would end by itself.
        tokio::task::yield_now().await;
        drop(hold);
        next.await.unwrap();
        assert!(began.elapsed() >= patience + Lane::SECOND, "a second after the end");
        assert!(began.elapsed() < Duration::from_secs(20), "and not when it could have ended");
    }

    #[test]
    fn a_syn_under_an_allowance_ends_before_the_kernel_repeats_it() {
        let shares = |targets: &[(IpAddr, u32)], link| Shares { targets: targets.to_vec(), link };
        let began = std::time::Instant::now();
        let of = |shares| {
            Allowance::new(&shares, Duration::from_secs(60), began, &Lanes::default()).syn_life(ADDRESS)
        };
        assert_eq!(of(shares(&[], None)), None);
        assert_eq!(of(shares(&[(ADDRESS, 1)], None)), Some(SYN_LIFE));
        assert_eq!(of(shares(&[], Some(5))), Some(SYN_LIFE));
        assert!(SYN_LIFE < Duration::from_secs(1));
    }
}
