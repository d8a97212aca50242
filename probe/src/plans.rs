//! Jobs of nights to come, on disk, for the nights on which no controller is there.
//!
//! One file for each planned job, as it came and as it was signed; written whole or not at all, and checked anew whenever it is
//! read. Beside them `record.json`: which of them are done, and what became of the latest ones; and `clock.json`: how this
//! host's clock compared with the controller's when last heard. Bounded in number and bytes: what comes beyond is refused.

pub(crate) mod clock;
mod record;
pub(crate) mod rule;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use jiff::Timestamp;
use prost::Message;
use rustls_pki_types::CertificateDer;
use sekisho_proto::{limits, v1};
use uuid::Uuid;

use crate::{
    convert,
    identity::{self, signature},
};
use clock::{Anchor, Reading, Unsure};
pub(crate) use record::{Fate, Record, What};
use rule::Times;

const FOLDER: &str = "plans";
const PLAN: &str = "plan";
const CLOCK: &str = "clock.json";

/// A planned job, without its tasks: these are read when it is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) schedule: String,
    pub(crate) due: Timestamp,
    pub(crate) times: Times,
    pub(crate) tasks: usize,
    pub(crate) bytes: u64,
}

/// The planned jobs of this probe.
#[derive(Debug)]
pub(crate) struct Plans {
    folder: PathBuf,
    probe: Uuid,
    pub(crate) held: BTreeMap<Uuid, Planned>,
    pub(crate) record: Record,
    pub(crate) anchor: Option<Anchor>,
}

impl Plans {
    /// Reads what a state directory holds. What is damaged, or not signed by a trusted controller, is deleted and recorded;
    /// unless the plans are only `read`.
    pub(crate) fn open(state: &Path, probe: Uuid, trust: &[CertificateDer<'static>]) -> anyhow::Result<Self> {
        let mut plans = Self::read(state, probe);
        identity::create_state(&plans.folder)?;
        for (path, why) in plans.load(trust)? {
            tracing::error!(path = %path.display(), why, "a plan is damaged and is deleted");
            let job = path.file_stem().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
            plans.record.note(Fate::new(job.unwrap_or_default(), None, What::Damaged, Some(why)));
            std::fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
        }
        let held: HashSet<Uuid> = plans.held.keys().copied().collect();
        plans.record.done.retain(|job, _| held.contains(job));
        plans.save();
        Ok(plans)
    }

    /// The same for a reader: nothing is changed.
    pub(crate) fn look(state: &Path, probe: Uuid, trust: &[CertificateDer<'static>]) -> anyhow::Result<Self> {
        let mut plans = Self::read(state, probe);
        plans.load(trust)?;
        Ok(plans)
    }

    fn read(state: &Path, probe: Uuid) -> Self {
        let folder = state.join(FOLDER);
        let anchor =
            std::fs::read(folder.join(CLOCK)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { record: Record::read(&folder), folder, probe, held: BTreeMap::new(), anchor }
    }

    /// Reads the files; gives those that are not usable.
    fn load(&mut self, trust: &[CertificateDer<'static>]) -> anyhow::Result<Vec<(PathBuf, String)>> {
        let mut bad = Vec::new();
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(bad),
            entries => entries.with_context(|| format!("cannot read {}", self.folder.display()))?,
        };
        for entry in entries {
            let path = entry.with_context(|| format!("cannot read {}", self.folder.display()))?.path();
            if path.extension().is_none_or(|extension| extension != PLAN) {
                continue;
            }
            match self.read_plan(&path, trust) {
                Ok((id, planned, _)) => drop(self.held.insert(id, planned)),
                Err(why) => bad.push((path, why)),
            }
        }
        Ok(bad)
    }

    fn read_plan(
        &self,
        path: &Path,
        trust: &[CertificateDer<'static>],
    ) -> Result<(Uuid, Planned, v1::Job), String> {
        let bytes = std::fs::read(path).map_err(|error| format!("it cannot be read: {error}"))?;
        let plan = v1::Plan::decode(bytes.as_slice()).map_err(|_| "it is cut short".to_owned())?;
        let checked = check(&plan, self.probe, trust)?;
        if path != self.path(checked.0) {
            return Err("it is of another job than its name says".to_owned());
        }
        Ok(checked)
    }

    fn path(&self, job: Uuid) -> PathBuf {
        self.folder.join(format!("{job}.{PLAN}"))
    }

    /// Keeps a plan that a controller sent. When this returns it is on the disk.
    ///
    /// # Errors
    /// It is not usable, not signed, of another probe, or there is no room for it; the text says which.
    pub(crate) fn take(
        &mut self,
        plan: &v1::Plan,
        trust: &[CertificateDer<'static>],
    ) -> Result<Uuid, String> {
        let (id, planned, _) = check(plan, self.probe, trust)?;
        let others = self.held.iter().filter(|(other, _)| **other != id);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), (_, held)| (count + 1, bytes + held.bytes));
        if count >= limits::PLANNED_JOBS || bytes + planned.bytes > limits::PLANNED_BYTES {
            return Err(format!("this probe holds {count} planned jobs of {bytes} bytes already"));
        }
        identity::write(&self.path(id), &plan.encode_to_vec()).map_err(|error| format!("{error:#}"))?;
        self.held.insert(id, planned);
        Ok(id)
    }

    /// The job of a plan.
    pub(crate) fn job(&self, id: Uuid, trust: &[CertificateDer<'static>]) -> Result<v1::Job, String> {
        Ok(self.read_plan(&self.path(id), trust)?.2)
    }

    /// Forgets every plan that is not among these: a controller has taken the others back, or they are over.
    pub(crate) fn keep_only(&mut self, jobs: &HashSet<Uuid>) {
        let gone: Vec<Uuid> = self.held.keys().filter(|job| !jobs.contains(job)).copied().collect();
        let withdrawn = gone.iter().filter(|job| !self.record.done.contains_key(job));
        let fates: Vec<Fate> = withdrawn.map(|job| self.fate(*job, What::Withdrawn, None)).collect();
        for fate in fates {
            self.record.note(fate);
        }
        self.forget(&gone);
    }

    /// Deletes plans.
    pub(crate) fn forget(&mut self, jobs: &[Uuid]) {
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            if let Err(error) = std::fs::remove_file(self.path(*job)) {
                tracing::warn!(%job, %error, "a plan cannot be deleted");
            }
            self.held.remove(job);
            self.record.done.remove(job);
        }
        self.save();
    }

    /// Notes that a job that is held has ended here.
    pub(crate) fn done(&mut self, job: Uuid) {
        if self.held.contains_key(&job) && self.record.done.insert(job, Timestamp::now()).is_none() {
            self.save();
        }
    }

    /// Notes what became of a plan, once.
    pub(crate) fn note(&mut self, job: Uuid, what: What, why: Option<String>) {
        let fate = self.fate(job, what, why);
        if self.record.note(fate) {
            self.save();
        }
    }

    fn fate(&self, job: Uuid, what: What, why: Option<String>) -> Fate {
        Fate::new(job, self.held.get(&job), what, why)
    }

    fn save(&self) {
        if let Err(error) = self.record.write(&self.folder) {
            tracing::error!(error = %format!("{error:#}"), "what became of the plans is not written down");
        }
    }

    /// Compares this host's clock with the controller's.
    pub(crate) fn compare(&mut self, controller: Timestamp) {
        /// A clock that goes as it did is written down this often.
        const AGAIN: Duration = Duration::from_secs(60);
        let reading = Reading::take();
        let is_news = self.anchor.as_ref().is_none_or(|last| {
            last.reading.boot != reading.boot
                || reading.up.saturating_sub(last.reading.up) >= AGAIN
                || last.now(&reading).is_err()
        });
        if !is_news {
            return;
        }
        let anchor = Anchor { reading, controller };
        let text = serde_json::to_vec(&anchor).unwrap_or_default();
        if let Err(error) = identity::write(&self.folder.join(CLOCK), &text) {
            tracing::error!(error = %format!("{error:#}"), "the comparison of clocks is not written down");
        }
        self.anchor = Some(anchor);
    }

    /// What time it is by the controller's clock.
    pub(crate) fn now(&self) -> Result<Timestamp, Unsure> {
        self.anchor.as_ref().ok_or(Unsure::Never)?.now(&Reading::take())
    }

    /// Whether a controller was heard since the start of the system.
    pub(crate) fn is_compared(&self) -> bool {
        self.anchor.as_ref().is_some_and(|anchor| anchor.reading.boot == Reading::take().boot)
    }
}

/// What a plan says, if it is signed, and for this probe.
fn check(
    plan: &v1::Plan,
    probe: Uuid,
    trust: &[CertificateDer<'static>],
) -> Result<(Uuid, Planned, v1::Job), String> {
    if !signature::is_signed(trust, &plan.body, &plan.signature) {
        return Err("no controller that this probe trusts has signed it".to_owned());
    }
    let body = v1::PlannedJob::decode(plan.body.as_slice()).map_err(|_| "it is not understood".to_owned())?;
    if convert::uuid(&body.probe) != Some(probe) {
        return Err("it is for another probe".to_owned());
    }
    let at = |name: &str, time: Option<prost_types::Timestamp>| {
        let time = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        time.ok_or_else(|| format!("it does not say {name}"))
    };
    let job = body.job.ok_or("it has no job")?;
    let id = convert::uuid(&job.id).ok_or("the id of its job is not a UUID")?;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let times = Times {
        start: at("when it begins", body.start)?,
        end: at("when it ends", body.end)?,
        alone: seconds(body.alone_seconds),
        turn: seconds(body.turn_seconds),
        silent: seconds(body.silent_seconds),
    };
    let planned = Planned {
        schedule: body.schedule,
        due: at("when it is due", body.due)?,
        times,
        tasks: job.tasks.len(),
        bytes: plan.encoded_len() as u64,
    };
    if planned.schedule.len() > limits::TEXT_BYTES || planned.bytes > limits::MESSAGE_BYTES as u64 {
        return Err("it is too large".to_owned());
    }
    Ok((id, planned, job))
}
