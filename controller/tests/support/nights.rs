//! A vantage whose flows are tested night after night.

use jiff::{SignedDuration, Timestamp};
use sekisho::service::HandedIn;
use sekisho_model::Outcome;
use uuid::Uuid;

use crate::fleet::{Controller, observed, settings};

const INVENTORY: &str =
    "[[domain]]\nname = \"corp.example\"\ndns_servers = [\"10.77.1.10\"]\n[[vantage]]\nname = \"vlan10\"\n";

/// The vantage `vlan10` with a probe, targets `dc1.corp.example` at 10.78.0.1 and so on, services `tcp/1` and so on.
pub(crate) struct Nights {
    pub(crate) controller: Controller,
    pub(crate) probe: Uuid,
    /// Keys of the flows: target and service.
    pub(crate) flows: Vec<(i32, i16)>,
}

/// The jobs of one night with their flows, by position in [`Nights::flows`].
pub(crate) type Jobs = Vec<(Uuid, std::ops::Range<usize>)>;

impl Nights {
    pub(crate) async fn new(targets: i32, services: i32) -> Self {
        let controller = Controller::new(settings()).await;
        controller.apply(INVENTORY).await;
        let probe = controller.probe("vlan10").await.session.probe;
        let flows = sqlx::query_as(
            "WITH t AS (INSERT INTO target (domain_id, host, address, origin)
                        SELECT 1, 'dc' || n || '.corp.example', '10.78.0.0'::inet + n, 'inventory'
                        FROM generate_series(1, $1) AS n RETURNING id),
                  s AS (INSERT INTO service (name) SELECT 'tcp/' || n FROM generate_series(1, $2) AS n RETURNING id)
             SELECT t.id, s.id FROM t, s ORDER BY t.id, s.id",
        );
        let flows = flows.bind(targets).bind(services).fetch_all(&controller.pool).await.unwrap();
        Self { controller, probe, flows }
    }

    /// A sweep of all flows, in jobs of 250 that the probe has.
    pub(crate) async fn sweep(&self) -> Jobs {
        let sweep: i64 = sqlx::query_scalar(
            "INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, planned_at)
             VALUES ('running', 'ports', '{}', '{1}', '{1}', 'test', now() + interval '1 day', now()) RETURNING id",
        )
        .fetch_one(&self.controller.pool)
        .await
        .unwrap();
        let mut jobs = Jobs::new();
        for start in (0..self.flows.len()).step_by(250) {
            let range = start..(start + 250).min(self.flows.len());
            let (targets, services): (Vec<i32>, Vec<i16>) = self.flows[range.clone()].iter().copied().unzip();
            let id = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO job (id, sweep_id, vantage_id, kind, state, task_targets, task_services, planned,
                                  assigned_at, probe_id)
                 VALUES ($1, $2, 1, 'check', 'assigned', $3, $4, cardinality($3), now(), $5)",
            )
            .bind(id)
            .bind(sweep)
            .bind(targets)
            .bind(services)
            .bind(self.probe)
            .execute(&self.controller.pool)
            .await
            .unwrap();
            jobs.push((id, range));
        }
        jobs
    }

    /// Tests all flows in a sweep of their own.
    pub(crate) async fn night(&self, day: i64, outcome: impl Fn(usize) -> Outcome) {
        for (job, flows) in self.sweep().await {
            let task = |flow: usize| HandedIn {
                observed_at: Some(at(day)),
                ..observed(job, task(&flows, flow), outcome(flow))
            };
            let batch = flows.clone().map(task).collect();
            self.controller.services.ingest(self.probe, batch).await.unwrap();
        }
    }
}

/// Number of the task of a flow in a job.
pub(crate) fn task(flows: &std::ops::Range<usize>, flow: usize) -> u32 {
    (flow - flows.start).try_into().unwrap()
}

/// Two o'clock of the night, a long time ago.
pub(crate) fn at(day: i64) -> Timestamp {
    let first: Timestamp = "2026-01-01T02:00:00Z".parse().unwrap();
    first + SignedDuration::from_hours(24 * day)
}
