//! The fleet, and what it writes.

use std::{sync::Arc, time::Instant};

use jiff::{SignedDuration, Timestamp};
use sekisho::service::{Actor, CertificateIssuer, HandedIn, IssueError, Issued, Services, Settings};
use sqlx::PgPool;
use uuid::Uuid;

use crate::nights::{Dice, Year, result};

pub(crate) const TARGETS: usize = 20;
pub(crate) const SERVICES: usize = 25;
/// Flows of a vantage.
pub(crate) const EACH: usize = TARGETS * SERVICES;
/// Vantages of a site.
const SITE: usize = 10;
/// Most results in one batch of a probe.
const BATCH: usize = 256;

struct Nobody;

impl CertificateIssuer for Nobody {
    fn issue(&self, _: &[u8], _: Uuid, _: Timestamp) -> Result<Issued, IssueError> {
        Err(IssueError::Request("nobody enrols here".to_owned()))
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, IssueError> {
        Err(IssueError::Request("nothing is planned here".to_owned()))
    }
}

pub(crate) struct Fleet {
    pub(crate) services: Services,
    pub(crate) pool: PgPool,
    pub(crate) vantages: usize,
    first: Timestamp,
}

impl Fleet {
    pub(crate) async fn new(pool: PgPool, settings: Settings, vantages: usize) -> Self {
        let id = Uuid::new_v4();
        let services = Services::new(pool.clone(), id, Arc::new(Nobody), settings);
        services.register_controller(id.as_bytes(), "year").await.unwrap();
        let mut inventory = "[[domain]]\nname = \"corp.example\"\n".to_owned();
        for target in 0..TARGETS {
            inventory += &format!(
                "[[target]]\ndomain = \"corp.example\"\nhost = \"dc{target}.corp.example\"\naddress = \"10.1.0.{}\"\n",
                target + 1
            );
        }
        for vantage in 0..vantages {
            inventory += &format!(
                "[[vantage]]\nname = \"vlan{vantage:04}\"\nsubnet = \"10.{}.{}.0/24\"\nsite = \"site{:03}\"\n",
                2 + vantage / 250,
                vantage % 250,
                vantage / SITE
            );
        }
        inventory += "[[policy]]\nname = \"all-reach-dcs\"\nto = { domain = \"corp.example\" }\nprofile = \"full\"\nexpect = \"allow\"\n";
        let actor = Actor { name: "year".to_owned(), trace: None };
        services.apply_inventory(&actor, "inventory.toml", &inventory, false).await.unwrap();
        let names: Vec<String> =
            sekisho_model::BuiltIn::Full.services().iter().map(|service| service.name()).collect();
        assert_eq!(names.len(), SERVICES);
        sqlx::query("INSERT INTO service (name) SELECT * FROM unnest($1::text[])")
            .bind(&names)
            .execute(&pool)
            .await
            .unwrap();
        sqlx::query(
            "INSERT INTO probe (id, vantage_id, host, version) SELECT gen_random_uuid(), id, 'host', '0.1.0' FROM vantage",
        )
        .execute(&pool)
        .await
        .unwrap();
        Self { services, pool, vantages, first: Timestamp::now() - SignedDuration::from_hours(24 * 366) }
    }

    pub(crate) fn flows(&self) -> usize {
        self.vantages * EACH
    }

    /// When a flow is observed in a night.
    fn at(&self, night: usize, flow: usize) -> Timestamp {
        self.first
            + SignedDuration::from_hours(24 * night as i64)
            + SignedDuration::from_millis((flow as i64 * 37) % 600_000)
    }

    /// Writes nights down that are over and of which only spans are left.
    pub(crate) async fn write_spans(&self, year: &Year, nights: usize) {
        sqlx::query(
            "INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, planned_at, finished_at,
                                started_at, expired_at, planned, checks_planned, observed, missed)
             SELECT 'complete', 'full', '{}', '{1}', (SELECT array_agg(id) FROM vantage), 'schedule:nightly', now(), now(), now(),
                    $1::timestamptz + n * interval '1 day', now(), $2, 0, $2, 0
             FROM generate_series(0, $3::integer - 1) AS n",
        )
        .bind(jiff_sqlx::ToSqlx::to_sqlx(self.first))
        .bind(self.flows() as i64)
        .bind(nights as i32)
        .execute(&self.pool)
        .await
        .unwrap();
        for vantage in 0..self.vantages {
            let mut text = String::new();
            for target in 0..TARGETS {
                let base = vantage * EACH + target * SERVICES;
                let newest = |part: &dyn Fn(usize, (u8, u16, u16)) -> String| {
                    let list: Vec<String> =
                        (0..SERVICES).map(|s| part(base + s, *year.runs[base + s].last().unwrap())).collect();
                    format!("{{{}}}", list.join(","))
                };
                let by = |flow: usize, run: (u8, u16, u16)| {
                    if run.0 == b'r' { format!("10.77.{}.1", (flow % EACH) % 7) } else { "NULL".to_owned() }
                };
                let time = |night: u16, flow: usize| format!("\"{}\"", self.at(night.into(), flow));
                let mut ended = Vec::new();
                for service in 0..SERVICES {
                    let flow = base + service;
                    let runs = &year.runs[flow];
                    for run in &runs[..runs.len() - 1] {
                        let by = if run.0 == b'r' { by(flow, *run) } else { String::new() };
                        ended.push(format!(
                            "\"({},{},{by},{},{},{},{},{})\"",
                            service + 1,
                            char::from(run.0),
                            self.at(run.1.into(), flow),
                            run.1 + 1,
                            self.at(run.2.into(), flow),
                            run.2 + 1,
                            run.2 - run.1 + 1
                        ));
                    }
                }
                text += &format!(
                    "{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}\t{{{}}}\n",
                    vantage + 1,
                    target + 1,
                    newest(&|flow, _| (flow % SERVICES + 1).to_string()),
                    newest(&|_, run| char::from(run.0).to_string()),
                    newest(&by),
                    newest(&|flow, run| time(run.1, flow)),
                    newest(&|_, run| (run.1 + 1).to_string()),
                    newest(&|flow, run| time(run.2, flow)),
                    newest(&|_, run| (run.2 + 1).to_string()),
                    newest(&|_, run| (run.2 - run.1 + 1).to_string()),
                    ended.join(",").replace('\\', "\\\\")
                );
            }
            let mut connection = self.pool.acquire().await.unwrap();
            let columns = "vantage_id, target_id, services, outcomes, bys, first_seens, first_sweeps, last_seens, last_sweeps, sweeps, ended";
            let mut copy =
                connection.copy_in_raw(&format!("COPY span ({columns}) FROM STDIN")).await.unwrap();
            copy.send(text.as_bytes()).await.unwrap();
            copy.finish().await.unwrap();
        }
    }

    /// A night that comes in as probes hand it in. Of every seventh one vantage in fifty is late and comes in with the next
    /// night, of every tenth one in fifty never does. Returns observations per second.
    pub(crate) async fn night(&self, year: &mut Year, night: usize, hands: usize) -> f64 {
        // A day has passed: a new block of numbers begins, and what is old goes.
        for change in [
            "UPDATE block SET began_at = began_at - interval '1 day', ended_at = ended_at - interval '1 day'",
        ] {
            sqlx::query(change).execute(&self.pool).await.unwrap();
        }
        self.services.prepare_blocks().await.unwrap();
        self.services.retire().await.unwrap();
        year.pass(night);
        let sweep: i64 = sqlx::query_scalar(
            "INSERT INTO sweep (state, profile, services, domain_ids, vantage_ids, actor, deadline, planned_at, started_at)
             VALUES ('running', 'full', (SELECT array_agg(name ORDER BY id) FROM service), '{1}', (SELECT array_agg(id) FROM vantage),
                     'schedule:nightly', now() + interval '1 hour', now(), $1) RETURNING id",
        )
        .bind(jiff_sqlx::ToSqlx::to_sqlx(self.at(night, 0)))
        .fetch_one(&self.pool)
        .await
        .unwrap();
        let jobs: Vec<(Uuid, i32, Uuid)> = sqlx::query_as(
            "INSERT INTO job (id, sweep_id, vantage_id, kind, state, task_targets, task_services, planned, assigned_at, probe_id)
             SELECT gen_random_uuid(), $1, v.id, 'check', 'assigned',
                    (SELECT array_agg(t ORDER BY t, s) FROM generate_series(1, 20) t, generate_series(1, 25) s),
                    (SELECT array_agg(s::smallint ORDER BY t, s) FROM generate_series(1, 20) t, generate_series(1, 25) s),
                    500, now(), p.id
             FROM vantage v JOIN probe p ON p.vantage_id = v.id ORDER BY v.id RETURNING id, vantage_id, probe_id",
        )
        .bind(sweep)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut batches: Vec<(Uuid, Vec<HandedIn>)> = Vec::new();
        let mut dice = Dice(night as u64);
        for (job, vantage, probe) in jobs {
            if night % 10 == 9 && vantage % 50 == 3 {
                continue;
            }
            let base = (vantage as usize - 1) * EACH;
            let results: Vec<HandedIn> = (0..EACH)
                .map(|task| {
                    result(job, task as u32, year.now[base + task], self.at(night, base + task), &mut dice)
                })
                .collect();
            batches.extend(results.chunks(BATCH).map(|batch| (probe, batch.to_vec())));
        }
        let count: usize = batches.iter().map(|(_, batch)| batch.len()).sum();
        // Batches of one probe one after the other, of several at the same time.
        let mut lanes: Vec<Vec<(Uuid, Vec<HandedIn>)>> = (0..hands).map(|_| Vec::new()).collect();
        for (place, batch) in batches.into_iter().enumerate() {
            lanes[(place / 2) % hands].push(batch);
        }
        let began = Instant::now();
        let lanes: Vec<_> = lanes
            .into_iter()
            .map(|lane| {
                let services = self.services.clone();
                tokio::spawn(async move {
                    for (probe, batch) in lane {
                        let size = batch.len();
                        assert_eq!(services.ingest(probe, batch).await.unwrap().new, size);
                    }
                })
            })
            .collect();
        for lane in lanes {
            lane.await.unwrap();
        }
        let rate = count as f64 / began.elapsed().as_secs_f64();
        for change in [
            "UPDATE job SET state = 'finished', missed = planned - observed, reason = 'expired', finished_at = now() WHERE state <> 'finished'",
            "UPDATE sweep SET state = CASE WHEN EXISTS (SELECT 1 FROM job WHERE sweep_id = sweep.id AND missed > 0) THEN 'partial' ELSE 'complete' END, finished_at = now() WHERE state = 'running'",
        ] {
            sqlx::query(change).execute(&self.pool).await.unwrap();
        }
        // Autovacuum has a day for it.
        sqlx::query("VACUUM").execute(&self.pool).await.unwrap();
        rate
    }

    /// How much room everything takes.
    pub(crate) async fn room(&self, flow_nights: usize) {
        let size = async |of: &'static str| -> i64 {
            let query = format!(
                "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND relname ~ '{of}'"
            );
            sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&self.pool).await.unwrap()
        };
        let mut all = 0;
        for (name, of) in [
            ("observations", "^observation_[0-9]"),
            ("facts and attempts", "^(passing_)?detail_[0-9]"),
            ("jobs", "^job$"),
            ("sweeps", "^sweep$"),
            ("spans: history alone", "^span$"),
        ] {
            let bytes = size(of).await;
            all += bytes;
            println!(
                "{name}: {:.1} MB, {:.2} bytes per flow and night",
                bytes as f64 / 1e6,
                bytes as f64 / flow_nights as f64
            );
        }
        println!(
            "all: {:.1} MB, {:.2} bytes per flow and night",
            all as f64 / 1e6,
            all as f64 / flow_nights as f64
        );
    }

    pub(crate) async fn close(self) {
        self.pool.close().await;
    }
}
