//! The real program on a real PostgreSQL: what it prints, what it survives, what it refuses.
//!
//! Started as root, the controller becomes user `sekisho` or `postgres` by itself, as it does for everybody.

#![allow(clippy::unwrap_used, reason = "a panic is how a test says that something is wrong")]

mod controller;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use controller::{Controller, Place, fails, kill, wait_for};
use nix::sys::signal::Signal;
use sekisho_proto::v1::{
    EnrolRequest, ProbeMessage, enrolment_client::EnrolmentClient, fleet_client::FleetClient,
};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig},
};

const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
"#;

#[test]
fn serves_answers_commands_and_stops_in_order() {
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    for (file, mode) in
        [("", 0o700), ("admin.token", 0o600), ("identity/ca.key", 0o600), ("postgres/run", 0o700)]
    {
        let about = fs::metadata(place.data().join(file)).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, mode, "{file}");
    }
    assert!(controller.run(&["probe", "list", "--check"]).stdout.contains("no probes"));
    let inventory = place.write("inventory.toml", INVENTORY);
    let inventory = inventory.to_str().unwrap();
    let dry = controller.run(&["apply", inventory, "--dry-run"]);
    assert!(dry.stdout.contains("+ vantage vlan20") && dry.stdout.contains("dry run"), "{}", dry.stdout);
    assert!(controller.run(&["apply", inventory]).stdout.contains("+ vantage vlan20"));
    assert_eq!(controller.run(&["apply", inventory]).stdout, "nothing to change\n");
    let listed = controller.run(&["probe", "list"]).stdout;
    assert!(
        listed.contains("no-probe") && listed.contains("sekisho probe token --vantage vlan20"),
        "{listed}"
    );
    assert_eq!(controller.command(&["probe", "list", "--check"]).code, 2);
    let json = controller.run(&["probe", "list", "--format", "json"]).stdout;
    let lines: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&lines[0]["id"], &lines[0]["status"]), (&serde_json::Value::Null, &"no-probe".into()));
    let csv = controller.run(&["probe", "list", "--format", "csv"]).stdout;
    assert!(csv.starts_with("id,vantage,host,"), "{csv}");

    let token = controller.run(&["probe", "token", "--vantage", "vlan20", "--ttl", "30m"]).stdout;
    let parts: Vec<&str> = token.trim().split('.').collect();
    assert_eq!((parts.len(), parts[0]), (3, "sks1"), "{token}");
    assert_eq!((parts[1].len(), parts[2].len()), (43, 43), "{token}");

    let refused = controller.fails(&["matrix"]);
    assert!(refused.contains("matrix") && refused.contains("no sweep"), "{refused}");
    let refused = controller.fails(&["probe", "token", "--vantage", "nowhere"]);
    assert!(refused.contains("nowhere") && refused.contains("vlan20"), "{refused}");
    let faults = place.write("faults.toml", "[[vantage]]\nname = \"x\"\ncolour = \"red\"\n");
    let refused = controller.fails(&["apply", faults.to_str().unwrap()]);
    assert!(refused.contains("faults.toml") && refused.contains("colour"), "{refused}");

    let log = controller.stop();
    assert!(!log.contains(parts[1]), "the log holds an enrolment secret");
    assert!(!place.data().join("server.url").exists());
    assert!(place.postmaster().is_none(), "PostgreSQL outlived an orderly stop");
}

#[test]
fn schedules_are_shown_paused_and_run_from_the_command_line() {
    let place = Place::new();
    let config = place.write(
        "sekisho.toml",
        "[settings]\nprobe_grace = \"1s\"\nheartbeat = \"1s\"\nlive_window = \"2s\"\ntick = \"200ms\"\n",
    );
    let controller = Controller::start(&place, &["--config", config.to_str().unwrap()]);
    let inventory = |window: &str| {
        let schedule = format!(
            "[[schedule]]\nname = \"nightly\"\ncron = \"0 2 * * *\"\ntime_zone = \"Asia/Tokyo\"\nwindow = \"{window}\"\nprofile = \"ports\"\n"
        );
        place.write("inventory.toml", &format!("{INVENTORY}{schedule}")).to_str().unwrap().to_owned()
    };
    let applied = controller.run(&["apply", &inventory("2h")]).stdout;
    let line = "+ schedule nightly: cron 0 2 * * *, time_zone Asia/Tokyo, window 2h, profile ports\n";
    assert!(applied.contains(line), "{applied}");
    let applied = controller.run(&["apply", &inventory("3h")]).stdout;
    assert_eq!(applied, "~ schedule nightly: window 2h -> 3h\n");

    let list = controller.run(&["schedule", "list"]).stdout;
    assert!(list.contains("nightly") && list.contains("active") && list.contains(" 02:00 JST"), "{list}");
    let csv = controller.run(&["schedule", "list", "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 2, "{csv}");
    let show = controller.run(&["schedule", "show", "nightly"]).stdout;
    assert_eq!(show.matches(" 17:00:00Z").count(), 6, "five runs and the headline: {show}");
    assert!(show.contains("not put forward or back") && show.contains("no runs yet"), "{show}");
    assert!(controller.fails(&["schedule", "show", "nightyl"]).contains("the inventory has nightly"));

    let dry = controller.command(&["schedule", "run", "nightly", "--dry-run"]);
    assert_eq!(dry.code, 3, "{}{}", dry.stdout, dry.stderr);
    assert!(dry.stdout.contains("everything would be missed: vlan20"), "{}", dry.stdout);
    assert!(controller.run(&["sweep", "list"]).stdout.contains("no sweeps yet"));

    let pause = ["schedule", "pause", "nightly", "--until", "2099-01-01", "--reason", "upgrade"];
    let paused = controller.run(&pause).stdout;
    assert!(paused.contains("until 2098-12-31 15:00:00Z: upgrade"), "{paused}");
    assert!(paused.contains("next run 2099-01-01 02:00 JST"), "{paused}");
    assert!(controller.fails(&["schedule", "pause", "nightly", "--until", "2020-01-01"]).contains("is past"));
    assert!(controller.run(&["schedule", "resume", "nightly"]).stdout.contains("schedule nightly active"));
    assert!(controller.fails(&["schedule", "resume", "nightly"]).contains("is not paused"));

    let ran = controller.command(&["schedule", "run", "nightly", "--wait"]);
    assert_eq!(ran.code, 3, "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("12 flows planned, 0 observed, 12 missed"), "{}", ran.stdout);
    let json = controller.run(&["schedule", "show", "nightly", "--format", "json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&shown["name"], &shown["state"]), (&"nightly".into(), &"active".into()));
    let run = &shown["runs"][0];
    assert_eq!((&run["state"], &run["sweep"]["state"]), (&"started".into(), &"partial".into()));
    assert_eq!(run["sweep"]["missed"], 12);
    controller.stop();
}

#[test]
fn a_sweep_without_probes_ends_incomplete_and_is_shown_as_missed() {
    let place = Place::new();
    let config = place.write(
        "sekisho.toml",
        "[settings]\nprobe_grace = \"1s\"\nheartbeat = \"1s\"\nlive_window = \"2s\"\ndiscovery_wait = \"1s\"\ntick = \"200ms\"\n",
    );
    let controller = Controller::start(&place, &["--config", config.to_str().unwrap()]);
    let inventory = place.write("inventory.toml", INVENTORY);
    controller.run(&["apply", inventory.to_str().unwrap()]);
    let swept = controller.command(&["sweep", "run", "--wait"]);
    assert_eq!(swept.code, 3, "{}{}", swept.stdout, swept.stderr);
    assert!(swept.stdout.contains("all 19 flows missed (no-probe)"), "{}", swept.stdout);
    assert!(swept.stdout.contains("vlan20: all 5 checks unknown (no-probe, missed)\n"), "{}", swept.stdout);
    assert!(
        swept.stdout.contains(": 19 flows and 5 checks planned, 0 observed, 24 missed\n"),
        "{}",
        swept.stdout
    );
    let progress = "sweep 1: 0 of 24 observed (19 flows and 5 checks), 24 missed";
    assert!(swept.stderr.contains(progress), "{}", swept.stderr);
    for words in
        [&["matrix"][..], &["matrix", "--checks"], &["sweep", "show", "1"], &["sweep", "watch", "latest"]]
    {
        assert_eq!(controller.command(words).code, 3, "{words:?}");
    }
    let json = controller.command(&["matrix", "--format", "json"]).stdout;
    let matrix: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&matrix["sweep"]["missed"], &matrix["sweep"]["checks"]), (&24.into(), &5.into()));
    assert_eq!(matrix["cells"].as_array().unwrap().len(), 19);
    assert_eq!(matrix["cells"][0]["need"], "recommended");
    assert_eq!(matrix["checks"].as_array().unwrap().len(), 5);
    let csv = controller.command(&["matrix", "--format", "csv"]).stdout;
    assert_eq!(csv.lines().count(), 20, "{csv}");
    let csv = controller.command(&["matrix", "--checks", "--format", "csv"]).stdout;
    assert!(csv.contains("1,vlan20,corp.example,dc1.corp.example,10.77.1.10,clock,unknown,"), "{csv}");
    assert_eq!(csv.lines().count(), 6, "{csv}");
    assert!(controller.run(&["sweep", "list"]).stdout.contains("partial"));
    let diff = controller.command(&["diff", "1", "latest"]);
    assert_eq!(diff.code, 3, "{}", diff.stdout);
    assert!(diff.stdout.contains("untested: vlan20: 19 flows missed in sweep 1\n"), "{}", diff.stdout);
    let diff = controller.command(&["diff", "1", "1", "--fail-on", "gone,untested", "--format", "json"]);
    let found: serde_json::Value = serde_json::from_str(&diff.stdout).unwrap();
    assert_eq!((diff.code, &found["from"], &found["unchanged"]), (2, &1.into(), &0.into()));
    assert_eq!(controller.command(&["diff", "--vantage", "vlan20", "--vantage", "vlan20", "1"]).code, 3);
    assert!(controller.fails(&["diff", "--vantage", "vlan20"]).contains("twice"));
    assert!(controller.fails(&["diff", "--vantage", "vlan20", "--vantage", "vlan9"]).contains("vlan20"));
    assert!(controller.fails(&["diff"]).contains("no sweep latest~1"));
    let gaps = controller.command(&["gaps", "--format", "json"]);
    assert_eq!((gaps.code, gaps.stdout.as_str()), (3, "[]\n"), "{}", gaps.stderr);
    assert!(gaps.stderr.contains("no policy"), "{}", gaps.stderr);
    let gaps = controller.command(&["gaps"]);
    assert!(gaps.stdout.contains("0 untested; 19 without policy\n"), "{}", gaps.stdout);
    let history = |target, format| {
        ["history", "--vantage", "vlan20", "--target", target, "--service", "smb", "--format", format]
    };
    let shown = controller.run(&history("dc1.corp.example", "table")).stdout;
    assert_eq!(shown, "smb of dc1.corp.example from vlan20: never tested\n");
    assert_eq!(controller.run(&history("10.77.1.10", "json")).stdout, "[]\n");
    let refused = controller.fails(&history("dc9", "csv"));
    assert!(refused.contains("there is no target \"dc9\"; the inventory has dc1.corp.example"), "{refused}");
    for words in
        [&["sweep", "show", ".."][..], &["sweep", "cancel", "-1"], &["matrix", "--sweep", "latest~x"]]
    {
        assert!(controller.fails(words).contains("such as 17, latest, or latest~1"), "{words:?}");
    }
    assert!(controller.fails(&["probe", "revoke", ".."]).contains("sekisho probe list"));
    let refused = controller.fails(&["sweep", "cancel", "1"]);
    assert!(refused.contains("cancel sweep 1"), "{refused}");
}

#[test]
fn a_killed_controller_comes_back_with_its_data_and_stops_the_postgresql_that_it_left() {
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    let inventory = place.write("inventory.toml", INVENTORY);
    controller.run(&["apply", inventory.to_str().unwrap()]);
    let token = fs::read_to_string(place.data().join("admin.token")).unwrap();
    controller.kill();
    let orphan = place.postmaster().expect("PostgreSQL goes on without its controller");

    let refused = fails(place.sekisho().args(["probe", "list"]));
    assert!(refused.contains("sekisho serve"), "{refused}");

    let controller = Controller::start(&place, &[]);
    assert_ne!(place.postmaster(), Some(orphan));
    assert_eq!(controller.run(&["apply", inventory.to_str().unwrap()]).stdout, "nothing to change\n");
    assert_eq!(fs::read_to_string(place.data().join("admin.token")).unwrap(), token);
    assert!(controller.stop().contains("outlived its controller"));
}

#[test]
fn a_killed_postgresql_comes_back_under_a_running_controller() {
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    let first = place.postmaster().unwrap();
    kill(first, Signal::SIGKILL);
    wait_for("a new PostgreSQL", || place.postmaster().is_some_and(|pid| pid != first));
    wait_for("the controller to answer", || controller.command(&["sweep", "list"]).code == 0);
    wait_for("the controller to be ready", || controller.is_ready());
    let log = controller.stop_after_faults();
    assert!(log.contains("starting it again"), "{log}");
    assert!(!log.contains("starting up"), "what passes by itself is not worth a warning: {log}");
}

#[test]
fn an_interrupted_creation_is_done_again() {
    let place = Place::new();
    let postgres = place.data().join("postgres");
    let mut first = place.serve(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = || {
        fs::read_dir(&postgres)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("data.init-"))
    };
    wait_for("the creation to begin", begun);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(!postgres.join("data").exists());
    let controller = Controller::start(&place, &[]);
    assert!(!begun());
    assert!(controller.run(&["sweep", "list"]).stdout.contains("no sweeps"));
}

#[test]
fn a_second_controller_on_the_same_directory_is_refused() {
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    let refused = fails(&mut place.serve(&[]));
    assert!(refused.contains(&format!("another controller (process {})", controller.pid())), "{refused}");
    assert!(controller.is_ready());
}

#[test]
fn channels_of_the_configuration_are_tried() {
    let place = Place::new();
    // A receiver that takes everything and says so.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let receiver = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            .unwrap();
        head
    });
    place.write("key", "hunter2\n");
    let config = place.write(
        "sekisho.toml",
        &format!(
            "[[alert]]\nname = \"ops\"\nkind = \"webhook\"\nurl = \"http://{address}/T0KEN\"\nsecret_file = \"key\"\n\
             [[alert]]\nname = \"nobody\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/T0KEN\"\n"
        ),
    );
    let controller = Controller::start(&place, &["--config", config.to_str().unwrap()]);
    assert_eq!(controller.run(&["alert", "list"]).stdout, "no open alerts\n");
    assert_eq!(controller.run(&["alert", "list", "--all", "--format", "json"]).stdout.trim(), "[]");
    let tried = controller.run(&["alert", "test", "--channel", "ops"]).stdout;
    assert!(tried.starts_with("channel ops: delivered, key "), "{tried}");
    let head = receiver.join().unwrap();
    assert!(
        head.iter().any(|line| line.to_ascii_lowercase().starts_with("sekisho-signature: v1=")),
        "{head:?}"
    );
    let refused = controller.fails(&["alert", "test", "--channel", "nobody"]);
    assert!(
        refused.contains("channel nobody did not take the test") && refused.contains("refused"),
        "{refused}"
    );
    let unknown = controller.fails(&["alert", "test", "--channel", "pager"]);
    assert!(unknown.contains("ops, nobody"), "{unknown}");
    let log = controller.stop();
    assert!(!log.contains("T0KEN") && !log.contains("hunter2"), "{log}");
}

#[test]
fn data_of_another_version_is_left_alone() {
    let place = Place::new();
    Controller::start(&place, &[]).stop();
    let version = place.data().join("postgres/data/PG_VERSION");
    fs::write(&version, "9\n").unwrap();
    let refused = fails(&mut place.serve(&[]));
    for word in ["PostgreSQL 9", "pg_upgrade", "postgresql-9", "--postgres-bin"] {
        assert!(refused.contains(word), "{word} is not in: {refused}");
    }
}

#[test]
fn two_controllers_on_one_database_trust_each_other() {
    let (first_place, second_place) = (Place::new(), Place::new());
    let first = Controller::start(&first_place, &[]);
    let run = first_place.data().join("postgres/run");
    let url = format!("postgres://sekisho@{}/sekisho", run.to_str().unwrap().replace('/', "%2F"));
    let second = Controller::start(&second_place, &["--database-url", &url]);
    assert!(second_place.postmaster().is_none());

    let inventory = first_place.write("inventory.toml", INVENTORY);
    assert!(first.run(&["apply", inventory.to_str().unwrap()]).stdout.contains("+ vantage"));
    assert_eq!(second.run(&["apply", inventory.to_str().unwrap()]).stdout, "nothing to change\n");

    let pins = |controller: &Controller| -> Vec<String> {
        let token = controller.run(&["probe", "token", "--vantage", "vlan20"]).stdout;
        token.trim().split('.').skip(2).map(str::to_owned).collect()
    };
    let (mut by_first, mut by_second) = (pins(&first), pins(&second));
    assert_ne!(by_first[0], by_second[0], "each names itself first");
    by_first.sort();
    by_second.sort();
    assert_eq!((by_first.len(), &by_first), (2, &by_second));

    let crossed = fs::read_to_string(first_place.data().join("admin.token")).unwrap();
    let listed = second_place.sekisho().args(["--token", crossed.trim(), "probe", "list"]).output().unwrap();
    assert!(listed.status.success(), "a token of one controller is good at the other");
}

#[test]
fn what_cannot_be_is_told_with_what_to_do() {
    let place = Place::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused =
        fails(place.sekisho().args(["serve", "--fleet-listen", &address, "--web-listen", "127.0.0.1:0"]));
    assert!(refused.contains(&address) && refused.contains("--fleet-listen"), "{refused}");

    let others = Place::new();
    fs::create_dir_all(others.data()).unwrap();
    fs::write(others.data().join("thesis.odt"), "not ours").unwrap();
    let refused = fails(&mut others.serve(&[]));
    assert!(refused.contains("is not empty") && !refused.contains("chown"), "{refused}");

    let refused = fails(&mut place.serve(&["--postgres-bin", "/nonexistent"]));
    assert!(refused.contains("/nonexistent") && refused.contains("Debian package postgresql"), "{refused}");

    let config = place.write("wrong.toml", "web_listen = 8080\n");
    let refused = fails(&mut place.serve(&["--config", config.to_str().unwrap()]));
    assert!(refused.contains("wrong.toml, line 1, field web_listen"), "{refused}");

    let refused = fails(place.bare().args(["matrix"]));
    assert!(refused.contains("--data-dir") && refused.contains("SEKISHO_SERVER"), "{refused}");
    let refused = fails(place.bare().args(["--server", "http://127.0.0.1:1", "--token", "t", "matrix"]));
    assert!(refused.contains("127.0.0.1:1") && refused.contains("sekisho serve"), "{refused}");
    let refused = fails(place.bare().args(["--server", "http://u:hunter2@h", "--token", "t", "matrix"]));
    assert!(refused.contains("no password") && !refused.contains("hunter2"), "{refused}");
    let refused = fails(place.bare().args(["--server", "http://127.0.0.1:1", "--token", "t\nx", "matrix"]));
    assert!(refused.contains("visible ASCII"), "{refused}");
    let refused = fails(place.bare().args([
        "--server",
        "http://127.0.0.1:1",
        "--token",
        "t",
        "apply",
        "\u{1b}[2J.toml",
    ]));
    assert!(!refused.contains('\u{1b}'), "{refused}");
    let refused = fails(place.bare().args(["matrix", "--bogus"]));
    assert!(refused.contains("--bogus"), "{refused}");
    assert!(place.bare().arg("--help").stdout(Stdio::null()).status().unwrap().success());
}

#[test]
fn a_log_of_json_leads_from_a_request_to_its_sweep() {
    let place = Place::new();
    let options = ["--log-format", "json", "--metrics-listen", "127.0.0.1:0"];
    let controller = Controller::start(&place, &options);
    let inventory = place.write("inventory.toml", INVENTORY);
    controller.run(&["apply", inventory.to_str().unwrap()]);
    controller.run(&["sweep", "run"]);
    let asked = |door: &str, token: &str| controller.ask(door, &format!("GET /metrics HTTP/1.1\r\n{token}"));
    assert!(asked("web=", "").starts_with("HTTP/1.1 401 "));
    let token = fs::read_to_string(place.data().join("admin.token")).unwrap();
    for (door, token) in
        [("web=", format!("authorization: Bearer {}\r\n", token.trim())), ("metrics=", String::new())]
    {
        let told = asked(door, &token);
        assert!(
            told.starts_with("HTTP/1.1 200 ") && told.contains("\nsekisho_build_info{version="),
            "{door} {told}"
        );
        assert!(told.contains("route=\"/metrics\",status=\"401\"} 1\n"), "{door} {told}");
    }
    let other = controller.ask("metrics=", "GET /api/v1/probes HTTP/1.1\r\n");
    assert!(other.starts_with("HTTP/1.1 404 "), "nothing else is told without a token: {other}");
    let log = controller.stop();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("a log of JSON")).collect();
    for line in &lines {
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{line}");
    }
    let began = lines.iter().find(|line| line["message"] == "a sweep began").unwrap();
    assert_eq!((&began["sweep"], &began["profile"]), (&1.into(), &"domain-join".into()));
    assert_eq!(began["span"]["request_id"].as_str().unwrap().len(), 36, "{began}");
}

#[test]
fn a_sweep_is_shown_with_its_trace_and_a_collector_that_hangs_holds_nobody_up() {
    let place = Place::new();
    // Takes connections and never answers.
    let collector = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = collector.local_addr().unwrap();
    place.write("headers", "x-key: hunter2\n");
    let traces = format!("[traces]\nendpoint = \"http://{address}\"\nheaders_file = \"headers\"\n");
    let config = place.write("sekisho.toml", &traces);
    let controller = Controller::start(&place, &["--config", config.to_str().unwrap()]);
    let inventory = place.write("inventory.toml", INVENTORY);
    controller.run(&["apply", inventory.to_str().unwrap()]);
    let started = controller.run(&["sweep", "run"]).stdout;
    let trace = started.lines().find_map(|line| line.strip_prefix("trace ")).expect("a trace");
    assert_eq!(trace.len(), 32, "{started}");
    let shown = controller.command(&["sweep", "show", "--format", "json"]).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["trace_id"], trace);
    controller.run(&["sweep", "cancel", "latest"]);
    let log = controller.stop();
    assert_eq!(log.matches("spans of traces are left that the collector has not taken").count(), 1, "{log}");
    assert!(log.contains(&format!("trace_id={trace}")) && !log.contains("hunter2"), "{log}");
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let place = Place::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = place
        .serve(&[])
        .env("RUST_LOG", "debug")
        .stdout(Stdio::piped())
        .stderr(Stdio::from(full))
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert!(ready.starts_with("ready "), "{ready:?}");
    let listed = place.sekisho().args(["sweep", "list"]).output().unwrap();
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    kill(i32::try_from(child.id()).unwrap(), Signal::SIGTERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    let program = env!("CARGO_BIN_EXE_sekisho");
    let line = format!("{program} sweep list --format csv | true; echo \"${{PIPESTATUS[0]}}\"");
    let output =
        Command::new("bash").args(["-c", &line]).env("SEKISHO_DATA_DIR", place.data()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(controller);
}

#[tokio::test]
async fn without_a_certificate_one_can_enrol_and_nothing_else() {
    // The same first line as every program of this workspace.
    rustls::crypto::ring::default_provider().install_default().ok();
    let place = Place::new();
    let controller = Controller::start(&place, &[]);
    let channel = dial(&controller, &place.data().join("identity/ca.pem")).await;

    let request =
        EnrolRequest { secret: "unknown".into(), csr: vec![], host: "h".into(), version: "1".into() };
    let refused = EnrolmentClient::new(channel.clone()).enrol(request).await.unwrap_err();
    assert_ne!(refused.code(), Code::Unimplemented, "{refused}");
    assert_ne!(refused.code(), Code::Unauthenticated, "the service decides, not the listener: {refused}");

    let messages = tokio_stream::pending::<ProbeMessage>();
    let refused = FleetClient::new(channel).session(messages).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
}

async fn dial(controller: &Controller<'_>, authority: &Path) -> Channel {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(fs::read(authority).unwrap()))
        .domain_name(sekisho_proto::CONTROLLER_NAME);
    let endpoint = Channel::from_shared(format!("https://{}", controller.fleet())).unwrap();
    endpoint.tls_config(tls).unwrap().connect().await.unwrap()
}
