//! Sends spans to a collector, in batches, one after the other. Whatever it does, nobody waits for it.

use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Setup, Span, Spans, Traces, Value, otlp};
use crate::notify::{Fault, Http};

/// Most spans in one request.
const BATCH: usize = 512;
/// How long the first span of a batch waits for others.
const GATHER: Duration = Duration::from_secs(1);
/// How long to wait after each attempt that failed. After the last of them the batch is dropped, and counted.
const WAITS: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(16),
    Duration::from_secs(32),
];
/// Shortest time between two warnings.
const QUIET: Duration = Duration::from_secs(60);
/// Longest that [`Exporter::finish`] takes.
const FLUSH: Duration = Duration::from_secs(5);

/// An exporter that runs.
#[derive(Debug)]
pub struct Exporter {
    stop: oneshot::Sender<()>,
    work: JoinHandle<()>,
}

impl Exporter {
    /// Starts one. `resource` is what is to be known of this program.
    ///
    /// # Errors
    /// When certificates of the setup cannot be used.
    pub(crate) fn start(
        setup: Setup,
        resource: Vec<(&'static str, Value)>,
        spans: &Spans,
    ) -> anyhow::Result<(Traces, Self)> {
        let Setup { endpoint, headers, sample } = setup;
        let counter = |result: &str| spans.get_or_create_owned(&[("result", result.to_owned())]);
        let (exported, dropped) = (counter("exported"), counter("dropped"));
        let (traces, queue) = Traces::channel(sample, dropped.clone());
        let place = endpoint.place();
        let http = Http::new(&endpoint, endpoint.url.clone())?;
        let worker = Worker { http, place, headers, resource, queue, exported, dropped, told: None, lost: 0 };
        let (stop, stopped) = oneshot::channel();
        let work = tokio::spawn(worker.run(stopped));
        Ok((traces, Self { stop, work }))
    }

    /// Sends what waits, and ends. Takes a few seconds at most; what is not sent by then is lost.
    pub async fn finish(self) {
        let Self { stop, mut work } = self;
        // An error means that it has ended.
        _ = stop.send(());
        if tokio::time::timeout(FLUSH, &mut work).await.is_err() {
            work.abort();
            tracing::warn!(
                seconds = FLUSH.as_secs(),
                "spans of traces are left that the collector has not taken"
            );
        }
    }
}

struct Worker {
    http: Http,
    /// The collector, for people.
    place: String,
    headers: HeaderMap,
    resource: Vec<(&'static str, Value)>,
    queue: mpsc::Receiver<Span>,
    exported: Counter,
    dropped: Counter,
    /// When it last warned, and how many spans had been dropped by then.
    told: Option<Instant>,
    lost: u64,
}

impl Worker {
    async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let mut batch = Vec::new();
        tokio::select! {
            () = self.work(&mut batch) => {}
            // An error means that nobody waits for the rest either.
            _ = &mut stop => {}
        }
        loop {
            while batch.len() < BATCH
                && let Ok(span) = self.queue.try_recv()
            {
                batch.push(span);
            }
            if batch.is_empty() {
                return;
            }
            if let Err(fault) = self.send(&batch).await {
                self.give_up(&batch, &fault);
            }
            batch.clear();
        }
    }

    /// Sends batch after batch, until every [`Traces`] is gone. Where it is cut short `batch` holds what was not sent.
    async fn work(&mut self, batch: &mut Vec<Span>) {
        while self.queue.recv_many(batch, BATCH).await > 0 {
            let full = async {
                while batch.len() < BATCH && self.queue.recv_many(batch, BATCH - batch.len()).await > 0 {}
            };
            // What came by then is in the batch.
            drop(tokio::time::timeout(GATHER, full).await);
            self.deliver(batch).await;
            batch.clear();
            self.tell_of_losses();
        }
    }

    async fn deliver(&mut self, batch: &[Span]) {
        let mut waits = WAITS.into_iter();
        loop {
            let Err(fault) = self.send(batch).await else { return };
            match waits.next().filter(|_| fault.may_pass()) {
                Some(wait) => {
                    self.warn(&fault);
                    tokio::time::sleep(wait).await;
                }
                None => return self.give_up(batch, &fault),
            }
        }
    }

    async fn send(&self, batch: &[Span]) -> Result<(), Fault> {
        let body = otlp::export(&self.resource, batch).encode_to_vec();
        let request = self.http.post().headers(self.headers.clone());
        let answer = self.http.ask(request.header(CONTENT_TYPE, "application/x-protobuf").body(body)).await?;
        // An answer that is not understood takes nothing back: the status says that the batch was taken.
        let answer = otlp::Answer::decode(answer.as_slice()).unwrap_or_default();
        let rejected = answer.partial_success.map_or(0, |partial| partial.rejected_spans);
        let sent = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let rejected = u64::try_from(rejected).unwrap_or(0).min(sent);
        self.exported.inc_by(sent - rejected);
        self.dropped.inc_by(rejected);
        Ok(())
    }

    fn give_up(&mut self, batch: &[Span], fault: &Fault) {
        self.dropped.inc_by(u64::try_from(batch.len()).unwrap_or(u64::MAX));
        self.warn(fault);
    }

    /// Whether it is time for a warning.
    fn may_warn(&mut self) -> bool {
        let is_quiet = self.told.is_some_and(|told| told.elapsed() < QUIET);
        if !is_quiet {
            self.told = Some(Instant::now());
        }
        !is_quiet
    }

    fn warn(&mut self, fault: &Fault) {
        if self.may_warn() {
            self.lost = self.dropped.get();
            let (collector, dropped) = (&self.place, self.lost);
            tracing::warn!(collector, dropped, "the collector does not take traces: {fault}");
        }
    }

    fn tell_of_losses(&mut self) {
        let dropped = self.dropped.get();
        if dropped > self.lost && self.may_warn() {
            let collector = &self.place;
            tracing::warn!(collector, dropped, new = dropped - self.lost, "spans of traces were dropped");
            self.lost = dropped;
        }
    }
}
