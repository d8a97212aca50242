//! Exports by the real command, of what a real sweep left, as other programs read them.

use std::{
    path::{Path, PathBuf},
    process::Output,
};

use sekisho::{http, service::HandedIn};
use sekisho_model::{Facts, Outcome, SweepState};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{net::TcpListener, process::Command};

use crate::fleet::{Controller, observed, settings, wait_for};

const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[vantage]]
name = "東京-サーバー"
subnet = "10.77.20.0/24"
site = "東京 本社"
[[vantage]]
name = "大阪"
[[policy]]
name = "サーバーからDC"
from = { site = "東京 本社" }
to = { domain = "corp.example" }
profile = "ports"
expect = "allow"
"#;

const TOKEN: &str = "1111111111111111111111111111111111111111111";

/// A controller with its API, after a sweep of two vantages, of which one has no probe.
struct Swept {
    controller: Controller,
    server: String,
    files: TempDir,
}

impl Swept {
    async fn new() -> Self {
        let controller = Controller::new(settings()).await;
        controller.services.register_operator_token("admin", TOKEN).await.unwrap();
        controller.apply(INVENTORY).await;
        let _background = controller.background();
        let mut probe = controller.probe("東京-サーバー").await;
        let sweep = controller.run().await.summary.id;
        let orders = probe.work().await.orders;
        for order in orders {
            let tasks = order.tasks.iter().map(|task| task.number);
            probe.hand_in(tasks.map(|task| result(order.id, task)).collect()).await;
        }
        wait_for("the end of the sweep", || async {
            (controller.sweep(sweep).await.summary.state == SweepState::Partial).then_some(())
        })
        .await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let router = http::router(http::Web::new(controller.services.clone(), b"none"));
        tokio::spawn(http::serve(listener, router, std::future::pending()));
        Self { controller, server, files: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    async fn command(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.env_clear().args(["--server", &self.server, "--token", TOKEN]).args(words);
        command.current_dir(&self.files).output().await.unwrap()
    }

    async fn export(&self, words: &[&str], code: i32) -> Vec<u8> {
        let done = self.command(&[&["export"], words].concat()).await;
        assert_eq!(done.status.code(), Some(code), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        done.stdout
    }
}

/// What the probe tells: of the first task a refusal with facts of a stranger.
fn result(job: uuid::Uuid, task: u32) -> HandedIn {
    if task != 0 {
        return observed(job, task, Outcome::Open);
    }
    let facts: [(&str, sekisho_model::Fact); 3] = [
        ("banner", "=cmd|'/c calc'!A1".into()),
        ("hops", 3_i64.into()),
        ("reason", "拒否されました, \"10/3\"".into()),
    ];
    HandedIn {
        by: Some("10.77.20.1".parse().unwrap()),
        rtt_us: None,
        confirmed: true,
        facts: Facts::from(facts.map(|(name, fact)| (name.to_owned(), fact))),
        observed_at: Some("2026-01-02T03:04:05.678901Z".parse().unwrap()),
        ..observed(job, task, Outcome::Rejected)
    }
}

/// What DuckDB reads.
async fn duckdb(file: &Path) -> Value {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("../target/readers/bin/python");
    assert!(python.exists(), "this test needs DuckDB in target/readers, which `tests/run.sh db` makes");
    let script = here.join("tests/support/read_parquet.py");
    let read = Command::new(python).arg(script).arg(file).output().await.unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

#[tokio::test]
async fn a_matrix_is_read_by_others_as_it_was_written() {
    let swept = Swept::new().await;
    let lines = String::from_utf8(swept.export(&["matrix", "--format", "ndjson"], 3).await).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let array = swept.export(&["matrix", "--format", "json", "--output", "-"], 3).await;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&array).unwrap(), rows);
    assert_eq!(rows.len(), 24, "{lines}");
    let refused = rows.iter().find(|row| row["outcome"] == "rejected").unwrap();
    assert_eq!(
        *refused,
        json!({
            "sweep": 1, "vantage": "東京-サーバー", "subnet": "10.77.20.0/24", "target": "dc1.corp.example",
            "address": "10.77.1.10", "service": refused["service"], "transport": refused["transport"],
            "port": refused["port"], "outcome": "rejected", "by": "10.77.20.1", "rtt_us": null, "attempts": 1,
            "confirmed": true, "observed_at": "2026-01-02T03:04:05.678901Z", "need": refused["need"],
            "facts": {"banner": "=cmd|'/c calc'!A1", "hops": 3, "reason": "拒否されました, \"10/3\""},
        })
    );

    let file = swept.file("matrix.parquet");
    swept.export(&["matrix", "--format", "parquet", "--output", file.to_str().unwrap()], 3).await;
    let read = duckdb(&file).await;
    let columns = json!({
        "sweep": "BIGINT", "vantage": "VARCHAR", "subnet": "VARCHAR", "target": "VARCHAR", "address": "VARCHAR",
        "service": "VARCHAR", "transport": "VARCHAR", "port": "BIGINT", "outcome": "VARCHAR", "by": "VARCHAR",
        "rtt_us": "BIGINT", "attempts": "BIGINT", "confirmed": "BOOLEAN", "facts": "JSON",
        "observed_at": "TIMESTAMP WITH TIME ZONE", "need": "VARCHAR",
    });
    assert_eq!(read["columns"], columns);
    assert_eq!(read["groups"], json!([[0, 24, "SNAPPY"]]));
    let micros = |row: &Value| {
        let mut row = row.clone();
        let at =
            row["observed_at"].as_str().map(|at| at.parse::<jiff::Timestamp>().unwrap().as_microsecond());
        row["observed_at"] = at.into();
        row
    };
    let rows: Vec<Value> = rows.iter().map(micros).collect();
    assert!(rows.iter().any(|row| row["observed_at"].is_null() && row["subnet"].is_null()), "{rows:?}");
    assert_eq!(read["rows"], Value::Array(rows));
}

#[tokio::test]
async fn csv_is_for_spreadsheets() {
    let swept = Swept::new().await;
    let csv = String::from_utf8(swept.export(&["matrix", "--format", "csv"], 3).await).unwrap();
    let header = "\u{feff}sweep,vantage,subnet,target,address,service,transport,port,outcome,by,rtt_us,attempts,confirmed,facts,observed_at,need\r\n";
    assert!(csv.starts_with(header), "{csv}");
    assert_eq!(csv.matches("\r\n").count(), 25, "{csv}");
    let facts = "rejected,10.77.20.1,,1,true,\"banner==cmd|'/c calc'!A1; hops=3; reason=拒否されました, \"\"10/3\"\"\",2026-01-02T03:04:05.678901Z,";
    assert!(csv.contains(facts), "{csv}");
    let bare = swept.export(&["matrix", "--format", "csv", "--no-bom"], 3).await;
    assert_eq!(csv.as_bytes().strip_prefix("\u{feff}".as_bytes()), Some(&*bare));
    let printed = swept.command(&["matrix", "--format", "csv"]).await.stdout;
    assert_eq!(String::from_utf8(bare).unwrap().replace("\r\n", "\n").as_bytes(), printed);
}

#[tokio::test]
async fn gaps_and_history_are_exported_with_their_exit_status() {
    let swept = Swept::new().await;
    let gaps = swept.export(&["gaps", "--format", "json"], 2).await;
    let gaps: Vec<Value> = serde_json::from_slice(&gaps).unwrap();
    let gap = gaps.first().unwrap();
    assert_eq!((gaps.len(), &gap["policy"], &gap["group"]), (1, &json!("サーバーからDC"), &json!(0)));
    let file = swept.file("history.parquet");
    let mut history = vec![
        "history",
        "--vantage",
        "東京-サーバー",
        "--target",
        "dc1.corp.example",
        "--service",
        gap["service"].as_str().unwrap(),
        "--format",
        "parquet",
        "--output",
        file.to_str().unwrap(),
    ];
    swept.export(&history, 0).await;
    let at = "2026-01-02T03:04:05.678901Z".parse::<jiff::Timestamp>().unwrap().as_microsecond();
    let span = json!({
        "vantage": "東京-サーバー", "target": "dc1.corp.example", "service": gap["service"], "outcome": "rejected",
        "by": "10.77.20.1", "first_seen": at, "last_seen": at, "sweeps": 1,
    });
    assert_eq!(duckdb(&file).await["rows"], json!([span]));
    history.extend(["--force", "--since", "2026-01-02T12:04:06+09:00"]);
    swept.export(&history, 0).await;
    assert_eq!(duckdb(&file).await["rows"], json!([]));
    // Of all flows, of all vantages one after the other.
    let all = String::from_utf8(swept.export(&["history", "--format", "ndjson"], 0).await).unwrap();
    let spans = swept.controller.count("SELECT count(*) FROM report.span").await;
    assert_eq!(i64::try_from(all.lines().count()).unwrap(), spans);
    let osaka = swept.export(&["history", "--vantage", "大阪", "--format", "ndjson"], 0).await;
    assert_eq!(osaka, b"", "it was never tested from there");
}

#[tokio::test]
async fn a_file_is_there_whole_or_not_at_all() {
    let swept = Swept::new().await;
    let file = swept.file("matrix.csv");
    let words = ["matrix", "--format", "csv", "--output", "matrix.csv"];
    swept.export(&[&words[..], &["--sweep", "99"]].concat(), 1).await;
    assert_eq!(std::fs::read_dir(&swept.files).unwrap().count(), 0, "a failure leaves nothing");
    swept.export(&words, 3).await;
    let written = std::fs::read(&file).unwrap();
    let refused = swept.command(&[&["export"], &words[..]].concat()).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("--force"), "{said}");
    swept.export(&["gaps", "--format", "csv", "--output", "matrix.csv", "--force"], 2).await;
    assert_ne!(std::fs::read(&file).unwrap(), written);
    assert_eq!(std::fs::read_dir(&swept.files).unwrap().count(), 1);
    for (output, said) in [("/dev/null", "no file"), ("none/x.csv", "none/x.csv"), (".", "no file")] {
        let refused =
            swept.command(&["export", "gaps", "--format", "csv", "--force", "--output", output]).await;
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && text.contains(said), "{output}: {text}");
    }
    assert_eq!(swept.controller.count("SELECT count(*) FROM sweep").await, 1);
}
