//! Traces for OpenTelemetry: spans that tell of a sweep from the request or the schedule that began it to its jobs and to the
//! batches of results that were committed.
//!
//! Services make spans of what they know anyway ([`Traces::tell`] never waits); an exporter sends them, by OTLP over HTTP. A span
//! is told when what it is about has ended, by whichever controller ends it: numbers of spans are known before, since they are
//! kept with the sweep or made of a job's number.

mod exporter;
pub mod otlp;
mod sample;
mod span;
#[cfg(test)]
mod tests;

use prometheus_client::metrics::{counter::Counter, family::Family};
use reqwest::header::HeaderMap;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom as _, SystemRandom},
};
use sekisho_model::{SpanId, TraceId, TraceParent};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::notify::Endpoint;

pub use exporter::Exporter;
pub use sample::{BadSample, Sample};
pub use span::{Kind, Span, Value};

/// Most spans that wait for the exporter. Further ones are dropped, and counted.
pub const QUEUE: usize = 8_192;

/// How spans are exported, as the configuration has it. What it holds was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// The collector, with the path of its traces.
    pub endpoint: Endpoint,
    /// Headers of each request, marked as secrets.
    pub headers: HeaderMap,
    /// Which traces that begin here are recorded.
    pub sample: Sample,
}

/// Counts spans by what became of them: `exported` or `dropped`.
pub(crate) type Spans = Family<[(&'static str, String); 1], Counter>;

/// Where spans go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Traces {
    sample: Sample,
    queue: mpsc::Sender<Span>,
    random: SystemRandom,
    dropped: Counter,
}

impl Traces {
    /// Spans that are told come out of the receiver, at most [`QUEUE`] at a time. What has no room is counted as dropped.
    #[must_use]
    pub fn channel(sample: Sample, dropped: Counter) -> (Self, mpsc::Receiver<Span>) {
        let (queue, spans) = mpsc::channel(QUEUE);
        (Self { sample, queue, random: SystemRandom::new(), dropped }, spans)
    }

    /// A new span of the trace that `within` is in; or of a new trace, as often as these are to be recorded.
    #[must_use]
    pub fn begin(&self, within: Option<TraceParent>) -> Option<TraceParent> {
        let span = SpanId::new(u64::from_be_bytes(self.random()?))?;
        match within {
            Some(within) => Some(TraceParent { span, ..within }),
            None => {
                let trace = TraceId::new(u128::from_be_bytes(self.random()?))?;
                self.sample.takes(trace).then_some(TraceParent { trace, span, sampled: true })
            }
        }
    }

    /// `None` when the system gives no random numbers: then nothing is traced.
    fn random<const BYTES: usize>(&self) -> Option<[u8; BYTES]> {
        let mut bytes = [0; BYTES];
        self.random.fill(&mut bytes).ok().map(|()| bytes)
    }

    /// Tells of a span that has ended. Never waits; a trace that is not recorded is not told of.
    pub fn tell(&self, span: Span) {
        if span.context.sampled && self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

/// The span of a job of a sweep in a trace. Every controller makes the same number of it.
#[must_use]
pub fn of_job(sweep: TraceParent, job: Uuid) -> TraceParent {
    let digest = digest(&SHA256, job.as_bytes());
    let number = digest.as_ref().first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    let span = number.and_then(SpanId::new).unwrap_or(sweep.span);
    TraceParent { span, ..sweep }
}
