//! Controllers and pretended probes on a database of their own.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use sekisho::service::{
    Actor, CertificateIssuer, Discovered, EnrolRequest, HandedIn, Hello, IssueError, Issued, Order,
    OrderTaskKind, Services, Session, Settings, SweepDetail, SweepRef, SweepRequest, Work,
};
use sekisho_model::{CheckStatus, Facts, Matrix, Outcome};
use sqlx::PgPool;
use tokio::sync::watch;
use uuid::Uuid;

use crate::cluster;

/// Signs anything but "bad".
struct Pretender;

impl CertificateIssuer for Pretender {
    fn issue(&self, csr: &[u8], probe: Uuid, now: Timestamp) -> Result<Issued, IssueError> {
        if csr == b"bad" {
            return Err(IssueError::Request("it is bad".to_owned()));
        }
        Ok(Issued {
            chain: vec![probe.as_bytes().to_vec()],
            serial: Uuid::new_v4().as_bytes().to_vec(),
            not_before: now,
            not_after: now + Duration::from_secs(3_600),
        })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, IssueError> {
        Ok(message.to_vec())
    }
}

/// Two domain controllers, two vantages; flows of profile ports: 2 × 2 × 12.
pub(crate) const LISTED: &str = r#"
[[domain]]
name = "corp.example"
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[target]]
domain = "corp.example"
host = "dc2.corp.example"
address = "10.77.1.11"
[[vantage]]
name = "vlan10"
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
"#;

/// The same vantages; targets come from discovery.
pub(crate) const SEARCHED: &str = r#"
[[domain]]
name = "corp.example"
dns_servers = ["10.77.1.10"]
[[vantage]]
name = "vlan10"
[[vantage]]
name = "vlan20"
"#;

/// One controller, and what tests do with it.
#[derive(Clone)]
pub(crate) struct Controller {
    pub(crate) services: Services,
    pub(crate) pool: PgPool,
}

pub(crate) fn operator() -> Actor {
    Actor { name: "test".to_owned(), trace: None }
}

/// Time limits at which tests do not wait long, and which do not strike while a test works.
pub(crate) fn settings() -> Settings {
    Settings {
        tick: Duration::from_millis(50),
        probe_grace: Duration::from_millis(300),
        lost_grace: Duration::from_millis(600),
        result_grace: Duration::from_millis(300),
        live_window: Duration::from_millis(500),
        ..Settings::default()
    }
}

impl Controller {
    /// A controller on a new database.
    pub(crate) async fn new(settings: Settings) -> Self {
        Self::on(cluster::shared().database().await, settings).await
    }

    /// Another controller on a database.
    pub(crate) async fn on(pool: PgPool, settings: Settings) -> Self {
        let id = Uuid::new_v4();
        let services = Services::new(pool.clone(), id, Arc::new(Pretender), settings);
        services.register_controller(id.as_bytes(), "test").await.unwrap();
        Self { services, pool }
    }

    /// Runs the background until the result is dropped.
    pub(crate) fn background(&self) -> watch::Sender<bool> {
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(sekisho::background::run(self.services.clone(), stopped));
        stop
    }

    pub(crate) async fn apply(&self, text: &str) {
        self.services.apply_inventory(&operator(), "inventory.toml", text, false).await.unwrap();
    }

    /// Enrols a probe and connects it.
    pub(crate) async fn probe(&self, vantage: &str) -> Probe {
        let token = self
            .services
            .create_enrolment_token(&operator(), vantage, Duration::from_secs(600))
            .await
            .unwrap();
        let enrolled = self.services.enrol(enrolment(&token.secret)).await.unwrap();
        Probe::connect(self, enrolled.probe).await
    }

    /// Starts a sweep of flows alone: profile ports.
    pub(crate) async fn run(&self) -> SweepDetail {
        self.start(ports()).await
    }

    pub(crate) async fn start(&self, request: SweepRequest) -> SweepDetail {
        self.services.start_sweep(&operator(), request).await.unwrap()
    }

    pub(crate) async fn matrix(&self, id: i64) -> Matrix {
        self.services.matrix(SweepRef::Id(id)).await.unwrap()
    }

    pub(crate) async fn sweep(&self, id: i64) -> SweepDetail {
        self.services.sweep(SweepRef::Id(id)).await.unwrap()
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.unwrap()
    }

    /// Changes the database behind the controller's back.
    pub(crate) async fn change(&self, sql: &'static str) {
        sqlx::query(sql).execute(&self.pool).await.unwrap();
    }
}

/// Every domain and vantage, profile ports.
pub(crate) fn ports() -> SweepRequest {
    SweepRequest { profile: Some("ports".to_owned()), ..SweepRequest::default() }
}

pub(crate) fn enrolment(secret: &str) -> EnrolRequest {
    EnrolRequest {
        secret: secret.to_owned(),
        csr: b"good".to_vec(),
        host: "srv20".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

/// A connected probe.
pub(crate) struct Probe {
    pub(crate) services: Services,
    pub(crate) session: Session,
    pub(crate) held: HashSet<Uuid>,
}

impl Probe {
    pub(crate) async fn connect(controller: &Controller, id: Uuid) -> Self {
        let services = controller.services.clone();
        let session = services.open_session(id, &hello()).await.unwrap();
        Self { services, session, held: HashSet::new() }
    }

    /// Asks for work and holds on to it.
    pub(crate) async fn work(&mut self) -> Work {
        let work = self.services.work(&self.session, &self.held).await.unwrap();
        self.held.extend(work.orders.iter().map(|order| order.id));
        work
    }

    pub(crate) async fn hand_in(&self, batch: Vec<HandedIn>) -> sekisho::service::Ingested {
        self.services.ingest(self.session.probe, batch).await.unwrap()
    }

    /// Takes one job after the other until there are none.
    pub(crate) async fn do_everything(&mut self) {
        loop {
            let orders = self.work().await.orders;
            if orders.is_empty() {
                return;
            }
            for order in &orders {
                self.hand_in(results(order)).await;
            }
        }
    }
}

/// A result for every task of an order.
pub(crate) fn results(order: &Order) -> Vec<HandedIn> {
    let result = |task: &sekisho::service::OrderTask| {
        let mut result = observed(order.id, task.number, Outcome::Open);
        match task.kind {
            OrderTaskKind::Check { .. } => {}
            OrderTaskKind::Discovery { .. } => {
                let address = "10.77.1.10".parse().unwrap();
                result.discovered = vec![Discovered { host: "DC1.corp.example.".to_owned(), address }];
            }
            OrderTaskKind::Vantage { .. } => result.status = Some(CheckStatus::Ok),
        }
        result
    };
    order.tasks.iter().map(result).collect()
}

pub(crate) fn observed(job: Uuid, task: u32, outcome: Outcome) -> HandedIn {
    HandedIn {
        job,
        task,
        outcome,
        by: None,
        rtt_us: Some(700),
        attempts: 1,
        confirmed: false,
        facts: Facts::from([("status".to_owned(), "fine".into())]),
        evidence: Vec::new(),
        observed_at: Some(Timestamp::now()),
        discovered: Vec::new(),
        status: None,
        autonomous: false,
    }
}

/// Waits until `condition` holds.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = condition().await {
            return found;
        }
        assert!(Instant::now() < give_up, "waited 20 s for: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a probe of this version says.
pub(crate) fn hello() -> Hello {
    Hello {
        version: "0.1.0".to_owned(),
        host: "srv20".to_owned(),
        services: vec!["smb".to_owned()],
        icmp: "none".to_owned(),
        clock: Some(Timestamp::now()),
        spooled: 0,
        keeps_shares: true,
        keeps_plan_shares: true,
    }
}
