//! The matrix of a sweep.

use sekisho_model::{Cell, Check, CheckKind, CheckStatus, Facts, Matrix, Outcome, Service};

use super::{
    Error, Result, Services, SweepRef,
    sweep::{find, resolve, strange, summary},
};
use crate::store;

impl Services {
    /// Every flow and every check of a sweep that is decided: observed, or missed once its job has ended. Flows by vantage,
    /// target, service; checks by vantage, domain, check, target.
    ///
    /// # Errors
    /// When there is no such sweep.
    pub async fn matrix(&self, sweep: SweepRef) -> Result<Matrix> {
        let mut connection = self.connection().await?;
        let id = resolve(&mut connection, sweep).await?;
        let sweep = summary(&find(&mut connection, id).await?)?;
        let rows = store::matrix::cells(&mut connection, id).await?;
        let checks = store::check_result::of_sweep(&mut connection, id).await?;
        drop(connection);
        let mut cells: Vec<Cell> = rows.into_iter().map(cell).collect::<Result<_>>()?;
        cells.sort_by(|a, b| {
            (&a.vantage, &a.target, a.address, a.service).cmp(&(&b.vantage, &b.target, b.address, b.service))
        });
        let mut checks: Vec<Check> = checks.into_iter().map(check).collect::<Result<_>>()?;
        checks.sort_by(|a, b| order(a).cmp(&order(b)));
        Ok(Matrix { sweep: Some(sweep), cells, checks })
    }
}

fn order(check: &Check) -> impl Ord {
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

fn cell(row: store::matrix::Cell) -> Result<Cell> {
    let service: Service = row.service.parse().map_err(|_| strange("service", &row.service))?;
    let outcome = match &row.outcome {
        Some(word) => word.parse().map_err(|_| strange("outcome", word))?,
        None => Outcome::Missed,
    };
    let facts: Facts = match row.facts {
        Some(facts) => serde_json::from_value(facts).map_err(|error| Error::Internal(Box::new(error)))?,
        // A flow without observation was missed, for the reason of its job.
        None => row.reason.into_iter().map(|reason| ("reason".to_owned(), reason.into())).collect(),
    };
    let subnet = row.subnet.as_deref().map(str::parse).transpose();
    Ok(Cell {
        vantage: row.vantage,
        subnet: subnet.map_err(|error| Error::Internal(Box::new(error)))?,
        target: if row.host.is_empty() { row.address.to_string() } else { row.host },
        address: row.address,
        service,
        transport: service.transport(),
        need: service.need(),
        port: Cell::port_of(service, &facts),
        outcome,
        by: row.by,
        rtt_us: row.rtt_us.and_then(|rtt| rtt.try_into().ok()),
        attempts: row.attempts.and_then(|attempts| attempts.try_into().ok()).unwrap_or(0),
        confirmed: row.confirmed.unwrap_or(false),
        facts,
        evidence: Vec::new(),
        observed_at: row.observed_at.map(jiff_sqlx::Timestamp::to_jiff),
    })
}
