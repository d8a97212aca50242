//! A night that probes run by themselves: each has its planned job, a clock that is wrong, and nobody to ask.

use std::{collections::HashSet, time::Duration};

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};
use sekisho::service::{Actor, PlannedOrder, Services, Session};
use sekisho_probe::{
    net::IcmpAccess,
    runner::{Engine, Rates},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{Run, enrolled, hello, job};

/// The jobs of a night as probes hold them, and when it is over for all of them.
pub(crate) struct Held {
    jobs: Vec<PlannedOrder>,
    pub(crate) given: usize,
    pub(crate) over: Timestamp,
}

/// Enrols probes, plans a night of the next minute but one, and lets the probes have their jobs.
pub(crate) async fn held(run: Run, services: &Services, actor: &Actor) -> Held {
    let mut sessions: Vec<Session> = Vec::new();
    for number in 0..run.probes {
        let probe = enrolled(services, actor, &format!("v{number}")).await;
        sessions.push(services.open_session(probe, &hello()).await.unwrap());
    }
    // Late enough for whose clock is ahead.
    let soon = &Timestamp::now().to_zoned(TimeZone::UTC) + 2.minutes() + i64::from(run.drift).seconds();
    let start = soon.with().second(0).build().unwrap();
    let schedule = format!(
        "[[schedule]]\nname = \"nightly\"\ncron = \"{}\"\ntime_zone = \"UTC\"\nwindow = \"{}m\"\nprofile = \"bench\"\n",
        start.strftime("%-M %-H * * *"),
        run.window
    );
    let inventory = format!("{}{schedule}", run.inventory());
    services.apply_inventory(actor, "bench", &inventory, false).await.unwrap();
    services.plan_ahead().await.unwrap();
    let mut jobs: Vec<PlannedOrder> = Vec::new();
    for session in &sessions {
        let new = services.ahead(session, &HashSet::new()).await.unwrap().new;
        let tomorrow = Timestamp::now() + SignedDuration::from_hours(12);
        jobs.extend(new.into_iter().filter(|planned| planned.start < tomorrow));
    }
    let shown = services.schedule("nightly").await.unwrap();
    eprintln!("{}", shown.next_runs[0].without_controller.as_deref().unwrap_or("nothing is planned"));
    let over = jobs.iter().map(|planned| planned.deadline).max().unwrap_or_else(Timestamp::now);
    Held { given: jobs.len(), jobs, over: over + SignedDuration::from_secs(run.drift.into()) }
}

/// Lets every probe do its job in its time, by a clock that is wrong by up to so many seconds.
pub(crate) fn begin(run: Run, held: Held, to: std::net::SocketAddr) -> JoinSet<()> {
    let mut probes = JoinSet::new();
    for (number, planned) in held.jobs.into_iter().enumerate() {
        let wrong = match number % 3 {
            0 => i64::from(run.drift),
            1 => -i64::from(run.drift),
            _ => 0,
        };
        probes.spawn(async move {
            let engine = Engine::new(Rates::default(), IcmpAccess::None);
            let clock = || Timestamp::now() + SignedDuration::from_secs(wrong);
            let begins = planned.start + planned.alone + planned.turn;
            sleep(Duration::try_from(begins.duration_since(clock())).unwrap_or_default()).await;
            let left = Duration::try_from(planned.deadline.duration_since(clock())).unwrap_or_default();
            drop(timeout(left, job(engine, to, run, planned.order)).await);
        });
    }
    probes
}
