//! What to tell after a sweep: which alerts open, which are over, which are left as they are.
//!
//! An alert stands for one cause and speaks of *items*: flows, or vantages. It is told when it opens and once more when its
//! last item is over, and never in between, however many sweeps see it. The same sweep may be considered any number of
//! times, before and after results that come in late: what is known already gives nothing new.
//!
//! What a sweep says of an item of an open alert:
//!
//! | kind | it is there | it is over |
//! |---|---|---|
//! | `gap` | the flow is a gap | it was tested and is none |
//! | `exposure` | the flow is an exposure | it was tested and is none |
//! | `regression` | the flow is blocked, and no policy denies it | it is open, or a policy denies it |
//! | `lost-vantage` | all tasks of the vantage were missed | one was not |
//! | `fix` | never: it is told, and that is all | at once |
//!
//! It is over as well where the sweep would have had the flow and has it no longer (`gone`), and where the vantage has left the
//! inventory. Else the sweep says nothing: a flow that was missed, that failed, or that was not asked for leaves its alert
//! alone. An alert of which no sweep says anything for [`FORGOTTEN`] is over too.
//!
//! What opens an alert: a gap or an exposure that none speaks of; a `regression` since the previous sweep that is no gap; a `fix`
//! that no alert speaks of; a vantage that is lost and was heard in the previous sweep. An item that comes back within the hold
//! time of the last notice returns to its alert without a word, and is told only if a sweep after that time still has it.

mod facts;
mod filter;
mod group;
mod known;
mod retry;
#[cfg(test)]
mod tests;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use sekisho_model::{Cell, Check, Outcome, Service};
use serde::{Deserialize, Serialize};

use crate::{
    attribution::{Between, Cause, Control},
    compare::Change,
    gaps::Gaps,
};

use facts::Facts;
use known::{Covered, updated};

pub use facts::{heard, tested};
pub use filter::Filter;
pub use retry::pause;

/// An alert that no sweep says anything of for this long is over.
pub const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Most alerts of one kind that one sweep opens. The largest keep their causes; all others become one without a cause.
pub const MOST: usize = 100;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertKind {
    /// Flows that a policy allows and something blocks.
    Gap,
    /// Flows that a policy denies and that are open.
    Exposure,
    /// Flows that were open and are blocked, and that no policy speaks of.
    Regression,
    /// Flows that were blocked and are open, and that no alert speaks of.
    Fix,
    /// Vantages all of whose tasks were missed.
    LostVantage,
}

impl AlertKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Gap, Self::Exposure, Self::Regression, Self::Fix, Self::LostVantage];

    /// The word used in JSON, in SQL and in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Exposure => "exposure",
            Self::Regression => "regression",
            Self::Fix => "fix",
            Self::LostVantage => "lost-vantage",
        }
    }

    /// The kind of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether its flows are blocked.
    const fn is_blocked(self) -> bool {
        matches!(self, Self::Gap | Self::Regression)
    }
}

impl std::fmt::Display for AlertKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// What an alert speaks of: a flow, or a whole vantage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// Name of the vantage.
    pub vantage: String,
    /// The rest of the flow; `None`: the whole vantage.
    #[serde(flatten)]
    pub flow: Option<ItemFlow>,
}

/// A flow of a vantage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ItemFlow {
    /// Host name of the target, or its address where it has no name.
    pub target: String,
    /// Address of the target.
    pub address: IpAddr,
    /// The service.
    pub service: Service,
}

/// What is known of an alert's cause when it opens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct About {
    /// What it is about.
    pub kind: AlertKind,
    /// Where the fault lies; `None` where nothing is blocked, or where there are too many causes to name.
    pub cause: Option<Cause>,
    /// The outcome of all of its flows, where that is one.
    pub outcome: Option<Outcome>,
    /// Who refuses, where that is known.
    pub by: Option<IpAddr>,
    /// Where the flows end, where that is known.
    pub between: Option<Between>,
    /// An open flow that proves the cause.
    pub control: Option<Control>,
    /// Names of the policies that decide.
    pub policies: Vec<String>,
    /// How many of the flows were open in the previous sweep and are blocked.
    pub regressed: usize,
    /// Since when the first of the flows is as it is, where that is known.
    pub since: Option<Timestamp>,
}

/// An alert to open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alert {
    /// What is known of its cause.
    pub about: About,
    /// What it speaks of, in order.
    pub items: Vec<Item>,
}

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was told and is not over.
    Open,
    /// It came back within the hold time after it was told to be over, which was then.
    Held(Timestamp),
    /// It was told to be over then.
    Over(Timestamp),
}

/// An alert that is known already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub kind: AlertKind,
    /// Where it stands.
    pub state: State,
    /// When the last sweep ended that had one of its items.
    pub seen: Timestamp,
    /// What it speaks of, and since when that is over.
    pub items: BTreeMap<Item, Option<Timestamp>>,
}

/// A sweep to consider.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// When it ended.
    pub at: Timestamp,
    /// Its flows.
    pub cells: &'a [Cell],
    /// Its checks of vantages.
    pub checks: &'a [Check],
    /// Policy against it.
    pub gaps: &'a Gaps,
    /// What changed since the previous comparable sweep; nothing where there is none.
    pub changes: &'a [Change],
    /// Vantages that were heard in the previous comparable sweep.
    pub before: &'a BTreeSet<String>,
    /// What later sweeps, which were considered already, have tested: of that this one says nothing.
    pub later: &'a BTreeSet<Item>,
    /// Vantages of the inventory.
    pub vantages: &'a BTreeSet<String>,
    /// Whether a policy denies the flow of a cell.
    pub denied: &'a dyn Fn(&Cell) -> bool,
}

/// What to tell of a known alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// It is there again, and the hold time is over.
    Again,
    /// It is over.
    Resolved,
    /// No sweep says anything of it any more.
    Forgotten,
}

/// What becomes of a known alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Its number.
    pub id: i64,
    /// Where it stands.
    pub state: State,
    /// When the last sweep ended that had one of its items.
    pub seen: Timestamp,
    /// Items that are over, or are there again.
    pub items: BTreeMap<Item, Option<Timestamp>>,
    /// What to tell.
    pub tell: Option<Tell>,
}

/// What to do after a sweep. An alert that is in neither list is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Alerts to open, and to tell. Those of kind `fix` are over at once.
    pub open: Vec<Alert>,
    /// Known alerts that change.
    pub update: Vec<Update>,
}

/// Considers a sweep. `tracked` are the alerts that are not over, and those that a sweep has changed which ended at most
/// `hold` before this one, or after it.
#[must_use]
pub fn decide(seen: &Seen<'_>, tracked: &[Tracked], hold: SignedDuration) -> Decision {
    let facts = Facts::of(seen);
    let updates: Vec<Update> = tracked.iter().map(|alert| updated(alert, &facts, seen.at, hold)).collect();
    let covered = Covered::of(tracked, &updates);
    let open = group::alerts(seen, &facts, |kind, item| covered.has(kind, item));
    let is_changed = |(alert, update): &(&Tracked, Update)| {
        alert.state != update.state || alert.seen != update.seen || !update.items.is_empty()
    };
    let update = tracked.iter().zip(updates).filter(is_changed).map(|(_, update)| update).collect();
    Decision { open, update }
}
