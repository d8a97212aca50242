//! What the programs tell of themselves, read by a real Prometheus, and what is shipped for it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use sekisho_tests::{Controller, Programs, Prometheus, complaints, promtool, wait_for};
use serde_json::Value;

const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "127.0.0.1"
[[vantage]]
name = "here"
[[vantage]]
name = "there"
"#;

const SOON: Duration = Duration::from_secs(60);

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

/// A controller, and a probe on the same machine that tells its numbers in both ways.
struct Site {
    probe: Child,
    controller: Controller,
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let programs = Arc::new(Programs::new().unwrap());
        let folder = tempfile::Builder::new().prefix("sekisho-monitoring-").tempdir().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let config = folder.path().join("config.toml");
        fs::write(&config, "[settings]\nheartbeat = \"1s\"\nlost_grace = \"2s\"\n").unwrap();
        let arguments = ["--config", config.to_str().unwrap(), "--metrics-listen", "127.0.0.1:0"];
        let controller =
            Controller::start(programs.clone(), &folder.path().join("controller"), &arguments).unwrap();
        let inventory = folder.path().join("inventory.toml");
        fs::write(&inventory, INVENTORY).unwrap();
        controller.ok(&["apply", inventory.to_str().unwrap()]).unwrap();
        let probe = Self::probe(&programs, &controller, folder.path());
        Self { probe, controller, folder }
    }

    fn probe(programs: &Programs, controller: &Controller, folder: &Path) -> Child {
        let state = folder.join("probe");
        let token = controller.ok(&["probe", "token", "--vantage", "here"]).unwrap();
        let address = format!("https://127.0.0.1:{}", controller.fleet_port);
        let mut command = std::process::Command::new(programs.path("sekisho-probe"));
        command.args(["enroll", "--controller", &address, "--token", &token, "--allow", "127.0.0.1/32"]);
        assert!(command.arg("--state-dir").arg(&state).status().unwrap().success());
        let mut command = std::process::Command::new(programs.path("sekisho-probe"));
        command
            .arg("run")
            .arg("--state-dir")
            .arg(&state)
            .arg("--metrics-file")
            .arg(folder.join("probe.prom"));
        command.args(["--metrics-listen", "127.0.0.1:0", "--log-format", "json"]).stdin(Stdio::null());
        command.stderr(File::create(folder.join("probe.log")).unwrap()).spawn().unwrap()
    }

    /// The lines that the probe logged with this message.
    fn logged(&self, message: &str) -> Vec<Value> {
        let log = fs::read_to_string(self.folder.path().join("probe.log")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a log of JSON"));
        let lines = lines.inspect(|line| {
            let time = line["timestamp"].as_str().unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{line}");
        });
        lines.filter(|line| line["message"] == message).collect()
    }

    /// Where the probe tells its numbers.
    fn probe_address(&self) -> String {
        wait_for("the probe's address", SOON, || {
            let told = self.logged("numbers are told to whoever asks there");
            Ok(told.first().and_then(|line| line["address"].as_str().map(str::to_owned)))
        })
        .unwrap()
    }

    /// The line of `probe list` about the only probe.
    fn listed(&self) -> Value {
        let list = self.controller.ok(&["probe", "list", "--format", "json"]).unwrap();
        let lines: Vec<Value> = serde_json::from_str(&list).unwrap();
        lines.into_iter().find(|line| !line["id"].is_null()).unwrap()
    }

    fn is(&self, status: &str) -> Value {
        wait_for(&format!("a probe that is {status}"), SOON, || {
            let line = self.listed();
            anyhow::ensure!(line["status"] == status, "it is {line}");
            Ok(Some(line))
        })
        .unwrap()
    }

    /// The numbers of an address, as a file.
    fn numbers(&self, address: &str) -> PathBuf {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let file = self.folder.path().join("numbers");
        fs::write(&file, body).unwrap();
        file
    }

    /// Prometheus with the shipped files, for this controller and this probe.
    fn prometheus(&self) -> Prometheus {
        let folder = self.folder.path().join("prometheus");
        fs::create_dir(&folder).unwrap();
        fs::copy(shipped("prometheus/alerts.yml"), folder.join("alerts.yml")).unwrap();
        let (web, token) = self.controller.web();
        let mut config = fs::read_to_string(shipped("prometheus/prometheus.yml")).unwrap();
        for (what, with) in [
            ("scrape_interval: 15s", "scrape_interval: 500ms"),
            ("evaluation_interval: 15s", "evaluation_interval: 500ms"),
            ("/etc/prometheus/sekisho.token", token.to_str().unwrap()),
            ("sekisho.example:8080", &web),
            ("localhost:9464", &self.probe_address()),
        ] {
            assert!(config.contains(what), "{what} is not in the shipped file");
            config = config.replace(what, with);
        }
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        Prometheus::start(&folder).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The test is over: whether it still ran says nothing more.
        self.probe.kill().ok();
        self.probe.wait().ok();
    }
}

/// Every value of this name in a document, wherever it is.
fn everywhere(document: &Value, name: &str, found: &mut BTreeSet<String>) {
    match document {
        Value::Object(fields) => {
            found.extend(fields.get(name).and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| everywhere(value, name, found));
        }
        Value::Array(values) => values.iter().for_each(|value| everywhere(value, name, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn dashboard(name: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(shipped("grafana/dashboard.json")).unwrap();
    let mut found = BTreeSet::new();
    everywhere(&serde_json::from_str(&text).unwrap(), name, &mut found);
    assert!(!found.is_empty(), "the dashboard has no {name}");
    found
}

/// Names of metrics, from what is told about them.
fn families(numbers: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(numbers).unwrap();
    let help = text.lines().filter_map(|line| line.strip_prefix("# HELP "));
    help.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn the_shipped_rules_are_sound_and_each_alert_has_a_test() {
    let alerts = shipped("prometheus/alerts.yml");
    let tests = shipped("prometheus/alerts.test.yml");
    promtool(&["check", "rules", alerts.to_str().unwrap()]).unwrap();
    promtool(&["check", "config", "--syntax-only", shipped("prometheus/prometheus.yml").to_str().unwrap()])
        .unwrap();
    promtool(&["test", "rules", tests.to_str().unwrap()]).unwrap();
    let (alerts, tests) = (fs::read_to_string(alerts).unwrap(), fs::read_to_string(tests).unwrap());
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(&format!("        alertname: {name}\n")), "no test lets {name} fire");
        assert!(tests.contains(&format!("alertname: {name} }}\n")), "no test lets {name} be silent");
    }
}

#[test]
fn prometheus_reads_both_programs_and_the_dashboard_shows_them() {
    let site = Site::new();
    let online = site.is("online");
    assert_eq!((&online["problem"], &online["version"]), (&false.into(), &env!("CARGO_PKG_VERSION").into()));
    // Nothing listens but what answers that it is closed: the sweep is complete all the same.
    let swept = site.controller.cli(&["sweep", "run", "--wait", "--vantage", "here"]).unwrap();
    let said = String::from_utf8_lossy(&swept.stdout);
    assert!(said.contains("19 flows: "), "{said}{}", String::from_utf8_lossy(&swept.stderr));
    let done = site.listed();
    assert!(done["jobs"] == 0 && done["job_ended_at"].is_string(), "{done}");
    assert_eq!(site.controller.cli(&["probe", "list", "--check"]).unwrap().status.code(), Some(2), "there");

    let prometheus = site.prometheus();
    let mut samples = BTreeMap::new();
    for expression in dashboard("expr") {
        let asked = expression.replace("$__rate_interval", "1m");
        let found = wait_for(&expression, SOON, || {
            Ok(Some(prometheus.query(&asked)?).filter(|found| !found.is_empty()))
        });
        samples.insert(expression, found.unwrap());
    }
    let vantages = &samples["max by (vantage) (sekisho_vantage_uncovered)"];
    assert_eq!((vantages.len(), &vantages[0]["metric"]["vantage"]), (1, &"there".into()));
    let planned = &samples["max(sekisho_last_sweep_tasks{state=\"planned\"})"];
    assert_eq!(planned[0]["value"][1], "24");
    let pending = "ALERTS{alertname=\"SekishoVantageUncovered\", vantage=\"there\", alertstate=\"pending\"}";
    wait_for("the alert about the vantage there", SOON, || {
        Ok(Some(prometheus.query(pending)?).filter(|found| found.len() == 1))
    })
    .unwrap();
    for query in dashboard("rawSql") {
        site.controller.query(&query).unwrap();
    }

    let controller = site.numbers(&format!("127.0.0.1:{}", site.controller.metrics_port.unwrap()));
    assert_eq!(complaints(&controller).unwrap(), "");
    let mut told = families(&controller);
    let probe = site.numbers(&site.probe_address());
    assert_eq!(complaints(&probe).unwrap(), "");
    let of_probe = families(&probe);
    let file = site.folder.path().join("probe.prom");
    assert_eq!((complaints(&file).unwrap().as_str(), families(&file)), ("", of_probe.clone()));
    told.extend(of_probe);
    let described = fs::read_to_string(shipped("prometheus/README.md")).unwrap();
    let documented = described.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    assert_eq!(documented.map(str::to_owned).collect::<BTreeSet<_>>(), told, "deploy/prometheus/README.md");
}

#[test]
fn a_probe_that_may_nothing_or_goes_away_is_told_of() {
    let mut site = Site::new();
    site.is("online");
    let scope = site.folder.path().join("probe/scope.toml");
    let good = fs::read_to_string(&scope).unwrap();
    fs::write(&scope, "allow = 3\n").unwrap();
    let unwell = site.is("unwell");
    let why = unwell["why"].as_str().unwrap();
    assert!(why.starts_with("the scope file allows nothing: ") && why.contains("scope.toml"), "{why}");
    fs::write(&scope, good).unwrap();
    site.is("online");

    let file = site.folder.path().join("probe.prom");
    assert!(file.exists());
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(site.probe.id().try_into().unwrap()),
        nix::sys::signal::Signal::SIGTERM,
    )
    .unwrap();
    assert!(site.probe.wait().unwrap().success());
    assert!(!file.exists(), "numbers of a probe that has ended mean nothing");
    site.is("lost");
    let list = site.controller.ok(&["probe", "list"]).unwrap();
    assert!(list.contains("no probe that works: 1 lost"), "{list}");
}
