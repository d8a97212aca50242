//! The probe alone, where names do not lead to a domain controller.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use sekisho_lab::{Lab, Options};
use sekisho_model::{Check, CheckStatus, Matrix};
use sekisho_tests::Programs;

/// What came of a check from vlan10 as nobody, and how it ended.
struct Ended {
    matrix: Matrix,
    said: String,
    code: Option<i32>,
}

fn check(lab: &Lab, arguments: &[&str]) -> Ended {
    let programs = Programs::new().unwrap();
    let mut argv = vec![programs.path("sekisho-probe").to_string_lossy().into_owned(), "check".to_owned()];
    argv.extend(["--format", "json"].iter().chain(arguments).map(|argument| (*argument).to_owned()));
    let output = lab.exec_as("nobody", "vlan10", argv).unwrap().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let matrix = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    Ended { matrix, said, code: output.status.code() }
}

fn names(checks: &[Check]) -> Vec<String> {
    checks.iter().map(|check| format!("{} {}", check.domain, check.check)).collect()
}

fn reason<'a>(checks: &'a [Check], name: &str) -> (CheckStatus, String) {
    let check = checks.iter().find(|check: &&'a Check| check.check.to_string() == name).unwrap();
    (check.status, check.facts["reason"].to_string())
}

#[test]
fn a_domain_that_is_not_found_is_checked_all_the_same() {
    let mut lab = Lab::up(&Options::named(format!("t-alone-{}", std::process::id()))).unwrap();
    let domain = ["corp.example resolver", "corp.example srv-records", "corp.example host"];

    // Nobody answers.
    let silent = check(&lab, &["corp.example", "--dns", "10.77.1.99"]);
    assert_eq!(names(&silent.matrix.checks), domain);
    assert_eq!((silent.matrix.cells.len(), silent.code), (0, Some(2)), "{}", silent.said);
    assert!(silent.said.contains("no flow of it is tested"), "{}", silent.said);

    // A liar has an address for every name.
    lab.scene("dns-hijack").unwrap();
    let lied = check(&lab, &["corp.example", "--dns", "10.77.1.10"]);
    assert_eq!(names(&lied.matrix.checks), domain);
    assert_eq!((lied.matrix.cells.len(), lied.code), (0, Some(2)), "{}", lied.said);
    let told = reason(&lied.matrix.checks, "srv-records");
    assert_eq!(told, (CheckStatus::Problem, "resolver-error".to_owned()));
    lab.end_scene("dns-hijack").unwrap();

    // A host is a host, and no domain is made of it.
    let host = check(&lab, &["dc1.corp.example", "--dns", "10.77.1.10", "--service", "smb"]);
    assert_eq!((host.matrix.cells.len(), host.code), (1, Some(0)), "{}", host.said);
}

#[test]
fn an_address_tells_its_domain() {
    let lab = Lab::up(&Options::named(format!("t-served-{}", std::process::id()))).unwrap();
    let told = check(&lab, &["10.77.1.10", "10.77.1.20", "--check", "srv-records", "--check", "clock"]);
    // 10.77.1.20 is no domain controller, so it has no domain.
    let expected = [" clock", "corp.example srv-records", "corp.example clock"];
    let mut found = names(&told.matrix.checks);
    found.sort();
    let mut sorted = expected.map(str::to_owned);
    sorted.sort();
    assert_eq!(found, sorted, "{}", told.said);
    let other = check(&lab, &["10.77.1.10", "--domain", "other.example", "--check", "srv-records"]);
    assert_eq!(names(&other.matrix.checks), ["other.example srv-records"]);
}
