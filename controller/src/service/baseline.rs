//! Sweeps that were accepted as the intended state.

use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use sekisho_domain::{
    baseline::{Counts, as_side, keep},
    compare::{Scope, Side, compare},
    inventory::Name,
    policy::Policies,
};
use sekisho_model::{Cell, Service, SweepState, SweepSummary};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{
    Actor, Error, Result, Services, SweepDiff, SweepRef, commit,
    diff::{scope, whole},
    gaps::domains,
    sweep::{strange, unknown},
};
use crate::store::{
    self,
    baseline::{Baseline, Flows, NewBaseline},
};

/// Name of a baseline for which none is given.
pub const DEFAULT_BASELINE: &str = "default";
/// Most baselines. More are refused: each holds as much as the matrix of a sweep.
const MOST: usize = 100;
/// Most letters of a note. Longer ones are refused.
const NOTE: usize = 1_000;

/// What to accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BaselineRequest {
    /// The sweep: a number, latest, or latest~1.
    pub sweep: String,
    /// Name of the baseline. One of that name is replaced.
    pub name: String,
    /// Why it is as it should be.
    pub note: String,
}

impl Default for BaselineRequest {
    fn default() -> Self {
        Self { sweep: "latest".to_owned(), name: DEFAULT_BASELINE.to_owned(), note: String::new() }
    }
}

/// A baseline in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// Its name.
    pub name: String,
    /// The sweep, as it was when it was accepted.
    pub sweep: SweepSummary,
    /// Why it is as it should be.
    pub note: String,
    /// Who accepted it.
    pub actor: String,
    /// When.
    pub accepted_at: Timestamp,
}

/// A baseline with its flows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineDetail {
    /// In numbers.
    #[serde(flatten)]
    pub summary: BaselineSummary,
    /// Its flows, counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Its flows, by vantage, target, service, with the outcomes that the sweep had.
    pub cells: Vec<Cell>,
}

/// What a comparison begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A sweep.
    Sweep(SweepRef),
    /// The baseline of that name.
    Baseline(String),
    /// What was known at that time.
    Time(Timestamp),
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        if word == "baseline" {
            return Ok(Self::Baseline(DEFAULT_BASELINE.to_owned()));
        }
        match word.strip_prefix("baseline:") {
            Some(name) => Ok(Self::Baseline(checked(name)?)),
            None => word.parse().map(Self::Time).or_else(|_| word.parse().map(Self::Sweep)),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sweep(sweep) => sweep.fmt(f),
            Self::Baseline(name) => write!(f, "baseline:{name}"),
            Self::Time(at) => at.fmt(f),
        }
    }
}

impl Services {
    /// Accepts a sweep as the intended state.
    ///
    /// # Errors
    /// When there is no such sweep, it has not ended or was cancelled, or there are too many baselines.
    pub async fn set_baseline(&self, actor: &Actor, request: &BaselineRequest) -> Result<BaselineDetail> {
        let name = checked(&request.name)?;
        if request.note.chars().count() > NOTE {
            return Err(Error::Invalid(format!("note: at most {NOTE} letters")));
        }
        let (matrix, sweep) = whole(self.matrix(request.sweep.parse()?).await?)?;
        accept(&sweep)?;
        let kept = keep(&matrix.cells);
        let counts = Counts::of(kept.values().flatten());
        let mut transaction = self.begin().await?;
        store::baseline::lock(&mut transaction).await?;
        let known = store::baseline::all(&mut transaction).await?;
        let replaced = known.iter().find(|other| other.name == name).map(|other| other.sweep["id"].clone());
        if replaced.is_none() && known.len() >= MOST {
            return Err(Error::Conflict(format!(
                "there are {MOST} baselines already; remove one with: sekisho baseline clear --name NAME"
            )));
        }
        let scope = scope(&mut transaction, sweep.id).await?;
        let new = NewBaseline {
            name: &name,
            sweep: stored(&sweep)?,
            scope: stored(&scope)?,
            note: &request.note,
            actor: &actor.name,
        };
        let id = store::baseline::create(&mut transaction, &new).await?;
        for (vantage, cells) in &kept {
            store::baseline::add(&mut transaction, id, &flows(vantage, cells)).await?;
        }
        let detail = json!({
            "sweep": sweep.id, "replaced": replaced, "note": request.note,
            "open": counts.open, "blocked": counts.blocked, "not_known": counts.not_known,
        });
        let object = format!("baseline {name}");
        store::audit::record(&mut transaction, &actor.name, "baseline set", &object, detail).await?;
        let written = find(&mut transaction, &name).await?;
        let cells = cells_of(&mut transaction, written.id).await?;
        commit(transaction).await?;
        Ok(BaselineDetail { summary: summary(written)?, counts, cells })
    }

    /// Every baseline, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn baselines(&self) -> Result<Vec<BaselineSummary>> {
        let mut connection = self.connection().await?;
        store::baseline::all(&mut connection).await?.into_iter().map(summary).collect()
    }

    /// One baseline with its flows.
    ///
    /// # Errors
    /// When there is no such baseline.
    pub async fn baseline(&self, name: &str) -> Result<BaselineDetail> {
        let mut connection = self.connection().await?;
        let row = find(&mut connection, name).await?;
        let cells = cells_of(&mut connection, row.id).await?;
        Ok(BaselineDetail { summary: summary(row)?, counts: Counts::of(&cells), cells })
    }

    /// Removes a baseline. The sweep stays.
    ///
    /// # Errors
    /// When there is no such baseline.
    pub async fn clear_baseline(&self, actor: &Actor, name: &str) -> Result<BaselineSummary> {
        let mut transaction = self.begin().await?;
        let removed = summary(find(&mut transaction, name).await?)?;
        store::baseline::remove(&mut transaction, name).await?;
        let (object, detail) = (format!("baseline {name}"), json!({ "sweep": removed.sweep.id }));
        store::audit::record(&mut transaction, &actor.name, "baseline clear", &object, detail).await?;
        commit(transaction).await?;
        Ok(removed)
    }

    /// What differs between a sweep or a baseline and a sweep. Policies are those of the inventory as it is.
    ///
    /// # Errors
    /// When there is no such sweep or baseline.
    pub async fn diff_from(&self, from: &Reference, to: SweepRef) -> Result<SweepDiff> {
        let name = match from {
            Reference::Sweep(from) => return self.diff(*from, to).await,
            Reference::Baseline(name) => name,
            Reference::Time(at) => {
                return Err(Error::Invalid(format!(
                    "{at} is a time, and {to} a sweep: a time is compared with a time"
                )));
            }
        };
        let (after, to_sweep) = whole(self.matrix(to).await?)?;
        let mut connection = self.connection().await?;
        let row = find(&mut connection, name).await?;
        let before = as_side(cells_of(&mut connection, row.id).await?);
        let scopes = (read::<Scope>(row.scope.clone())?, scope(&mut connection, to_sweep.id).await?);
        let inventory = store::inventory::read(&mut connection).await?;
        let domains = domains(&mut connection).await?;
        drop(connection);
        let policies = Policies::new(&inventory, &domains);
        let difference = compare(
            Side { cells: &before, scope: &scopes.0 },
            Side { cells: &after.cells, scope: &scopes.1 },
            |cell| policies.deciding(cell).map(|policy| policy.expect),
        );
        let BaselineSummary { name, sweep: from_sweep, .. } = summary(row)?;
        let (from, to) = (from_sweep.id, to_sweep.id);
        Ok(SweepDiff { from, to, baseline: Some(name), difference, from_sweep, to_sweep })
    }
}

fn checked(name: &str) -> Result<String> {
    let name: Name = name.parse().map_err(|error| Error::Invalid(format!("name of a baseline: {error}")))?;
    Ok(name.into())
}

/// Only of a sweep that has ended everything is known that will be.
fn accept(sweep: &SweepSummary) -> Result<()> {
    let why = match sweep.state {
        SweepState::Complete | SweepState::Partial => return Ok(()),
        SweepState::Running => "still runs; wait for its end with: sekisho sweep watch",
        SweepState::Cancelled => "was cancelled; accept one that came to its end: sekisho sweep list",
    };
    Err(Error::Conflict(format!("sweep {} cannot become a baseline: it {why}", sweep.id)))
}

async fn find(connection: &mut PgConnection, name: &str) -> Result<Baseline> {
    let mut all = store::baseline::all(connection).await?;
    match all.iter().position(|baseline| baseline.name == name) {
        Some(place) => Ok(all.swap_remove(place)),
        None if all.is_empty() => Err(Error::NotFound(format!(
            "there is no baseline {name:?}, and no other; accept a sweep as one with: sekisho baseline set"
        ))),
        None => Err(Error::NotFound(unknown("baseline", name, all.iter().map(|other| other.name.as_str())))),
    }
}

async fn cells_of(connection: &mut PgConnection, baseline: i32) -> Result<Vec<Cell>> {
    let rows = store::baseline::flows(connection, baseline).await?;
    Ok(rows.iter().map(cells).collect::<Result<Vec<_>>>()?.concat())
}

fn summary(row: Baseline) -> Result<BaselineSummary> {
    let Baseline { name, sweep, note, actor, accepted_at, .. } = row;
    Ok(BaselineSummary { name, sweep: read(sweep)?, note, actor, accepted_at: accepted_at.to_jiff() })
}

fn stored(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::Internal(Box::new(error)))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|error| Error::Internal(Box::new(error)))
}

fn flows(vantage: &str, cells: &[Cell]) -> Flows {
    let subnet = cells.first().and_then(|cell| cell.subnet).map(|subnet| subnet.to_string());
    let mut flows = Flows { vantage: vantage.to_owned(), subnet, ..Flows::default() };
    for cell in cells {
        flows.targets.push(cell.target.clone());
        flows.addresses.push(cell.address);
        flows.services.push(cell.service.name());
        flows.outcomes.push(cell.outcome.to_string());
        flows.bys.push(cell.by);
    }
    flows
}

fn cells(flows: &Flows) -> Result<Vec<Cell>> {
    let subnet: Option<IpNet> = match &flows.subnet {
        Some(subnet) => Some(subnet.parse().map_err(|_| strange("subnet", subnet))?),
        None => None,
    };
    let mut cells = Vec::with_capacity(flows.targets.len());
    let names = flows.targets.iter().zip(&flows.addresses).zip(&flows.services);
    for (((target, address), service), (outcome, by)) in names.zip(flows.outcomes.iter().zip(&flows.bys)) {
        let service: Service = service.parse().map_err(|_| strange("service", service))?;
        let outcome = outcome.parse().map_err(|_| strange("outcome", outcome))?;
        let bare = Cell::bare(&flows.vantage, subnet, (target, *address), service, outcome);
        cells.push(Cell { by: *by, ..bare });
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_a_sweep_or_a_baseline() {
        for word in ["17", "latest", "latest~2", "baseline:default", "baseline:before-move"] {
            assert_eq!(word.parse::<Reference>().unwrap().to_string(), word);
        }
        assert_eq!("baseline".parse::<Reference>().unwrap().to_string(), "baseline:default");
        for word in ["", "baselines", "baseline:", "baseline:\u{1b}", "base", "-1"] {
            assert!(word.parse::<Reference>().is_err(), "{word:?}");
        }
    }
}
