//! What became of plans, for this process after a restart and for people.

use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Planned;
use crate::identity;

const FILE: &str = "record.json";
/// Most fates that are kept: the newest ones.
const FATES: usize = 200;

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// The probe began it by itself.
    Begun,
    /// It ended here, whoever began it.
    Done,
    /// A controller took it back: it was done elsewhere, or is not wanted any more.
    Withdrawn,
    /// Its time was over before it was begun.
    Expired,
    /// It was not begun.
    Refused,
    /// Its file is damaged.
    Damaged,
}

impl What {
    /// The word, as in the file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Damaged => "damaged",
        }
    }
}

/// What became of a plan, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fate {
    pub(crate) at: Timestamp,
    pub(crate) job: Uuid,
    pub(crate) schedule: Option<String>,
    pub(crate) due: Option<Timestamp>,
    pub(crate) what: What,
    pub(crate) why: Option<String>,
}

impl Fate {
    pub(super) fn new(job: Uuid, planned: Option<&Planned>, what: What, why: Option<String>) -> Self {
        let schedule = planned.map(|planned| planned.schedule.clone());
        Self { at: Timestamp::now(), job, schedule, due: planned.map(|planned| planned.due), what, why }
    }
}

/// What is remembered of plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// Jobs that are held and have ended here.
    pub(crate) done: BTreeMap<Uuid, Timestamp>,
    /// Oldest first.
    pub(crate) fates: VecDeque<Fate>,
}

impl Record {
    /// Reads it; without a file, or with one that is damaged, nothing is remembered. A job that was done is then done again,
    /// which is harmless.
    pub(super) fn read(folder: &Path) -> Self {
        let text = std::fs::read(folder.join(FILE));
        text.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    pub(super) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        identity::write(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Notes a fate, unless the newest of the same job is the same. Says whether it is new.
    pub(super) fn note(&mut self, fate: Fate) -> bool {
        let last = self.fates.iter().rev().find(|last| last.job == fate.job);
        if last.is_some_and(|last| last.what == fate.what) {
            return false;
        }
        while self.fates.len() >= FATES {
            self.fates.pop_front();
        }
        self.fates.push_back(fate);
        true
    }
}
