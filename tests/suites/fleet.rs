//! From token to matrix: the programs together, in the lab.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use sekisho_lab::truth;
use sekisho_model::{CheckKind, Outcome, SweepState};
use sekisho_tests::{World, compare, wait_for};

const VLANS: [&str; 3] = ["vlan10", "vlan20", "vlan30"];
const DC_NETWORK: &[&str] = &["10.77.1.0/24"];

/// The lab's inventory and a profile of all services of the truth table.
fn inventory() -> String {
    let services: std::collections::BTreeSet<String> = truth().iter().map(|row| row.service.name()).collect();
    let services: Vec<String> = services.iter().map(|service| format!("\"{service}\"")).collect();
    format!(
        "{}\n[[profile]]\nname = \"lab\"\nservices = [{}]\n",
        sekisho_lab::inventory(),
        services.join(", ")
    )
}

#[test]
fn a_sweep_tells_the_truth() {
    let mut world = World::new("sweep").unwrap();
    world.apply(&inventory()).unwrap();
    assert_eq!(
        world.apply(&inventory()).unwrap().lines().filter(|l| l.starts_with(['+', '-', '~'])).count(),
        0
    );
    for vlan in VLANS {
        world.probe(vlan, DC_NETWORK).unwrap();
    }
    world.online(3).unwrap();
    let sweep = world.sweep(&["--profile", "lab"]).unwrap();
    let flows = i64::try_from(truth().len()).unwrap();
    assert_eq!((sweep.state, sweep.planned, sweep.missed), (SweepState::Complete, flows, 0));
    let matrix = world.controller.matrix("latest").unwrap();
    for vlan in VLANS {
        let rows: Vec<_> = truth().into_iter().filter(|row| row.vantage == vlan).collect();
        let cells: Vec<_> = matrix.cells.iter().filter(|cell| cell.vantage == vlan).cloned().collect();
        let differences = compare(&rows, &cells);
        assert!(
            differences.is_empty(),
            "{}",
            differences.iter().map(|d| format!("{d}\n")).collect::<String>()
        );
    }
    // A second sweep of an unchanged lab knows the outcomes of the first.
    let again = world.sweep(&["--profile", "lab", "--vantage", "vlan10"]).unwrap();
    assert_eq!((again.state, again.planned), (SweepState::Complete, flows / 3));
}

/// Checks of a vantage with the lab's three targets and one computer.
const CHECKS: [(CheckKind, usize); 7] = [
    (CheckKind::Resolver, 1),
    (CheckKind::SrvRecords, 1),
    (CheckKind::Clock, 3),
    (CheckKind::PathMtu, 3),
    (CheckKind::ComputerAccount, 1),
    (CheckKind::JoinRights, 0),
    (CheckKind::Host, 1),
];

#[test]
fn every_vantage_is_checked_besides_its_flows() {
    let mut world = World::new("checks").unwrap();
    for vlan in VLANS {
        world.probe(vlan, DC_NETWORK).unwrap();
    }
    world.online(3).unwrap();
    let sweep = world.sweep(&["--computer", "PC8", "--capture", "dc1/smb"]).unwrap();
    assert_eq!(sweep.profile, "domain-join");
    assert_eq!((sweep.state, sweep.missed), (SweepState::Complete, 0), "{sweep:?}");
    assert_eq!((sweep.planned, sweep.checks), (3 * (3 * 19 + 10), 3 * 10));
    let matrix = world.controller.matrix("latest").unwrap();
    assert_eq!((matrix.cells.len(), matrix.checks.len()), (171, 30));
    for vlan in VLANS {
        let of_vlan = || matrix.checks.iter().filter(|check| check.vantage == vlan);
        for (kind, count) in CHECKS {
            assert_eq!(of_vlan().filter(|check| check.check == kind).count(), count, "{vlan} {kind}");
        }
        assert!(of_vlan().all(|check| check.domain == "corp.example" && check.observed_at.is_some()));
        let clocks = of_vlan().filter(|check| check.check == CheckKind::Clock);
        let targets: Vec<_> = clocks.filter_map(|check| check.target.as_deref()).collect();
        assert_eq!(targets, ["app1.corp.example", "dc1.corp.example", "ghost.corp.example"]);
        let account = of_vlan().find(|check| check.check == CheckKind::ComputerAccount).unwrap();
        assert_eq!(account.facts["computer"], "PC8".into());
    }
    for cell in &matrix.cells {
        // A probe that may not see packets says that it kept none.
        let told = cell.facts.contains_key("capture-file") || cell.facts.contains_key("capture");
        assert_eq!(told, cell.target == "dc1.corp.example" && cell.service.name() == "smb", "{cell:?}");
    }
    let counted = "SELECT count(*), count(DISTINCT (job_id, task)) FROM check_result";
    assert_eq!(world.controller.query(counted).unwrap(), "30|30");
    let csv = world.controller.ok(&["matrix", "--checks", "--format", "csv"]).unwrap();
    assert_eq!(csv.lines().count(), 31, "{csv}");
    let table = world.controller.ok(&["matrix"]).unwrap();
    assert!(table.contains("171 flows and 30 checks planned") && table.contains("\n30 checks: "), "{table}");
}

#[test]
fn what_the_scope_file_does_not_allow_is_not_tested() {
    let mut world = World::new("scope").unwrap();
    world.probe("vlan10", &["10.77.1.10/32:445"]).unwrap();
    world.probe("vlan20", &[]).unwrap();
    world.online(1).unwrap();
    // It says that it may do nothing.
    world.count("unwell", 1).unwrap();
    world.sweep(&["--profile", "ports", "--vantage", "vlan10", "--vantage", "vlan20"]).unwrap();
    for cell in world.controller.matrix("latest").unwrap().cells {
        let allowed =
            cell.vantage == "vlan10" && cell.address.to_string() == "10.77.1.10" && cell.port == Some(445);
        if allowed {
            assert_eq!(cell.outcome, Outcome::Open);
        } else {
            assert_eq!(cell.outcome, Outcome::Failed, "{cell:?}");
            assert!(cell.facts.contains_key("out-of-scope"), "{cell:?}");
        }
    }
}

#[test]
fn a_vantage_without_a_probe_is_missed() {
    let mut world = World::with("missed", "[settings]\nprobe_grace = \"2s\"\n", &[]).unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    world.online(1).unwrap();
    let output =
        world.controller.cli(&["sweep", "run", "--profile", "ports", "--wait", "--format", "json"]).unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    let matrix = world.controller.matrix("latest").unwrap();
    let sweep = matrix.sweep.unwrap();
    assert_eq!(
        (sweep.state, sweep.planned, sweep.observed, sweep.missed),
        (SweepState::Partial, 108, 36, 72)
    );
    let missed = matrix.cells.iter().filter(|cell| cell.outcome == Outcome::Missed);
    assert!(missed.clone().all(|cell| cell.vantage != "vlan10"));
    assert_eq!(missed.count(), 72);
    assert_eq!(world.controller.cli(&["matrix"]).unwrap().status.code(), Some(3));
}

#[test]
fn a_revoked_probe_is_out_at_once_and_stays_out() {
    let mut world = World::new("revoke").unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    world.online(1).unwrap();
    let list = world.controller.ok(&["probe", "list", "--format", "json"]).unwrap();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    world.controller.ok(&["probe", "revoke", list[0]["id"].as_str().unwrap()]).unwrap();
    world.online(0).unwrap();
    // It has tried again and was refused before it came to a session.
    wait_for("a refused attempt", Duration::from_secs(30), || {
        let log = world.probes[0].log();
        Ok((log.matches("no session with the controller").count() >= 3).then_some(()))
    })
    .unwrap();
    assert_eq!(world.probes[0].log().matches("session open").count(), 1);
    assert_eq!(
        world.controller.query("SELECT count(*) FROM probe WHERE session_id IS NOT NULL").unwrap(),
        "0"
    );
}

#[test]
fn domain_controllers_are_found_by_their_srv_records() {
    let mut world = World::new("discover").unwrap();
    let inventory = r#"
        [[domain]]
        name = "corp.example"
        dns_servers = ["10.77.1.10"]
        [[vantage]]
        name = "vlan10"
        [[vantage]]
        name = "vlan20"
    "#;
    world.apply(inventory).unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    world.probe("vlan20", &["10.77.1.10/32:445"]).unwrap();
    world.online(2).unwrap();
    let sweep = world.sweep(&["--profile", "ports"]).unwrap();
    assert_eq!((sweep.state, sweep.planned), (SweepState::Complete, 24));
    let matrix = world.controller.matrix("latest").unwrap();
    assert!(matrix.cells.iter().all(|cell| cell.target == "dc1.corp.example"));
    assert!(
        matrix.cells.iter().filter(|cell| cell.vantage == "vlan10").all(|cell| cell.outcome == Outcome::Open)
    );
}

#[test]
fn a_certificate_is_renewed_in_time() {
    let mut world = World::with("renew", "certificate_validity = \"40s\"\n", &[]).unwrap();
    world.probe("vlan10", DC_NETWORK).unwrap();
    world.online(1).unwrap();
    wait_for("two renewals", Duration::from_secs(120), || {
        Ok((world.probes[0].log().matches("certificate renewed").count() >= 2).then_some(()))
    })
    .unwrap();
    let sweep = world.sweep(&["--profile", "ports", "--vantage", "vlan10"]).unwrap();
    assert_eq!(sweep.state, SweepState::Complete);
}

#[test]
fn readiness_is_the_gate_of_a_roll_out() {
    let mut world = World::new("readiness").unwrap();
    for vlan in VLANS {
        world.probe(vlan, DC_NETWORK).unwrap();
    }
    world.online(3).unwrap();
    let sweep = world.sweep(&[]).unwrap();
    assert_eq!((sweep.state, sweep.missed), (SweepState::Complete, 0), "{sweep:?}");
    let of = |arguments: &[&str]| {
        let output = world.controller.cli(&[&["readiness"], arguments].concat()).unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    // dc1 is well from vlan10; app1 is no domain controller, and ghost is not there.
    let (code, table) = of(&["--vantage", "vlan10", "--lang", "en"]);
    assert!(code == Some(2) && table.contains("vlan10, corp.example: at-risk"), "{table}");
    assert_eq!(of(&["--vantage", "vlan10", "--allow", "at-risk"]).0, Some(0), "{table}");
    let (code, table) = of(&["--vantage", "vlan20", "--allow", "at-risk", "--lang", "en"]);
    assert!(code == Some(2) && table.contains("vlan20, corp.example: blocked"), "{table}");
    assert!(
        table.contains("the device between 10.77.20.1 and 10.77.254.2 blocks smb (445/tcp, required) to dc1"),
        "{table}"
    );
    // What was accepted is compared, and what is drafted from it is taken.
    assert!(world.controller.ok(&["baseline", "set"]).unwrap().contains("baseline default is sweep 1: "));
    let diff = world.controller.cli(&["diff", "baseline", "latest", "--format", "csv"]).unwrap();
    let changes = String::from_utf8_lossy(&diff.stdout).into_owned();
    assert!(changes.lines().skip(1).all(|line| line.starts_with("untested,")), "{changes}");
    let drafts = world.controller.ok(&["policy", "suggest", "--baseline", "default", "--deny"]).unwrap();
    world.apply(&format!("{}\n{drafts}", sekisho_lab::inventory())).unwrap();
    // The lab has a policy of its own, which is not true to it.
    let gaps = world.controller.cli(&["gaps", "--format", "csv"]).unwrap();
    let gaps = String::from_utf8_lossy(&gaps.stdout).into_owned();
    assert!(gaps.lines().skip(1).all(|line| line.contains(",servers-reach-dcs,")), "{gaps}\n{drafts}");
}
