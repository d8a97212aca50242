//! What this probe counts, for Prometheus: written to a file, or told on a loopback address, where it is asked to.
//!
//! Names begin with `sekisho_probe_`, units are seconds and bytes.

mod publish;

use std::sync::{Arc, atomic::AtomicU64};

use jiff::Timestamp;
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::Registry,
};
use sekisho_model::Outcome;

use crate::{scope::Scope, spool::Held};

pub(crate) use publish::{Doors, publish};

/// A number with a fraction.
type Float = Gauge<f64, AtomicU64>;

/// The counters of one probe. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    session: Gauge,
    sessions: Counter,
    heard: Float,
    certificate_end: Float,
    jobs: Gauge,
    jobs_ended: Counter,
    job_end: Float,
    observations: Family<[(&'static str, String); 1], Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let inner = Inner::default();
        // A counter that is there from the start shows its first increase, too. Nobody observes `missed`.
        for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Missed) {
            drop(inner.observations.get_or_create(&[("outcome", outcome.word().to_owned())]));
        }
        Self { inner: Arc::new(inner) }
    }
}

impl Metrics {
    /// A session was opened. It counts as open until the result is dropped.
    pub(crate) fn session(&self) -> OpenSession {
        self.inner.sessions.inc();
        self.inner.session.set(1);
        self.heard();
        OpenSession(self.clone())
    }

    /// Something came from the controller.
    pub(crate) fn heard(&self) {
        self.inner.heard.set(seconds(Timestamp::now()));
    }

    /// The certificate is good until then.
    pub(crate) fn certified(&self, until: Timestamp) {
        self.inner.certificate_end.set(seconds(until));
    }

    /// A job was begun.
    pub(crate) fn job_begins(&self) {
        self.inner.jobs.inc();
    }

    /// A job has ended, however.
    pub(crate) fn job_ended(&self) {
        self.inner.jobs.dec();
        self.inner.jobs_ended.inc();
        self.inner.job_end.set(seconds(Timestamp::now()));
    }

    /// Something was observed.
    pub(crate) fn observed(&self, outcome: Outcome) {
        self.inner.observations.get_or_create(&[("outcome", outcome.word().to_owned())]).inc();
    }

    /// All numbers, in the text format of Prometheus, with those of the spool and of the scope file.
    fn text(&self, held: &Held, scope: &Scope) -> Result<String, std::fmt::Error> {
        let inner = &self.inner;
        let mut registry = Registry::with_prefix("sekisho_probe");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        registry.register("session_open", "Whether a controller is connected", inner.session.clone());
        registry.register("sessions_opened", "Sessions that were opened", inner.sessions.clone());
        let help = "When a controller was last heard of; 0: never";
        registry.register("last_heard_timestamp_seconds", help, inner.heard.clone());
        let help = "Until when the certificate is valid";
        registry.register("certificate_end_timestamp_seconds", help, inner.certificate_end.clone());
        registry.register("jobs", "Jobs that run", inner.jobs.clone());
        registry.register("jobs_ended", "Jobs that have ended", inner.jobs_ended.clone());
        let help = "When a job last ended; 0: none has";
        registry.register("last_job_end_timestamp_seconds", help, inner.job_end.clone());
        registry.register("observations", "Results, by outcome", inner.observations.clone());
        let number = |registry: &mut Registry, name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        number(&mut registry, "spool_observations", "Results that are not handed in", held.rows);
        number(&mut registry, "spool_size_bytes", "Size of these results", held.bytes);
        let usable = u64::from(held.failure.is_none());
        number(&mut registry, "spool_usable", "Whether the disk took what was last written", usable);
        let rules = u64::try_from(scope.rules()).unwrap_or(u64::MAX);
        let help = "Rules of the scope file; 0: it allows nothing, or cannot be read";
        number(&mut registry, "scope_rules", help, rules);
        let dropped: Counter = Counter::default();
        dropped.inc_by(held.dropped);
        registry.register("spool_dropped_observations", "Results that the spool had no room for", dropped);
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// A session that is open.
pub(crate) struct OpenSession(Metrics);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.inner.session.set(0);
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}
