//! A sweep that is wanted: its names looked up, and the sweep begun.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;
use sekisho_domain::profile::{self, Contents, ProfileError};
use sekisho_model::{ComputerName, DEFAULT_PROFILE, TraceParent};
use sekisho_proto::limits::TARGETS_PER_JOB;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{strange, unknown};
use crate::{
    service::{Error, Event, Result, Services},
    store::{self, domain::Domain, sweep::NewSweep, vantage::Vantage},
};

/// What a sweep is to test, as the inventory has it.
pub(in crate::service) struct Wanted {
    pub(in crate::service) profile: String,
    pub(in crate::service) contents: Contents,
    pub(in crate::service) domains: Vec<Domain>,
    pub(in crate::service) vantages: Vec<Vantage>,
    /// Computers to look for besides those of the inventory.
    pub(in crate::service) computers: Vec<String>,
    /// Flows whose packets are to be kept.
    pub(in crate::service) captures: Vec<String>,
}

/// The computers of the inventory to look for, by domain.
pub(in crate::service) async fn computers(
    connection: &mut PgConnection,
    domains: &[i32],
) -> Result<BTreeMap<i32, BTreeSet<ComputerName>>> {
    let mut computers: BTreeMap<i32, BTreeSet<ComputerName>> = BTreeMap::new();
    for (domain, name) in store::computer::of_domains(connection, domains).await? {
        let name = name.parse().map_err(|_| strange("name of a computer", &name))?;
        computers.entry(domain).or_default().insert(name);
    }
    Ok(computers)
}

/// Who begins a sweep, and how long it may take.
pub(in crate::service) struct Begin<'a> {
    pub(in crate::service) actor: &'a str,
    /// The schedule that begins it by itself.
    pub(in crate::service) schedule: Option<&'a str>,
    pub(in crate::service) deadline: Duration,
    /// The plan that probes hold of it.
    pub(in crate::service) plan: Option<i64>,
    /// When it began, where probes may have begun it by themselves: then nothing is looked for first.
    pub(in crate::service) since: Option<Timestamp>,
    /// The request that begins it, where that is traced.
    pub(in crate::service) trace: Option<TraceParent>,
}

impl Wanted {
    /// Looks the names up; what is not named is everything.
    ///
    /// # Errors
    /// When the inventory does not have one of them, or nothing to test. Nothing is written then.
    pub(in crate::service) async fn find(
        connection: &mut PgConnection,
        profile: Option<&str>,
        domains: &[String],
        vantages: &[String],
    ) -> Result<Self> {
        let profile = profile.unwrap_or(DEFAULT_PROFILE.name());
        let own = store::inventory::profiles(connection).await?;
        let contents = profile::contents(profile, &own).map_err(|error| match error {
            ProfileError::Unknown { .. } => Error::NotFound(error.to_string()),
        })?;
        Ok(Self {
            profile: profile.to_owned(),
            contents,
            domains: chosen_domains(connection, domains).await?,
            vantages: chosen_vantages(connection, vantages).await?,
            computers: Vec::new(),
            captures: Vec::new(),
        })
    }
}

impl Services {
    /// Writes a sweep down and queues its first jobs; returns its number.
    pub(in crate::service) async fn begin_sweep(
        &self,
        connection: &mut PgConnection,
        wanted: &Wanted,
        begin: &Begin<'_>,
    ) -> Result<i64> {
        let services: Vec<String> = wanted.contents.services.iter().map(|service| service.name()).collect();
        let checks: Vec<String> = wanted.contents.checks.iter().map(ToString::to_string).collect();
        let domains: Vec<i32> = wanted.domains.iter().map(|domain| domain.id).collect();
        let vantages: Vec<i32> = wanted.vantages.iter().map(|vantage| vantage.id).collect();
        let sweep = NewSweep {
            profile: &wanted.profile,
            services: &services,
            checks: &checks,
            computers: &wanted.computers,
            captures: &wanted.captures,
            domains: &domains,
            vantages: &vantages,
            actor: begin.actor,
            schedule: begin.schedule,
            deadline: begin.deadline,
            since: begin.since,
            traceparent: self.traces().and_then(|traces| traces.begin(begin.trace)),
            trace_parent: begin.trace.map(|request| request.span),
        };
        let id = store::sweep::create(connection, &sweep).await?;
        let searched: Vec<i32> = wanted.domains.iter().filter(|d| d.discover).map(|d| d.id).collect();
        if let Some(plan) = begin.plan {
            store::plan::begin(connection, plan, id).await?;
            store::event::send(connection, Event::PlansChanged).await?;
        }
        if searched.is_empty() || begin.since.is_some() {
            self.plan(connection, id).await?;
        } else {
            let known = store::target::of_domains(connection, &searched).await?;
            let known: Vec<i32> = known.iter().take(TARGETS_PER_JOB).map(|target| target.id).collect();
            for &vantage in &vantages {
                let job = Uuid::now_v7();
                store::job::create_discovery(connection, job, id, vantage, &searched, &known).await?;
                store::event::send(connection, Event::JobQueued { vantage }).await?;
            }
        }
        Ok(id)
    }
}

async fn chosen_domains(connection: &mut PgConnection, names: &[String]) -> Result<Vec<Domain>> {
    let mut domains = store::domain::all(connection).await?;
    if domains.is_empty() {
        return Err(Error::Invalid("the inventory has no domain; apply one first".to_owned()));
    }
    let wanted: Vec<String> =
        names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
    if let Some(name) = wanted.iter().find(|name| !domains.iter().any(|domain| domain.name == **name)) {
        return Err(Error::NotFound(unknown("domain", name, domains.iter().map(|d| d.name.as_str()))));
    }
    domains.retain(|domain| wanted.is_empty() || wanted.contains(&domain.name));
    Ok(domains)
}

async fn chosen_vantages(connection: &mut PgConnection, names: &[String]) -> Result<Vec<Vantage>> {
    let mut vantages = store::vantage::all(connection).await?;
    if vantages.is_empty() {
        return Err(Error::Invalid("the inventory has no vantage; apply one first".to_owned()));
    }
    if let Some(name) = names.iter().find(|name| !vantages.iter().any(|v| v.name == **name)) {
        return Err(Error::NotFound(unknown("vantage", name, vantages.iter().map(|v| v.name.as_str()))));
    }
    vantages.retain(|vantage| names.is_empty() || names.contains(&vantage.name));
    Ok(vantages)
}
