use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sekisho_model::{Cell, Check, CheckKind, CheckStatus, Need, Outcome, Service};

use super::{
    Certainty, Finding, Language, Place, Readiness, Seen, Severity, Verdict, readiness, text::texts,
};
use crate::{policy::Domains, sample};

/// What a test sees; everything is well unless it says otherwise.
#[derive(Debug, Clone)]
struct Scene {
    cells: Vec<Cell>,
    checks: Vec<Check>,
    is_running: bool,
}

fn needed() -> Vec<Service> {
    Service::catalogue().filter(|service| service.need() != Need::Optional).collect()
}

fn check(kind: CheckKind, target: Option<&str>, status: CheckStatus) -> Check {
    Check {
        vantage: "vlan20".into(),
        domain: "corp.example".into(),
        target: target.map(str::to_owned),
        address: None,
        check: kind,
        status,
        facts: Default::default(),
        observed_at: Some("2026-11-20T02:00:00Z".parse().unwrap()),
    }
}

/// Everything that the profile `domain-join` does, of two domain controllers, and all of it well.
fn well() -> Scene {
    let mut scene = Scene { cells: Vec::new(), checks: Vec::new(), is_running: false };
    for target in ["dc1", "dc2"] {
        for service in needed() {
            scene
                .cells
                .push(sample::cell(&format!("vlan20 {target} {service} open at=2026-11-20T02:00:01Z")));
        }
        for kind in [CheckKind::Clock, CheckKind::PathMtu] {
            scene.checks.push(check(kind, Some(target), CheckStatus::Ok));
        }
    }
    for kind in [CheckKind::Resolver, CheckKind::SrvRecords, CheckKind::ComputerAccount, CheckKind::Host] {
        scene.checks.push(check(kind, None, CheckStatus::Ok));
    }
    scene
}

fn domains() -> Domains {
    let of = |name: &str, address: &str| {
        ((name.to_owned(), address.parse().unwrap()), BTreeSet::from(["corp.example".to_owned()]))
    };
    Domains::from([of("dc1", "10.77.1.10"), of("dc2", "10.77.1.11")])
}

impl Scene {
    /// What comes of a flow: `dc1 smb filtered last-hop=...`.
    fn with(mut self, line: &str) -> Self {
        let cell = sample::cell(&format!("vlan20 {line}"));
        let is_same = |other: &Cell| (&other.target, other.service) == (&cell.target, cell.service);
        self.cells.retain(|other| !is_same(other));
        self.cells.push(cell);
        self
    }

    fn without(mut self, target: &str, service: &str) -> Self {
        self.cells.retain(|cell| cell.target != target || cell.service.name() != service);
        self
    }

    /// How checks end.
    fn checked(mut self, kind: CheckKind, target: Option<&str>, status: CheckStatus, reason: &str) -> Self {
        self.checks.retain(|check| check.check != kind || check.target.as_deref() != target);
        let mut done = check(kind, target, status);
        if !reason.is_empty() {
            done.facts.insert("reason".to_owned(), reason.into());
        }
        self.checks.push(done);
        self
    }

    fn unchecked(mut self, kind: CheckKind) -> Self {
        self.checks.retain(|check| check.check != kind);
        self
    }

    fn judged(&self) -> Readiness {
        self.judged_in(Language::En)
    }

    fn judged_in(&self, language: Language) -> Readiness {
        let domains = domains();
        let seen =
            Seen { cells: &self.cells, checks: &self.checks, domains: &domains, is_running: self.is_running };
        let place: Place = ("vlan20".to_owned(), "corp.example".to_owned());
        readiness(&seen, &[place], language).remove(0)
    }

    /// The same service of both domain controllers.
    fn both(self, rest: &str) -> Self {
        self.with(&format!("dc1 {rest}")).with(&format!("dc2 {rest}"))
    }

    #[track_caller]
    fn is(&self, verdict: Verdict, slugs: &[(&str, Severity)]) {
        let judged = self.judged();
        let told: BTreeSet<(&str, Severity)> =
            judged.findings.iter().map(|finding| (finding.slug.as_str(), finding.severity)).collect();
        let usual = ("join-rights-not-checked", Severity::Info);
        let mut expected: BTreeSet<(&str, Severity)> = slugs.iter().copied().collect();
        if !self.checks.iter().any(|check| check.check == CheckKind::JoinRights) {
            expected.insert(usual);
        }
        assert_eq!((judged.verdict, told), (verdict, expected), "{judged:#?}");
    }
}

use CheckStatus::{Ok as Fine, Problem, Unknown as Unclear, Warning as Doubtful};
use Severity::{Blocker, Info, Warning};

#[test]
fn row_1_a_required_service() {
    let blocked = "smb filtered";
    well().with(&format!("dc1 {blocked}")).is(Verdict::AtRisk, &[("cause-unknown", Warning)]);
    well().both(blocked).is(Verdict::Blocked, &[("cause-unknown", Blocker)]);
    for untested in ["dc1 smb missed", "dc1 smb failed"] {
        well().with(untested).is(Verdict::Unknown, &[("not-tested", Warning)]);
    }
    well().without("dc1", "rpc-netlogon").is(Verdict::Unknown, &[("not-tested", Warning)]);
}

#[test]
fn row_2_a_recommended_service() {
    well().with("dc1 gc closed").is(Verdict::AtRisk, &[("cause-unknown", Warning)]);
    well().both("gc closed").is(Verdict::AtRisk, &[("cause-unknown", Warning)]);
    well().without("dc2", "ntp").is(Verdict::Unknown, &[("not-tested", Warning)]);
    well().with("dc1 adws filtered").is(Verdict::Ready, &[]);
}

#[test]
fn rows_3_and_4_clock_and_path_of_a_domain_controller() {
    for (kind, slug) in
        [(CheckKind::Clock, "clock-clock-offset"), (CheckKind::PathMtu, "path-mtu-tcp-black-hole")]
    {
        let reason = slug.trim_start_matches(kind.word()).trim_start_matches('-');
        let with = |dc1, dc2| {
            let at = |scene: Scene, target, status| {
                let reason = if status == Fine { "" } else { reason };
                scene.checked(kind, Some(target), status, reason)
            };
            at(at(well(), "dc1", dc1), "dc2", dc2)
        };
        with(Fine, Fine).is(Verdict::Ready, &[]);
        with(Doubtful, Fine).is(Verdict::AtRisk, &[(slug, Warning)]);
        with(Problem, Fine).is(Verdict::AtRisk, &[(slug, Warning)]);
        with(Problem, Problem).is(Verdict::Blocked, &[(slug, Blocker)]);
        with(Unclear, Fine).is(Verdict::Unknown, &[("check-unknown", Warning)]);
        well().unchecked(kind).is(Verdict::Unknown, &[("check-missing", Warning)]);
    }
}

#[test]
fn row_5_every_domain_controller_is_ready() {
    well().is(Verdict::Ready, &[]);
}

#[test]
fn row_6_every_domain_controller_is_blocked_in_whichever_way() {
    let scene = well().with("dc1 smb filtered").with("dc2 rpc-drs mute");
    scene.is(Verdict::Blocked, &[("cause-unknown", Blocker)]);
    // What is unknown of one that is of no use changes nothing, and is not told.
    scene.without("dc1", "ldap").is(Verdict::Blocked, &[("cause-unknown", Blocker)]);
}

#[test]
fn row_7_one_domain_controller_of_two_is_enough_to_try() {
    well().with("dc2 smb filtered").is(Verdict::AtRisk, &[("cause-unknown", Warning)]);
    let unknown = well().with("dc1 smb filtered").without("dc2", "smb");
    unknown.is(Verdict::Unknown, &[("cause-unknown", Warning), ("not-tested", Warning)]);
}

#[test]
fn row_8_no_domain_controller_is_known() {
    let mut scene = well();
    scene.cells.clear();
    scene.is(Verdict::Unknown, &[("no-target", Warning)]);
    let blocked = scene.checked(CheckKind::SrvRecords, None, Problem, "missing-records");
    blocked.is(Verdict::Blocked, &[("no-target", Warning), ("srv-records-missing-records", Blocker)]);
}

#[test]
fn row_9_a_read_only_domain_controller_serves_no_join() {
    let read_only = |scene: Scene, target| {
        let mut scene = scene.with(&format!("{target} cldap open"));
        let facts = &mut scene.cells.last_mut().unwrap().facts;
        facts.insert("writable".to_owned(), sekisho_model::Fact::Flag(false));
        scene
    };
    let one = read_only(well(), "dc2");
    one.is(Verdict::Ready, &[("read-only", Info)]);
    // Neither what is blocked of it nor what is open counts.
    one.clone().with("dc2 smb filtered").is(Verdict::Ready, &[("read-only", Info)]);
    let blocked = one.with("dc1 smb filtered");
    blocked.is(Verdict::Blocked, &[("cause-unknown", Blocker), ("read-only", Info)]);
    assert_eq!(codes(&blocked), [(53, Certainty::Likely)]);
    let both = read_only(read_only(well(), "dc1"), "dc2");
    both.is(Verdict::Blocked, &[("read-only", Blocker)]);
    assert_eq!(codes(&both), [(1_355, Certainty::Likely)]);
    let running = Scene { is_running: true, ..both };
    running.is(Verdict::Unknown, &[("read-only", Warning), ("sweep-running", Warning)]);
}

#[test]
fn rows_10_and_11_resolver_and_records() {
    for (kind, reason) in
        [(CheckKind::Resolver, "domain-unknown"), (CheckKind::SrvRecords, "missing-records")]
    {
        let own = format!("{kind}-{reason}");
        well().checked(kind, None, Doubtful, reason).is(Verdict::AtRisk, &[(&own, Warning)]);
        well().checked(kind, None, Doubtful, "new-word").is(Verdict::AtRisk, &[("check-warning", Warning)]);
        well().checked(kind, None, Problem, reason).is(Verdict::Blocked, &[(&own, Blocker)]);
        well().checked(kind, None, Problem, "new-word").is(Verdict::Blocked, &[("check-problem", Blocker)]);
        well().checked(kind, None, Unclear, reason).is(Verdict::Unknown, &[("check-unknown", Warning)]);
        well().unchecked(kind).is(Verdict::Unknown, &[("check-missing", Warning)]);
    }
}

#[test]
fn row_12_a_computer_account_concerns_one_computer() {
    let kind = CheckKind::ComputerAccount;
    let (exists, of_a_dc) = ("computer-account-account-exists", "computer-account-account-of-a-dc");
    well().checked(kind, None, Doubtful, "account-exists").is(Verdict::AtRisk, &[(exists, Warning)]);
    well().checked(kind, None, Problem, "account-of-a-dc").is(Verdict::AtRisk, &[(of_a_dc, Warning)]);
    well().checked(kind, None, Unclear, "not-proven").is(Verdict::Unknown, &[("check-unknown", Warning)]);
    well().unchecked(kind).is(Verdict::Ready, &[]);
}

#[test]
fn row_13_rights_to_join() {
    let kind = CheckKind::JoinRights;
    well().checked(kind, None, Fine, "").is(Verdict::Ready, &[]);
    well().checked(kind, None, Doubtful, "quota-path").is(Verdict::AtRisk, &[("check-warning", Warning)]);
    well().checked(kind, None, Problem, "quota-exceeded").is(Verdict::Blocked, &[("check-problem", Blocker)]);
    well().checked(kind, None, Unclear, "bind-refused").is(Verdict::Unknown, &[("check-unknown", Warning)]);
}

#[test]
fn row_14_the_probes_own_machine() {
    let kind = CheckKind::Host;
    well().checked(kind, None, Doubtful, "small-mtu").is(Verdict::Ready, &[("host-small-mtu", Info)]);
    well().checked(kind, None, Problem, "no-resolver").is(Verdict::AtRisk, &[("check-problem", Warning)]);
    well().checked(kind, None, Unclear, "no-interface").is(Verdict::Ready, &[("check-unknown", Info)]);
    well().unchecked(kind).is(Verdict::Ready, &[]);
}

#[test]
fn a_running_sweep_makes_nothing_ready_and_blocks_what_is_blocked_at_best() {
    let running = |scene: Scene| Scene { is_running: true, ..scene };
    running(well()).is(Verdict::Unknown, &[("sweep-running", Warning)]);
    let dns = running(well()).checked(CheckKind::Resolver, None, Problem, "no-resolver-answers");
    dns.is(Verdict::Blocked, &[("sweep-running", Warning), ("resolver-no-resolver-answers", Blocker)]);
    let flows = running(well()).both("smb filtered");
    flows.is(Verdict::Unknown, &[("sweep-running", Warning), ("cause-unknown", Warning)]);
}

#[test]
fn what_a_sweep_has_nothing_of_is_unknown() {
    let nothing = Scene { cells: Vec::new(), checks: Vec::new(), is_running: false };
    let judged = nothing.judged();
    assert_eq!((judged.verdict, judged.checked_at), (Verdict::Unknown, None));
    assert_eq!(judged.findings[0].slug, "not-in-sweep");
    assert!(judged.findings[0].action.contains("--vantage vlan20 --domain corp.example"), "{judged:?}");
}

fn codes(scene: &Scene) -> Vec<(i64, Certainty)> {
    scene.judged().errors.iter().map(|error| (error.code, error.certainty)).collect()
}

#[test]
fn a_join_ends_with_the_error_of_the_first_thing_that_fails() {
    use Certainty::{Documented, Likely};
    for (scene, expected) in [
        (well(), vec![]),
        (well().both("cldap filtered").both("smb filtered"), vec![(1_355, Documented)]),
        (well().both("smb filtered").both("ldap filtered"), vec![(53, Likely)]),
        (well().both("kerberos-tcp filtered"), vec![(64, Documented)]),
        (well().both("ldap filtered"), vec![(58, Documented)]),
        (well().both("ldap closed"), vec![(58, Likely)]),
        (well().both("rpc-epm filtered").both("rpc-drs filtered"), vec![(1_722, Documented)]),
        (well().both("rpc-drs filtered"), vec![(1_753, Documented)]),
        (well().both("rpc-netlogon filtered"), vec![(1_789, Likely)]),
        // One domain controller after the other.
        (
            well().with("dc1 rpc-epm filtered").with("dc2 ldap filtered"),
            vec![(58, Documented), (1_722, Documented)],
        ),
        (well().with("dc1 ldap filtered").with("dc2 ldap rejected"), vec![(58, Documented)]),
        // The locator takes the other one.
        (well().with("dc1 cldap filtered"), vec![]),
        (well().with("dc1 cldap filtered").with("dc2 smb filtered"), vec![(53, Likely)]),
        // Nothing is known of what Windows makes of these.
        (well().both("smb mute"), vec![]),
        (well().both("rpc-samr filtered").both("gc filtered").both("dns-tcp filtered"), vec![]),
        // Without names nothing else comes to pass.
        (
            well().checked(CheckKind::Resolver, None, Problem, "domain-unknown").both("smb filtered"),
            vec![(1_355, Documented)],
        ),
        (
            well().checked(CheckKind::SrvRecords, None, Problem, "no-target-with-address"),
            vec![(2_699, Documented)],
        ),
        (
            well().checked(CheckKind::SrvRecords, None, Doubtful, "stale-targets").both("ldap filtered"),
            vec![(1_396, Documented), (58, Documented)],
        ),
        (well().checked(CheckKind::SrvRecords, None, Doubtful, "missing-records"), vec![]),
        (well().checked(CheckKind::Clock, Some("dc1"), Problem, "clock-offset"), vec![]),
    ] {
        assert_eq!(codes(&scene), expected, "{:?}", scene.judged().findings);
    }
    let mut rights = well().checked(CheckKind::JoinRights, None, Problem, "logon-failure");
    let facts = &mut rights.checks.last_mut().unwrap().facts;
    facts.insert("windows-error".into(), 1_326.into());
    facts.insert("windows-error-name".into(), "ERROR_LOGON_FAILURE".into());
    assert_eq!(rights.judged().errors[0].name, "ERROR_LOGON_FAILURE");
}

#[test]
fn a_finding_names_cause_place_and_evidence() {
    let mut scene = well().with("dc1 smb rejected by=10.77.20.1 at=2026-11-20T02:00:09Z reason=prohibited");
    scene.cells.last_mut().unwrap().subnet = Some("10.77.20.0/24".parse().unwrap());
    let judged = scene.judged();
    let finding: &Finding = &judged.findings[0];
    assert_eq!((finding.slug.as_str(), finding.target.as_deref()), ("path-filter", Some("dc1")));
    assert_eq!(finding.title, "the device 10.77.20.1 blocks smb (445/tcp, required) to dc1");
    assert!(
        finding.action.contains("permit 445/tcp from vlan20 (10.77.20.0/24) to dc1 (10.77.1.10)"),
        "{finding:?}"
    );
    let flow = &finding.evidence.flows[0];
    assert_eq!((flow.outcome, flow.by), (Some(Outcome::Rejected), Some("10.77.20.1".parse().unwrap())));
    assert!(flow.control.is_some() && flow.facts.contains_key("reason"));
    assert_eq!(judged.checked_at, Some("2026-11-20T02:00:09Z".parse().unwrap()));
    let ja = scene.judged_in(Language::Ja);
    assert_eq!(ja.findings[0].title, "10.77.20.1 の機器が dc1 への smb（445/tcp、必須）を遮断しています");

    let json = serde_json::to_value(&judged).unwrap();
    for field in ["vantage", "domain", "verdict", "errors", "findings", "checked_at"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    for field in ["slug", "severity", "target", "service", "title", "action", "evidence"] {
        assert!(json["findings"][0].get(field).is_some(), "{field}");
    }
    assert_eq!((&json["verdict"], &json["findings"][0]["severity"]), (&"at-risk".into(), &"warning".into()));
    assert_eq!(serde_json::from_value::<Readiness>(json).unwrap(), judged);
}

#[test]
fn a_word_of_a_stranger_is_not_taken_for_a_place() {
    let scene = well().checked(CheckKind::Resolver, None, Problem, "{vantage} {x");
    assert!(scene.judged().findings[0].title.ends_with("{vantage} {x"));
}

/// The words in braces.
fn places(text: &str) -> BTreeSet<&str> {
    text.split('{').skip(1).map(|rest| rest.split_once('}').unwrap().0).collect()
}

#[test]
fn every_text_is_whole_in_both_languages() {
    const PLACES: [&str; 13] = [
        "vantage", "source", "domain", "target", "address", "service", "port", "need", "device", "services",
        "check", "reason", "computer",
    ];
    let mut slugs = BTreeMap::new();
    for text in texts() {
        assert!(slugs.insert(text.slug, ()).is_none(), "{} stands twice", text.slug);
        for (title, action) in [text.en, text.ja] {
            assert!(!title.is_empty() && !action.is_empty(), "{}", text.slug);
            assert!(
                places(title).union(&places(action)).all(|place| PLACES.contains(place)),
                "{}",
                text.slug
            );
        }
        assert_eq!(places(text.en.0), places(text.ja.0), "{}: the titles say the same", text.slug);
        assert!(!text.ja.0.is_ascii() && !text.ja.1.is_ascii(), "{}", text.slug);
        assert!(text.en.0.is_ascii() && text.en.1.is_ascii(), "{}", text.slug);
    }
    for cause in crate::attribution::Cause::ALL {
        let slug = if cause == crate::attribution::Cause::Unknown { "cause-unknown" } else { cause.word() };
        assert!(slugs.contains_key(slug), "{slug}");
    }
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Open), 2 => proptest::sample::select(&Outcome::ALL[..])]
}

fn any_status() -> impl Strategy<Value = CheckStatus> {
    prop_oneof![4 => Just(Fine), 2 => proptest::sample::select(CheckStatus::ALL)]
}

/// Outcomes and statuses of the scene in which all is well, in its order; `None` is left out.
fn any_scene() -> impl Strategy<Value = Scene> {
    let template = well();
    let (cells, checks) = (template.cells.len(), template.checks.len());
    let outcomes = proptest::collection::vec(proptest::option::weighted(0.97, any_outcome()), cells);
    let statuses = proptest::collection::vec(proptest::option::weighted(0.95, any_status()), checks);
    (outcomes, statuses, proptest::bool::weighted(0.1)).prop_map(move |(outcomes, statuses, is_running)| {
        let mut scene = Scene { is_running, ..template.clone() };
        for (cell, outcome) in scene.cells.iter_mut().zip(&outcomes) {
            cell.outcome = outcome.unwrap_or(Outcome::Missed);
        }
        for (check, status) in scene.checks.iter_mut().zip(&statuses) {
            check.status = status.unwrap_or(CheckStatus::Unknown);
        }
        let mut kept = outcomes.iter();
        scene.cells.retain(|_| kept.next().is_some_and(Option::is_some));
        let mut kept = statuses.iter();
        scene.checks.retain(|_| kept.next().is_some_and(Option::is_some));
        scene
    })
}

proptest! {
    /// Whatever comes of what was not tested: a verdict stays what it is.
    #[test]
    fn what_is_found_out_later_contradicts_no_verdict(
        scene in any_scene(),
        outcomes in proptest::collection::vec(proptest::sample::select(&Outcome::ALL[..7]), 40),
        statuses in proptest::collection::vec(proptest::sample::select(&CheckStatus::ALL[..3]), 12),
    ) {
        let before = scene.judged().verdict;
        let mut later = well();
        for (cell, outcome) in later.cells.iter_mut().zip(outcomes) {
            let known = scene.cells.iter().find(|c| (&c.target, c.service) == (&cell.target, cell.service));
            let known = known.map(|c| c.outcome).filter(|o| *o == Outcome::Open || o.is_blocked());
            cell.outcome = known.unwrap_or(outcome);
        }
        for (check, status) in later.checks.iter_mut().zip(statuses) {
            let known = scene.checks.iter().find(|c| (c.check, &c.target) == (check.check, &check.target));
            // An account that was not asked for, and the host, are no part of the verdict where they are not there.
            let known = known.map(|c| c.status).or_else(|| {
                matches!(check.check, CheckKind::ComputerAccount | CheckKind::Host).then_some(Fine)
            });
            let is_host = check.check == CheckKind::Host;
            check.status = known.filter(|s| *s != Unclear || is_host).unwrap_or(status);
        }
        let after = later.judged().verdict;
        prop_assert!(after != Verdict::Unknown);
        prop_assert!(before == Verdict::Unknown || before == after, "{before} became {after}");
    }

    #[test]
    fn a_verdict_has_its_evidence(scene in any_scene()) {
        let judged = scene.judged();
        let gravest = judged.findings.iter().map(|finding| finding.severity).min();
        match judged.verdict {
            Verdict::Ready => prop_assert!(gravest.is_none_or(|severity| severity == Info)),
            Verdict::AtRisk => prop_assert_eq!(gravest, Some(Warning)),
            Verdict::Blocked => prop_assert_eq!(gravest, Some(Blocker)),
            Verdict::Unknown => prop_assert_eq!(gravest, Some(Warning)),
        }
        for finding in &judged.findings {
            let evidence = &finding.evidence;
            let general = ["no-target", "sweep-running", "not-in-sweep"].contains(&finding.slug.as_str());
            prop_assert!(general || !evidence.flows.is_empty() || !evidence.checks.is_empty(), "{finding:?}");
            prop_assert!(!finding.title.contains('{') && !finding.title.is_empty(), "{finding:?}");
        }
        // Ready needs every required flow open on every domain controller, whatever else.
        if judged.verdict == Verdict::Ready {
            let open = scene.cells.iter().filter(|cell| cell.outcome == Outcome::Open).count();
            prop_assert_eq!(open, 2 * needed().len());
        }
    }

    #[test]
    fn the_order_of_what_was_seen_does_not_matter(scene in any_scene()) {
        let mut turned = scene.clone();
        turned.cells.reverse();
        // Of several open flows that prove the same cause any may be shown.
        let told = |judged: Readiness| {
            let finding = |f: &Finding| (f.slug.clone(), f.severity, f.target.clone(), f.service, f.title.clone());
            (judged.verdict, judged.errors, judged.findings.iter().map(finding).collect::<Vec<_>>())
        };
        prop_assert_eq!(told(turned.judged()), told(scene.judged()));
    }
}
