//! Spans of sweeps: what is told to whom the configuration names. A span is told once, by the controller that sees its end.
//!
//! There is one for the request that began the sweep, one for the sweep, one for each job, one for each time that a probe was
//! through with a job, and one for each batch of results and job of which it has some. An observation is counted by the span of its
//! batch and has none of its own: a sweep may have 250,000.

use std::collections::{BTreeMap, BTreeSet};

use sekisho_model::{SweepState, TraceParent};
use uuid::Uuid;

use super::{Result, Services, Session, sweep::strange};
use crate::{
    store::{
        self,
        job::{Counted, Locked},
        sweep::Summary,
        trace,
    },
    traces::{Kind, Span, Traces, Value, of_job},
};

/// Batches of results on their way into the database, by job.
#[derive(Default)]
pub(super) struct Batches(Vec<Span>);

impl Services {
    /// Lets sweeps that begin from here on be traced.
    pub fn set_traces(&self, traces: Traces) {
        // The first one stays.
        drop(self.inner.traces.set(traces));
    }

    /// Where spans go; `None`: nothing is traced.
    #[must_use]
    pub fn traces(&self) -> Option<&Traces> {
        self.inner.traces.get()
    }

    /// Tells of a sweep and its jobs, if it has ended and is traced. What cannot be told is told to nobody.
    pub(super) async fn trace_sweep(&self, sweep: i64) {
        let Some(traces) = self.traces() else { return };
        match self.spans_of(sweep).await {
            Ok(spans) => spans.into_iter().for_each(|span| traces.tell(span)),
            Err(error) => {
                tracing::debug!(sweep, error = &error as &dyn std::error::Error, "a sweep is not traced")
            }
        }
    }

    async fn spans_of(&self, id: i64) -> Result<Vec<Span>> {
        let mut connection = self.connection().await?;
        let Some(sweep) = trace::ended(&mut connection, id).await? else { return Ok(Vec::new()) };
        let context = read(&sweep.traceparent)?;
        if !context.sampled {
            return Ok(Vec::new());
        }
        let Some(summary) = store::sweep::find(&mut connection, id).await? else { return Ok(Vec::new()) };
        let mut spans = Vec::from_iter(of_sweep(context, &sweep, &summary));
        spans.extend(trace::jobs(&mut connection, id).await?.iter().map(|job| of_one_job(context, id, job)));
        Ok(spans)
    }

    /// Tells that the probe of a session is through with a job.
    pub(super) async fn trace_report(&self, session: &Session, job: Uuid) {
        let Some(traces) = self.traces() else { return };
        let given = async {
            let mut connection = self.connection().await?;
            let Some(given) = trace::given(&mut connection, job, session.probe).await? else {
                return Ok(None);
            };
            Ok::<_, super::Error>(Some((read(&given.traceparent)?, given)))
        };
        match given.await {
            Ok(Some((sweep, given))) => {
                let job_span = of_job(sweep, job);
                let Some(context) = traces.begin(Some(job_span)) else { return };
                traces.tell(Span {
                    context,
                    parent: Some(job_span.span),
                    name: "job on probe".to_owned(),
                    kind: Kind::Internal,
                    start: given.assigned_at.to_jiff(),
                    end: given.now.to_jiff(),
                    attributes: vec![
                        ("sekisho.job.id", job.to_string().into()),
                        ("sekisho.job.kind", given.kind.into()),
                        ("sekisho.vantage", given.vantage.into()),
                        ("sekisho.probe.id", session.probe.to_string().into()),
                    ],
                    failure: None,
                });
            }
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(%job, error = &error as &dyn std::error::Error, "a job is not traced")
            }
        }
    }

    /// What is to be told of a batch of results once it is committed.
    pub(super) async fn batches(
        &self,
        connection: &mut sqlx::PgConnection,
        probe: Uuid,
        jobs: &[Locked],
        counts: &BTreeMap<Uuid, Counted>,
    ) -> Result<Batches> {
        let Some(traces) = self.traces().filter(|_| !counts.is_empty()) else {
            return Ok(Batches::default());
        };
        let jobs = || jobs.iter().filter_map(|job| Some((job, counts.get(&job.id)?)));
        let sweeps: BTreeSet<i64> = jobs().map(|(job, _)| job.sweep_id).collect();
        let sweeps = trace::of_sweeps(connection, &Vec::from_iter(sweeps)).await?;
        let mut batches = Batches::default();
        for (job, counted) in jobs() {
            let sweep = sweeps.iter().find(|(sweep, _)| *sweep == job.sweep_id);
            let Some(sweep) = sweep.map(|(_, context)| read(context)).transpose()? else { continue };
            let job_span = of_job(sweep, job.id);
            let Some(context) = traces.begin(Some(job_span)) else { continue };
            batches.0.push(Span {
                context,
                parent: Some(job_span.span),
                name: "commit results".to_owned(),
                kind: Kind::Consumer,
                start: job.now.to_jiff(),
                end: job.now.to_jiff(),
                attributes: vec![
                    ("sekisho.job.id", job.id.to_string().into()),
                    ("sekisho.job.kind", job.kind.as_str().into()),
                    ("sekisho.probe.id", probe.to_string().into()),
                    ("sekisho.observations", i64::from(counted.new).into()),
                    ("sekisho.autonomous", counted.autonomous.into()),
                ],
                failure: None,
            });
        }
        Ok(batches)
    }

    /// Tells of batches that are committed, and took so long.
    pub(super) fn committed(&self, batches: Batches, took: std::time::Duration) {
        let Some(traces) = self.traces() else { return };
        for span in batches.0 {
            let end = span.start.saturating_add(took).unwrap_or(span.start);
            traces.tell(Span { end, ..span });
        }
    }
}

/// A place in a trace as the database has it.
fn read(context: &str) -> Result<TraceParent> {
    context.parse().map_err(|_| strange("traceparent", context))
}

fn of_sweep(context: TraceParent, sweep: &trace::Sweep, summary: &Summary) -> Option<Span> {
    let mut attributes = vec![
        ("sekisho.sweep.id", Value::from(summary.id)),
        ("sekisho.sweep.profile", summary.profile.as_str().into()),
        ("sekisho.sweep.state", summary.state.as_str().into()),
        ("sekisho.planned", summary.planned.into()),
        ("sekisho.observed", summary.observed.into()),
        ("sekisho.missed", summary.missed.into()),
    ];
    attributes.extend(sweep.schedule.as_ref().map(|name| ("sekisho.schedule", Value::from(name.as_str()))));
    let is_partial = summary.state == SweepState::Partial.word();
    Some(Span {
        context,
        parent: sweep.trace_parent.as_ref().and_then(|span| span.parse().ok()),
        name: "sweep".to_owned(),
        kind: Kind::Internal,
        start: summary.started_at.to_jiff(),
        end: summary.finished_at?.to_jiff(),
        attributes,
        failure: is_partial.then(|| {
            let missed = format!("{} of {} are missed", summary.missed, summary.planned);
            summary.note.clone().unwrap_or(missed)
        }),
    })
}

fn of_one_job(sweep: TraceParent, id: i64, job: &trace::Job) -> Span {
    let mut attributes = vec![
        ("sekisho.sweep.id", Value::from(id)),
        ("sekisho.job.id", job.id.to_string().into()),
        ("sekisho.job.kind", job.kind.as_str().into()),
        ("sekisho.vantage", job.vantage.as_str().into()),
        ("sekisho.planned", i64::from(job.planned).into()),
        ("sekisho.observed", i64::from(job.observed).into()),
        ("sekisho.missed", i64::from(job.missed).into()),
        ("sekisho.autonomous", job.autonomous.into()),
    ];
    attributes.extend(job.probe_id.map(|probe| ("sekisho.probe.id", Value::from(probe.to_string()))));
    let failure = job.reason.clone().filter(|_| job.missed > 0);
    attributes.extend(failure.as_ref().map(|reason| ("error.type", Value::from(reason.as_str()))));
    Span {
        context: of_job(sweep, job.id),
        parent: Some(sweep.span),
        name: "job".to_owned(),
        kind: Kind::Internal,
        start: job.queued_at.to_jiff(),
        end: job.finished_at.to_jiff(),
        attributes,
        failure,
    }
}
