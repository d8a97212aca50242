//! The matrix of a sweep, or of a time.

mod then;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use sekisho_model::{Cell, Check, CheckKind, CheckStatus, Facts, Matrix, Outcome, Service, SweepSummary};
use serde::Deserialize;
use sqlx::PgConnection;

use super::{
    Error, Result, Services, SweepRef,
    sweep::{find, resolve, strange, summary, unknown},
};
use crate::store::{self, job::Image, letter, names, observation::Seen};

pub use then::FRESH;

/// Of which vantages. Nothing named: all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Those of a site.
    pub site: Option<String>,
    /// The one of a name.
    pub vantage: Option<String>,
}

impl Services {
    /// Every flow and every check of a sweep that is decided: observed, or missed once its job has ended. Flows by vantage,
    /// target, service; checks by vantage, domain, check, target.
    ///
    /// # Errors
    /// When there is no such sweep, or its observations are not kept any more.
    pub async fn matrix(&self, sweep: SweepRef) -> Result<Matrix> {
        self.matrix_of(sweep, &Place::default()).await
    }

    /// As [`Services::matrix`], of some vantages.
    ///
    /// # Errors
    /// As there, and when there is no such site or vantage.
    pub async fn matrix_of(&self, sweep: SweepRef, place: &Place) -> Result<Matrix> {
        let mut connection = self.connection().await?;
        let Part { sweep, names, chosen } = Part::of(&mut connection, sweep, place).await?;
        let images = store::job::images(&mut connection, sweep.id, chosen.as_deref()).await?;
        let cells = cells(&mut connection, &images, &names, true).await?;
        let checks = store::check_result::of_sweep(&mut connection, sweep.id, chosen.as_deref()).await?;
        drop(connection);
        let mut checks: Vec<Check> = checks.into_iter().map(check).collect::<Result<_>>()?;
        checks.sort_by_cached_key(order);
        Ok(Matrix { sweep: Some(sweep), at: None, cells, checks })
    }
}

/// A sweep, and of which vantages it is read.
pub(super) struct Part {
    pub(super) sweep: SweepSummary,
    pub(super) names: Names,
    /// Keys of the vantages; `None` for all.
    pub(super) chosen: Option<Vec<i32>>,
}

impl Part {
    pub(super) async fn of(connection: &mut PgConnection, sweep: SweepRef, place: &Place) -> Result<Self> {
        let id = resolve(connection, sweep).await?;
        let sweep = readable(connection, id).await?;
        let names = Names::of(connection).await?;
        let chosen = names.chosen(place)?;
        Ok(Self { sweep, names, chosen })
    }
}

/// A sweep whose observations are still kept.
pub(super) async fn readable(connection: &mut PgConnection, id: i64) -> Result<SweepSummary> {
    let found = find(connection, id).await?;
    kept(&found)?;
    summary(&found)
}

/// Refuses a sweep whose observations are gone.
fn kept(sweep: &store::sweep::Summary) -> Result<()> {
    match sweep.expired_at {
        None => Ok(()),
        Some(_) => Err(Error::NotFound(format!(
            "the observations of sweep {id} are older than the time for which they are kept (keep_observations); what flows \
             looked like then is still known: sekisho matrix --at {at}",
            id = sweep.id,
            at = sweep.started_at.to_jiff(),
        ))),
    }
}

/// What keys stand for.
pub(super) struct Names {
    pub(super) vantages: HashMap<i32, names::Vantage>,
    pub(super) targets: HashMap<i32, names::Target>,
    pub(super) services: HashMap<i16, Service>,
}

impl Names {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self> {
        let services = names::services(connection).await?;
        let service = |(id, name): (i16, String)| {
            name.parse().map(|it| (id, it)).map_err(|_| strange("service", &name))
        };
        Ok(Self {
            vantages: names::vantages(connection).await?,
            targets: names::targets(connection).await?,
            services: services.into_iter().map(service).collect::<Result<_>>()?,
        })
    }

    /// Keys of the vantages that are meant; `None` for all.
    pub(super) fn chosen(&self, place: &Place) -> Result<Option<Vec<i32>>> {
        let known = |name: fn(&names::Vantage) -> Option<&str>| -> BTreeSet<&str> {
            self.vantages.values().filter_map(name).collect()
        };
        let mut chosen: Vec<&names::Vantage> = self.vantages.values().collect();
        if let Some(site) = &place.site {
            chosen.retain(|vantage| vantage.site.as_ref() == Some(site));
            if chosen.is_empty() {
                let sites = known(|vantage| vantage.site.as_deref());
                return Err(Error::NotFound(unknown("site", site, sites.into_iter())));
            }
        }
        if let Some(name) = &place.vantage {
            chosen.retain(|vantage| vantage.name == *name);
            if chosen.is_empty() {
                let names = known(|vantage| Some(&vantage.name));
                return Err(Error::NotFound(unknown("vantage", name, names.into_iter())));
            }
        }
        let is_part = place.site.is_some() || place.vantage.is_some();
        Ok(is_part.then(|| chosen.into_iter().map(|vantage| vantage.id).collect()))
    }

    /// Whether targets of two domains have the same name and address.
    pub(super) fn has_twins(&self) -> bool {
        let names: HashSet<(&str, IpAddr)> =
            self.targets.values().map(|target| (target.host.as_str(), target.address)).collect();
        names.len() < self.targets.len()
    }

    /// A cell that says nothing yet but which flow it is.
    pub(super) fn blank(&self, vantage: i32, target: i32, service: i16, outcome: Outcome) -> Result<Cell> {
        let gone =
            |what: &str, id: i64| Error::Internal(format!("there is no {what} {id} in the database").into());
        let vantage = self.vantages.get(&vantage).ok_or_else(|| gone("vantage", vantage.into()))?;
        let target = self.targets.get(&target).ok_or_else(|| gone("target", target.into()))?;
        let service = *self.services.get(&service).ok_or_else(|| gone("service", service.into()))?;
        let subnet = vantage.subnet.as_deref().map(str::parse).transpose();
        let subnet = subnet.map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(Cell::bare(&vantage.name, subnet, (&target.name(), target.address), service, outcome))
    }
}

/// What was told of an observation, as far as a cell shows it.
#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    facts: Facts,
}

/// The cells of jobs, by vantage, target, service; without `open`, those of open flows say only that they are open.
pub(super) async fn cells(
    connection: &mut PgConnection,
    images: &[Image],
    names: &Names,
    open: bool,
) -> Result<Vec<Cell>> {
    let jobs: Vec<i32> =
        images.iter().filter(|image| !image.outcomes.is_empty()).map(|image| image.number).collect();
    let seen = store::observation::of_jobs(connection, &jobs, open).await?;
    let mut seen: HashMap<(i32, i16), Seen> =
        seen.into_iter().map(|seen| ((seen.job, seen.task), seen)).collect();
    let mut told: HashMap<(i32, i16), Facts> = HashMap::new();
    for (job, body) in store::observation::details_of_jobs(connection, &jobs, open).await? {
        let body: BTreeMap<i16, Told> =
            serde_json::from_str(&body).map_err(|error| Error::Internal(Box::new(error)))?;
        // Of a flow there may be a second part, without facts.
        let facts = body.into_iter().filter(|(_, it)| !it.facts.is_empty());
        told.extend(facts.map(|(task, it)| ((job, task), it.facts)));
    }
    let mut cells = Vec::new();
    for image in images {
        for (task, target, service, letter) in image.flows() {
            let mut cell = names.blank(image.vantage_id, target, service, letter::outcome(letter)?)?;
            let key = (image.number, i16::try_from(task).unwrap_or(i16::MAX));
            match seen.remove(&key) {
                Some(seen) => fill(&mut cell, seen, told.remove(&key).unwrap_or_default()),
                // A flow without observation was missed, for the reason of its job.
                None => {
                    cell.facts.extend(image.reason.clone().map(|reason| ("reason".to_owned(), reason.into())))
                }
            }
            cells.push(cell);
        }
    }
    sort(&mut cells);
    Ok(cells)
}

/// By vantage, target, service.
fn sort(cells: &mut [Cell]) {
    cells.sort_by(|a, b| {
        (&a.vantage, &a.target, a.address, a.service).cmp(&(&b.vantage, &b.target, b.address, b.service))
    });
}

fn fill(cell: &mut Cell, seen: Seen, facts: Facts) {
    cell.port = Cell::port_of(cell.service, &facts);
    cell.by = seen.by;
    cell.rtt_us = seen.rtt_us.and_then(|rtt| rtt.try_into().ok());
    cell.attempts = seen.attempts.try_into().unwrap_or(0);
    cell.confirmed = seen.confirmed;
    cell.facts = facts;
    cell.observed_at = Some(seen.observed_at.to_jiff());
}

type Order = (String, String, CheckKind, Option<String>, Option<IpAddr>, Option<String>);

fn order(check: &Check) -> Order {
    let computer = check.facts.get("computer").map(ToString::to_string);
    let Check { vantage, domain, target, address, check, .. } = check;
    (vantage.clone(), domain.clone(), *check, target.clone(), *address, computer)
}

fn check(row: store::check_result::Check) -> Result<Check> {
    let check: CheckKind = row.kind.parse().map_err(|_| strange("check of a vantage", &row.kind))?;
    let status = match &row.status {
        Some(word) => word.parse().map_err(|_| strange("status of a check", word))?,
        None => CheckStatus::Unknown,
    };
    let mut facts: Facts = match row.facts {
        Some(facts) => serde_json::from_value(facts).map_err(|error| Error::Internal(Box::new(error)))?,
        // A check without result was missed, for the reason of its job.
        None => {
            let reason = row.reason.map(|reason| ("reason".to_owned(), reason.into()));
            reason.into_iter().chain([("missed".to_owned(), true.into())]).collect()
        }
    };
    if let Some(computer) = row.computer {
        facts.insert("computer".to_owned(), computer.into());
    }
    let host = row.host.filter(|host| !host.is_empty());
    Ok(Check {
        vantage: row.vantage,
        domain: row.domain,
        target: host.or_else(|| row.address.map(|address| address.to_string())),
        address: row.address,
        check,
        status,
        facts,
        observed_at: row.observed_at.map(jiff_sqlx::Timestamp::to_jiff),
    })
}
