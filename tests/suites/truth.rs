//! The lab's truth table, checked from every VLAN at once, again and again.
//!
//! `SEKISHO_TRUTH_RUNS` sets how often (20).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "progress of a long test")]

use std::{process::Stdio, time::Instant};

use anyhow::{bail, ensure};
use sekisho_lab::{Expectation, Lab, Options, truth};
use sekisho_model::Matrix;
use sekisho_tests::{Programs, compare, runs};

const VLANS: [&str; 3] = ["vlan10", "vlan20", "vlan30"];

/// Who the probe runs as.
#[derive(Clone, Copy)]
enum User {
    Root,
    Nobody,
}

#[test]
fn holds_for_root() {
    holds("root", User::Root, 0).unwrap();
}

#[test]
fn holds_for_nobody_without_capabilities() {
    holds("nobody", User::Nobody, 0).unwrap();
}

#[test]
fn holds_for_nobody_with_five_percent_loss_each_way() {
    holds("loss", User::Nobody, 5).unwrap();
}

fn holds(name: &str, user: User, loss: u8) -> anyhow::Result<()> {
    let runs = runs()?;
    let programs = Programs::new()?;
    let mut lab = Lab::up(&Options::named(format!("t-truth-{name}-{}", std::process::id())))?;
    lab.loss(loss)?;
    let mut wrong = 0;
    for run in 1..=runs {
        let began = Instant::now();
        let differences = run_once(&programs, &lab, user)?;
        eprintln!("{name} run {run}: {} wrong, {:.1} s", differences.len(), began.elapsed().as_secs_f32());
        for difference in &differences {
            eprintln!("  {difference}");
        }
        wrong += differences.len();
    }
    ensure!(wrong == 0, "{wrong} wrong verdicts in {runs} runs");
    Ok(())
}

fn run_once(programs: &Programs, lab: &Lab, user: User) -> anyhow::Result<Vec<String>> {
    let rows: Vec<Expectation> = truth();
    let mut checks = Vec::new();
    for vlan in VLANS {
        let mut argv =
            vec![programs.path("sekisho-probe").to_string_lossy().into_owned(), "check".to_owned()];
        let mut of_vlan: Vec<Expectation> = rows.iter().filter(|row| row.vantage == vlan).cloned().collect();
        let mut seen = std::collections::BTreeSet::new();
        argv.extend(of_vlan.iter().map(|row| row.address.to_string()).filter(|a| seen.insert(a.clone())));
        for service in of_vlan.iter().map(|row| row.service.name()).filter(|s| seen.insert(s.clone())) {
            argv.extend(["--service".to_owned(), service]);
        }
        argv.extend(["--domain", "corp.example", "--format", "json"].map(str::to_owned));
        let mut command = match user {
            User::Root => lab.exec(vlan, argv)?,
            User::Nobody => lab.exec_as("nobody", vlan, argv)?,
        };
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        checks.push((std::mem::take(&mut of_vlan), child));
    }
    let mut wrong = Vec::new();
    for (expected, child) in checks {
        let output = child.wait_with_output()?;
        let matrix: Matrix = match serde_json::from_slice(&output.stdout) {
            Ok(matrix) => matrix,
            Err(error) => bail!("{error}: {}", String::from_utf8_lossy(&output.stderr)),
        };
        wrong.extend(compare(&expected, &matrix.cells).iter().map(ToString::to_string));
    }
    Ok(wrong)
}

/// Where the system grants no ICMP socket, the probe says so and tests the rest.
#[test]
fn without_permission_to_ping_the_echo_is_failed_and_the_rest_is_tested() {
    let programs = Programs::new().unwrap();
    let name = format!("t-noping-{}", std::process::id());
    let lab = Lab::up(&Options { ping: false, ..Options::named(name) }).unwrap();
    let probe = programs.path("sekisho-probe");
    let argv = [
        probe.to_str().unwrap(),
        "check",
        "10.77.1.10",
        "--service",
        "icmp",
        "--service",
        "smb",
        "--format",
        "json",
    ];
    let output = lab.exec_as("nobody", "vlan10", argv).unwrap().output().unwrap();
    let matrix: Matrix = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes: Vec<&str> = matrix.cells.iter().map(|cell| cell.outcome.word()).collect();
    assert_eq!(outcomes, ["failed", "open"]);
    let detail = matrix.cells[0].facts["detail"].to_string();
    assert!(detail.contains("ping_group_range"), "{detail}");
    assert_eq!(output.status.code(), Some(3));
}

/// What came of services of dc1, seen from a VLAN as nobody: how many of each outcome.
fn outcomes(lab: &Lab, vlan: &str, arguments: &[String]) -> std::collections::BTreeMap<String, usize> {
    let programs = Programs::new().unwrap();
    let mut argv = vec![programs.path("sekisho-probe").to_string_lossy().into_owned(), "check".to_owned()];
    argv.extend(["10.77.1.10", "--format", "json"].map(str::to_owned));
    argv.extend(arguments.iter().cloned());
    let output = lab.exec_as("nobody", vlan, argv).unwrap().output().unwrap();
    let matrix: Matrix = serde_json::from_slice(&output.stdout).unwrap();
    let mut counted = std::collections::BTreeMap::new();
    for cell in matrix.cells {
        *counted.entry(cell.outcome.word().to_owned()).or_insert(0) += 1;
    }
    counted
}

/// A router that rations its ICMP errors (the default of Linux) lets rejections look like drops.
#[test]
fn rationed_rejections_are_not_taken_for_silence() {
    let lab = Lab::up(&Options::named(format!("t-ration-{}", std::process::id()))).unwrap();
    let sysctl = ["sysctl", "-q", "net.ipv4.icmp_ratelimit=1000", "net.ipv4.icmp_ratemask=6168"];
    assert!(lab.exec("edge", sysctl).unwrap().status().unwrap().success());
    let acl = "table ip rationed {\n chain forward {\n  type filter hook forward priority -10;\n  \
               tcp dport 3001-3012 reject with icmp admin-prohibited\n  tcp dport 3013-3014 drop\n }\n}\n";
    lab.nft("edge", acl).unwrap();
    let services: Vec<String> =
        (3001..=3014).flat_map(|port| ["--service".to_owned(), format!("tcp/{port}")]).collect();
    let counted = outcomes(&lab, "vlan10", &services);
    assert_eq!(counted, [("filtered".to_owned(), 2), ("rejected".to_owned(), 12)].into());
}

/// Silent flows must not wait for each other's sockets.
#[test]
fn silence_ends_also_with_one_attempt_at_a_time() {
    let lab = Lab::up(&Options::named(format!("t-narrow-{}", std::process::id()))).unwrap();
    let arguments = ["--service", "cldap", "--service", "smb", "--service", "dns-udp", "--concurrency", "1"];
    let counted = outcomes(&lab, "vlan20", &arguments.map(str::to_owned));
    assert_eq!(counted, [("filtered".to_owned(), 2), ("open".to_owned(), 1)].into());
}
