//! What this process counts, for Prometheus. What the database knows is counted when it is asked for: see
//! `service/metrics.rs`.
//!
//! Names begin with `sekisho_`, units are seconds and bytes. Labels are words of this program and its own routes: nothing
//! that a stranger says becomes one.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// A metric by the values of its labels.
type Labelled<const LABELS: usize, M> = Family<[(&'static str, String); LABELS], M>;

/// A distribution of durations, by the values of its labels.
type Durations<const LABELS: usize> = Family<[(&'static str, String); LABELS], Histogram, fn() -> Histogram>;

/// Upper ends of the buckets of every duration, seconds.
const BUCKETS: [f64; 12] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

fn durations() -> Histogram {
    Histogram::new(BUCKETS)
}

/// The counters of one controller.
pub(crate) struct Metrics {
    requests: Labelled<3, Counter>,
    request_seconds: Durations<1>,
    calls: Labelled<2, Counter>,
    observations: Labelled<1, Counter>,
    batches: Labelled<1, Counter>,
    ingest_seconds: Histogram,
    sessions: Gauge,
    sessions_opened: Counter,
    rounds: Labelled<1, Counter>,
    round_seconds: Histogram,
    last_good_round: Gauge<f64, AtomicU64>,
    spans: crate::traces::Spans,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(durations),
            calls: Family::default(),
            observations: Family::default(),
            batches: Family::default(),
            ingest_seconds: durations(),
            sessions: Gauge::default(),
            sessions_opened: Counter::default(),
            rounds: Family::default(),
            round_seconds: durations(),
            last_good_round: Gauge::default(),
            spans: Family::default(),
        };
        // A counter that is there from the start shows its first increase, too.
        for result in ["new", "repeated", "dropped"] {
            drop(metrics.observations.get_or_create(&[("result", result.to_owned())]));
        }
        for result in RESULTS {
            drop(metrics.batches.get_or_create(&[("result", result.to_owned())]));
            drop(metrics.rounds.get_or_create(&[("result", result.to_owned())]));
        }
        for result in ["exported", "dropped"] {
            drop(metrics.spans.get_or_create(&[("result", result.to_owned())]));
        }
        metrics
    }
}

const RESULTS: [&str; 2] = ["ok", "failed"];

fn result(ok: bool) -> [(&'static str, String); 1] {
    let [good, bad] = RESULTS;
    [("result", if ok { good } else { bad }.to_owned())]
}

impl Metrics {
    /// A request of an operator was answered. `route` is one of the router's own, or `other`.
    pub(crate) fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let method = if ["GET", "POST"].contains(&method) { method } else { "other" };
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&[("route", route.to_owned())]).observe(took.as_secs_f64());
    }

    /// A call of a probe was answered; of a session: it was opened, or not.
    pub(crate) fn called<T>(&self, method: &str, result: &Result<T, tonic::Status>) {
        let code = result.as_ref().err().map_or(tonic::Code::Ok, tonic::Status::code);
        self.calls.get_or_create(&[("method", method.to_owned()), ("code", format!("{code:?}"))]).inc();
    }

    /// A batch of results was written: so many of each kind.
    pub(crate) fn ingested(&self, new: usize, repeated: usize, dropped: usize, took: Duration) {
        self.batches.get_or_create(&result(true)).inc();
        self.ingest_seconds.observe(took.as_secs_f64());
        for (kind, count) in [("new", new), ("repeated", repeated), ("dropped", dropped)] {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.observations.get_or_create(&[("result", kind.to_owned())]).inc_by(count);
        }
    }

    /// A batch of results was not written.
    pub(crate) fn not_ingested(&self) {
        self.batches.get_or_create(&result(false)).inc();
    }

    /// A session was opened. It counts as open until the result is dropped.
    pub(crate) fn session(&self) -> OpenSession {
        self.sessions_opened.inc();
        self.sessions.inc();
        OpenSession(self.sessions.clone())
    }

    /// The background ended a round.
    pub(crate) fn round(&self, ok: bool, took: Duration) {
        self.rounds.get_or_create(&result(ok)).inc();
        self.round_seconds.observe(took.as_secs_f64());
        if ok {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last_good_round.set(now.as_secs_f64());
        }
    }

    /// Spans of traces, by what became of them.
    pub(crate) fn spans(&self) -> &crate::traces::Spans {
        &self.spans
    }

    /// Names everything for one scrape.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests of operators that were answered", self.requests.clone());
        registry.register(
            "http_request_duration_seconds",
            "Time until the answer to a request of an operator",
            self.request_seconds.clone(),
        );
        registry.register("grpc_requests", "Calls of probes that were answered", self.calls.clone());
        registry.register(
            "ingest_observations",
            "Results that probes handed in here: written, written before, not usable",
            self.observations.clone(),
        );
        registry.register(
            "ingest_batches",
            "Batches of results that were handed in here",
            self.batches.clone(),
        );
        registry.register(
            "ingest_duration_seconds",
            "Time until a batch of results was committed",
            self.ingest_seconds.clone(),
        );
        registry.register("sessions", "Sessions of probes that are open here", self.sessions.clone());
        registry.register(
            "sessions_opened",
            "Sessions of probes that were opened here",
            self.sessions_opened.clone(),
        );
        registry.register("background_rounds", "Rounds of the background", self.rounds.clone());
        registry.register(
            "background_round_duration_seconds",
            "Time that a round of the background took",
            self.round_seconds.clone(),
        );
        registry.register(
            "background_last_success_timestamp_seconds",
            "When a round of the background last went well",
            self.last_good_round.clone(),
        );
        registry.register(
            "trace_spans",
            "Spans of traces: taken by the collector, or dropped because it did not take them in time",
            self.spans.clone(),
        );
    }
}

/// A session that is open.
pub(crate) struct OpenSession(Gauge);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Statements that failed, of this process: the store has no place of its own to count.
pub(crate) struct Failures {
    outage: AtomicU64,
    other: AtomicU64,
}

/// The only one.
pub(crate) static FAILURES: Failures = Failures { outage: AtomicU64::new(0), other: AtomicU64::new(0) };

impl Failures {
    /// Counts one.
    pub(crate) fn count(&self, is_outage: bool) {
        if is_outage { &self.outage } else { &self.other }.fetch_add(1, Ordering::Relaxed);
    }

    /// Names them for one scrape.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let failures = Labelled::<1, Counter>::default();
        for (kind, count) in [("outage", &self.outage), ("other", &self.other)] {
            let labels = [("kind", kind.to_owned())];
            failures.get_or_create(&labels).inc_by(count.load(Ordering::Relaxed));
        }
        let help = "Statements that failed: because the database was away or busy, or for another reason";
        registry.register("database_errors", help, failures);
    }
}
