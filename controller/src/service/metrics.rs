//! Numbers for Prometheus: what this controller counted, and what the database knows at the moment.
//!
//! Controllers of one database tell the same of the fleet and of sweeps: take the maximum over them, not the sum.

use std::{collections::HashMap, sync::atomic::AtomicU64, time::Duration};

use jiff::Timestamp;
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use sekisho_domain::health::ProbeStatus;
use sekisho_model::{SweepState, SweepSummary};

use super::{FleetLine, Result, Services, sweep};
use crate::{
    metrics::{FAILURES, Metrics},
    store::{self, health::Look, metrics::Numbers},
};

/// Longest that the database may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most vantages without a probe that are named. How many there are is told in any case.
const VANTAGES: usize = 100;

/// A number with a fraction.
type Float = Gauge<f64, AtomicU64>;

/// What the database knows.
struct Known {
    /// Since the database's clock, seconds.
    clock: f64,
    look: Look,
    fleet: Vec<FleetLine>,
    vantages: usize,
    numbers: Numbers,
    sweeps: HashMap<String, i64>,
    last: Option<SweepSummary>,
}

impl Services {
    /// What this process counts.
    pub(crate) fn counters(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// All numbers, in the text format of Prometheus. Without a database those that it knows are left out.
    ///
    /// # Errors
    /// Never by the database.
    pub async fn metrics(&self) -> std::result::Result<String, std::fmt::Error> {
        let mut registry = Registry::with_prefix("sekisho");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        self.counters().register(&mut registry);
        FAILURES.register(&mut registry);
        let pool = self.pool();
        let (size, idle) = (i64::from(pool.size()), i64::try_from(pool.num_idle()).unwrap_or(i64::MAX));
        let states = [("used", (size - idle).max(0)), ("idle", idle)];
        labelled(&mut registry, "database_connections", "Connections to the database", "state", states);
        let most = i64::from(pool.options().get_max_connections());
        single(&mut registry, "database_connections_max", "Most connections to the database", most);
        let notices = ["waiting", "given-up"].into_iter().zip(self.notice_counts());
        let help = "Notices of alerts that wait, and that were given up in the last day";
        labelled(&mut registry, "notices", help, "state", notices);
        let known = match tokio::time::timeout(PATIENCE, self.known()).await {
            Ok(Ok(known)) => Some(known),
            Ok(Err(error)) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "numbers of the database are left out"
                );
                None
            }
            Err(_) => None,
        };
        let up = i64::from(known.is_some());
        single(&mut registry, "database_up", "Whether the database told its numbers", up);
        if let Some(known) = &known {
            known.register(&mut registry);
        }
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }

    async fn known(&self) -> Result<Known> {
        let fleet = self.fleet().await?;
        let mut connection = self.connection().await?;
        let look = store::health::look(&mut connection).await?;
        let clock = look.now.to_jiff().duration_since(Timestamp::now()).as_secs_f64();
        let vantages = store::vantage::all(&mut connection).await?.len();
        let numbers = store::metrics::numbers(&mut connection).await?;
        let sweeps = store::metrics::sweeps(&mut connection).await?.into_iter().collect();
        let last = match store::metrics::last_ended(&mut connection).await? {
            Some(id) => Some(sweep::summary(&sweep::find(&mut connection, id).await?)?),
            None => None,
        };
        Ok(Known { clock, look, fleet, vantages, numbers, sweeps, last })
    }
}

impl Known {
    fn register(&self, registry: &mut Registry) {
        self.probes(registry);
        self.uncovered(registry);
        self.sweeps(registry);
        single(registry, "database_size_bytes", "Size of the database", self.numbers.bytes);
        let help = "The database's clock minus this controller's";
        float(registry, "database_clock_offset_seconds", help, self.clock);
        single(
            registry,
            "blocks_ready",
            "Blocks of job numbers that are ready and not begun",
            self.look.ready,
        );
        if let Some(age) = self.look.block_seconds {
            float(registry, "block_age_seconds", "Since when the newest block of job numbers is used", age);
        }
    }

    fn probes(&self, registry: &mut Registry) {
        let probes: Vec<_> = self.fleet.iter().filter_map(FleetLine::probe).collect();
        let count = |status| probes.iter().filter(|probe| probe.status == status).count();
        let statuses = ProbeStatus::ALL.map(|status| (status.word(), whole(count(status))));
        labelled(registry, "probes", "Probes in each status", "status", statuses);
        let shut_out = |status| status == ProbeStatus::Revoked;
        let served: Vec<_> = probes.iter().filter(|probe| !shut_out(probe.status)).collect();
        let spooled = served.iter().map(|probe| probe.spooled);
        let help = "Results on the disks of the probes that are not handed in";
        single(registry, "probes_spooled_observations", help, spooled.clone().fold(0, i64::saturating_add));
        let help = "The same of the probe that has most of them";
        single(registry, "probes_spooled_observations_max", help, spooled.max().unwrap_or(0));
        let dropped = served.iter().map(|probe| probe.dropped).fold(0, i64::saturating_add);
        let help = "Results that probes ever had no room for";
        single(registry, "probes_dropped_observations", help, dropped);
        let clocks =
            served.iter().filter(|probe| probe.status.covers()).filter_map(|probe| probe.clock_offset_us);
        let worst = clocks.map(i64::unsigned_abs).max().unwrap_or(0);
        let help = "How far the clock of a connected probe is from the controller's, at most";
        float(registry, "probes_clock_offset_seconds_max", help, Duration::from_micros(worst).as_secs_f64());
    }

    fn uncovered(&self, registry: &mut Registry) {
        let gaps: Vec<_> = self.fleet.iter().filter(|line| line.probe().is_none()).collect();
        single(registry, "vantages", "Vantages of the inventory", whole(self.vantages));
        let help = "Vantages of the inventory without a probe that works";
        single(registry, "vantages_uncovered", help, whole(gaps.len()));
        let named = gaps.iter().take(VANTAGES).map(|gap| (gap.vantage(), 1));
        let help = "A vantage of the inventory without a probe that works; of many the first hundred";
        labelled(registry, "vantage_uncovered", help, "vantage", named);
    }

    fn sweeps(&self, registry: &mut Registry) {
        let states = [SweepState::Running, SweepState::Complete, SweepState::Partial, SweepState::Cancelled];
        let counts = states.map(|state| (state.word(), self.sweeps.get(state.word()).copied().unwrap_or(0)));
        labelled(registry, "sweeps", "Sweeps in each state", "state", counts);
        let Numbers { queued, assigned, planned, observed, missed, bytes: _ } = self.numbers;
        let jobs = [("queued", queued), ("assigned", assigned)];
        labelled(registry, "jobs", "Jobs that have not ended", "state", jobs);
        let tasks =
            |planned, observed, missed| [("planned", planned), ("observed", observed), ("missed", missed)];
        let help = "Flows and checks of the running sweeps";
        labelled(registry, "running_sweep_tasks", help, "state", tasks(planned, observed, missed));
        let Some(last) = &self.last else { return };
        let help = "Flows and checks of the newest sweep that has ended";
        let counts = tasks(last.planned, last.observed, last.missed);
        labelled(registry, "last_sweep_tasks", help, "state", counts);
        let Some(end) = last.finished_at else { return };
        let help = "When the newest sweep that has ended did so";
        float(
            registry,
            "last_sweep_end_timestamp_seconds",
            help,
            end.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64(),
        );
        let took = end.duration_since(last.started_at).as_secs_f64();
        float(registry, "last_sweep_duration_seconds", "How long the newest sweep that has ended took", took);
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn single(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn float(registry: &mut Registry, name: &str, help: &str, value: f64) {
    let gauge = Float::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

fn labelled<'a>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'a str, i64)>,
) {
    let family = Family::<[(&'static str, String); 1], Gauge>::default();
    for (word, value) in values {
        family.get_or_create(&[(label, word.to_owned())]).set(value);
    }
    registry.register(name, help, family);
}
