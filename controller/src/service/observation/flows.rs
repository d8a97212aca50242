//! Observations of flows: written once, with what was told of them, and put into the spans.

mod told;

use std::collections::BTreeMap;

use jiff::Timestamp;
use sekisho_domain::span::{Moment, Observed, Reading};
use sekisho_model::Outcome;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{HandedIn, json};
use crate::{
    service::{
        Result,
        span::{self, News},
    },
    store::{
        self,
        job::{Counted, Locked},
        letter::{self, letter},
        observation::{Detail, Observation},
        span::{Flow, Pair},
    },
};
use told::{Parts, Told};

/// The new observations of a batch, by job.
pub(super) struct Flows<'a> {
    /// Letters of all tasks, the new ones among them.
    letters: BTreeMap<i32, (&'a Locked, Vec<u8>)>,
    seen: Vec<Seen>,
}

/// A new observation.
struct Seen {
    job: i32,
    task: i16,
    sweep: i64,
    flow: Flow,
    result: HandedIn,
    observed_at: Timestamp,
}

impl<'a> Flows<'a> {
    pub(super) fn of(jobs: &'a [Locked]) -> Self {
        let checks = jobs.iter().filter(|job| job.kind == "check");
        let letters = checks.map(|job| {
            let mut letters = job.outcomes.clone();
            letters.resize(job.task_services.len(), letter::NONE);
            (job.number, (job, letters))
        });
        Self { letters: letters.collect(), seen: Vec::new() }
    }

    /// Takes a result in. One that is there already is left aside.
    pub(super) fn take(
        &mut self,
        job: &Locked,
        result: HandedIn,
        observed_at: Timestamp,
    ) -> std::result::Result<(), String> {
        let place = usize::try_from(result.task).unwrap_or(usize::MAX);
        let strange = || format!("the job has no flow {}", result.task);
        let letters = self.letters.get_mut(&job.number).map(|(_, letters)| letters);
        let old = letters.and_then(|letters| letters.get_mut(place)).ok_or_else(strange)?;
        if *old != letter::NONE {
            return Ok(());
        }
        let target = job.task_targets.get(place).copied().flatten().ok_or_else(strange)?;
        let service = job.task_services.get(place).copied().ok_or_else(strange)?;
        *old = letter(result.outcome).ok_or_else(|| format!("{} is no observation", result.outcome))?;
        self.seen.push(Seen {
            job: job.number,
            task: i16::try_from(result.task).map_err(|_| strange())?,
            sweep: job.sweep_id,
            flow: Flow { pair: Pair { vantage: job.vantage_id, target }, service },
            result,
            // Nothing is observed after it has come in: a clock that is ahead gets the time of arrival. Else the flow would
            // look, until that time comes, as it looks in this observation.
            observed_at: observed_at.min(job.now.to_jiff()),
        });
        Ok(())
    }

    /// Writes everything down, and returns how much is new.
    pub(super) async fn write(&self, connection: &mut PgConnection) -> Result<BTreeMap<Uuid, Counted>> {
        if self.seen.is_empty() {
            return Ok(BTreeMap::new());
        }
        let observations: Vec<Observation> = self.seen.iter().map(Seen::observation).collect();
        store::observation::insert(connection, &observations).await?;
        let began = span::extend(connection, &self.news()).await?;
        let (kept, passing) = self.details(|seen| began.contains(&seen.flow));
        store::observation::insert_details(connection, &kept, &passing).await?;
        let counted = self.letters.values().filter_map(|(job, letters)| {
            let new = self.seen.iter().filter(|seen| seen.job == job.number).count();
            let new = i32::try_from(new).unwrap_or(i32::MAX);
            (new > 0).then(|| (job.id, Counted { new, outcomes: Some(letters.clone()), autonomous: false }))
        });
        Ok(counted.collect())
    }

    fn news(&self) -> News {
        let mut news = News::new();
        for seen in &self.seen {
            // What nobody could test says nothing of the flow.
            if let Some(reading) = Reading::new(seen.result.outcome, seen.result.by) {
                let moment = Moment { at: seen.observed_at, sweep: seen.sweep };
                news.entry(seen.flow).or_default().push(Observed { moment, reading });
            }
        }
        news
    }

    /// What was told: what is kept, and what is for some days. `has_changed` tells whether the flow has a new span.
    fn details(&self, has_changed: impl Fn(&Seen) -> bool) -> (Vec<Detail>, Vec<Detail>) {
        let mut jobs: BTreeMap<i32, Parts<'_>> = BTreeMap::new();
        for seen in &self.seen {
            let HandedIn { outcome, facts, evidence, .. } = &seen.result;
            let parts = jobs.entry(seen.job).or_default();
            parts.put(seen.task, facts, evidence, *outcome == Outcome::Open, has_changed(seen));
        }
        let detail = |(job, told): (i32, &BTreeMap<i16, Told<'_>>)| {
            let task = *told.keys().next()?;
            Some(Detail { job, task, body: json(told).ok()? })
        };
        let kept = jobs.iter().map(|(job, parts)| (*job, &parts.telling)).filter_map(detail).collect();
        (kept, jobs.iter().map(|(job, parts)| (*job, &parts.plain)).filter_map(detail).collect())
    }
}

impl Seen {
    fn observation(&self) -> Observation {
        let Self { result, .. } = self;
        Observation {
            job: self.job,
            task: self.task,
            outcome: letter(result.outcome).unwrap_or(letter::NONE),
            by: result.by,
            rtt_us: result.rtt_us.map(|rtt| i32::try_from(rtt).unwrap_or(i32::MAX)),
            attempts: i16::try_from(result.attempts).unwrap_or(i16::MAX),
            confirmed: result.confirmed,
            observed_at: self.observed_at,
        }
    }
}
