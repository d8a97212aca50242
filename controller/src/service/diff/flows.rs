//! The flows of two sweeps that are not plainly the same. A large sweep has hundreds of thousands, and few that differ: only
//! of these is read how they came out.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sekisho_model::Cell;
use sqlx::PgConnection;

use crate::{
    service::{Result, matrix::Names},
    store::{self, job::Image, letter, observation::Seen},
};

/// A flow in a sweep.
#[derive(Debug, Clone, Copy)]
struct Flow {
    target: i32,
    service: i16,
    letter: u8,
    job: i32,
    task: usize,
}

impl Flow {
    const fn key(&self) -> (i32, i16) {
        (self.target, self.service)
    }

    /// It was tested.
    const fn is_known(&self) -> bool {
        self.letter != letter::NONE && !matches!(self.letter, b'x')
    }
}

/// What is to be looked at of two sweeps.
#[derive(Default)]
pub(super) struct Differing {
    pub(super) before: Part,
    pub(super) after: Part,
    /// Flows with the same outcome in both.
    pub(super) unchanged: usize,
}

/// Flows of one sweep, by vantage.
#[derive(Default)]
pub(super) struct Part(Vec<(i32, Flow)>);

/// Takes two sweeps apart. With `all`, no flow counts as plainly the same.
pub(super) fn differing(before: &[Image], after: &[Image], all: bool) -> Differing {
    let (mut before, mut after) = (by_vantage(before), by_vantage(after));
    let vantages: BTreeSet<i32> = before.keys().chain(after.keys()).copied().collect();
    let mut differing = Differing::default();
    for vantage in vantages {
        let old = before.remove(&vantage).unwrap_or_default();
        let new = after.remove(&vantage).unwrap_or_default();
        let mut others = new.into_iter().peekable();
        for flow in old {
            while let Some(other) = others.next_if(|other| other.key() < flow.key()) {
                differing.after.0.push((vantage, other));
            }
            let Some(other) = others.next_if(|other| other.key() == flow.key()) else {
                differing.before.0.push((vantage, flow));
                continue;
            };
            if flow.letter == other.letter && flow.is_known() && !all {
                differing.unchanged = differing.unchanged.saturating_add(1);
            } else {
                differing.before.0.push((vantage, flow));
                differing.after.0.push((vantage, other));
            }
        }
        differing.after.0.extend(others.map(|other| (vantage, other)));
    }
    differing
}

/// The flows of each vantage by target and service.
fn by_vantage(images: &[Image]) -> BTreeMap<i32, Vec<Flow>> {
    let mut vantages: BTreeMap<i32, Vec<Flow>> = BTreeMap::new();
    for image in images {
        let flow =
            |(task, target, service, letter)| Flow { target, service, letter, job: image.number, task };
        vantages.entry(image.vantage_id).or_default().extend(image.flows().map(flow));
    }
    for flows in vantages.values_mut() {
        flows.sort_by_key(Flow::key);
    }
    vantages
}

impl Part {
    /// The flows as cells, without facts.
    pub(super) async fn cells(&self, connection: &mut PgConnection, names: &Names) -> Result<Vec<Cell>> {
        let place = |flow: &Flow| (flow.job, i16::try_from(flow.task).unwrap_or(i16::MAX));
        let tasks: Vec<(i32, i16)> = self.0.iter().map(|(_, flow)| place(flow)).collect();
        let seen = store::observation::of_tasks(connection, &tasks).await?;
        let seen: HashMap<(i32, i16), Seen> =
            seen.into_iter().map(|seen| ((seen.job, seen.task), seen)).collect();
        let cell = |(vantage, flow): &(i32, Flow)| {
            let mut cell = names.blank(*vantage, flow.target, flow.service, letter::outcome(flow.letter)?)?;
            if let Some(seen) = seen.get(&place(flow)) {
                cell.by = seen.by;
                cell.confirmed = seen.confirmed;
                cell.observed_at = Some(seen.observed_at.to_jiff());
            }
            Ok(cell)
        };
        self.0.iter().map(cell).collect()
    }
}
