use std::collections::BTreeSet;

use sekisho::service::{
    Error, HandedIn, Order, OrderTaskKind, Settings, SweepDetail, SweepPhase, SweepRequest,
};
use sekisho_model::{CheckKind, CheckStatus, Fact, Outcome, SweepState};

use crate::fleet::{Controller, LISTED, Probe, SEARCHED, observed, operator, results, settings, wait_for};

/// A computer that is always looked for, beside the two domain controllers and two vantages.
fn with_computer() -> String {
    format!("{LISTED}[[computer]]\nname = \"pc8\"\ndomain = \"corp.example\"\n")
}

fn of_vlan10() -> SweepRequest {
    SweepRequest { vantages: vec!["vlan10".to_owned()], ..SweepRequest::default() }
}

/// The order that holds checks of the vantage.
fn checks(orders: Vec<Order>) -> Order {
    let is_check = |order: &Order| matches!(order.tasks[0].kind, OrderTaskKind::Vantage { .. });
    orders.into_iter().find(is_check).expect("a job of checks")
}

fn kinds(order: &Order) -> Vec<(CheckKind, Option<u32>, Option<String>)> {
    let kind = |kind: &OrderTaskKind| match kind {
        OrderTaskKind::Vantage { check, target, computer, .. } => Some((*check, *target, computer.clone())),
        OrderTaskKind::Check { .. } | OrderTaskKind::Discovery { .. } => None,
    };
    order.tasks.iter().filter_map(|task| kind(&task.kind)).collect()
}

fn counts(sweep: &SweepDetail) -> (i64, i64, i64, i64) {
    let totals = &sweep.summary;
    (totals.planned, totals.checks, totals.observed, totals.missed)
}

#[tokio::test]
async fn the_default_profile_checks_each_vantage_besides_its_flows() {
    let controller = Controller::new(settings()).await;
    controller.apply(&with_computer()).await;
    let (mut ten, mut twenty) = (controller.probe("vlan10").await, controller.probe("vlan20").await);
    let sweep = controller.start(SweepRequest::default()).await;
    assert_eq!((sweep.summary.profile.as_str(), counts(&sweep)), ("domain-join", (92, 16, 0, 0)));
    ten.do_everything().await;
    let order = checks(twenty.work().await.orders);
    let hosts: Vec<&str> = order.targets.iter().map(|target| target.host.as_str()).collect();
    assert_eq!(hosts, ["dc1.corp.example", "dc2.corp.example"], "the checks know every domain controller");
    assert_eq!(
        kinds(&order),
        [
            (CheckKind::Resolver, None, None),
            (CheckKind::SrvRecords, None, None),
            (CheckKind::Clock, Some(0), None),
            (CheckKind::Clock, Some(1), None),
            (CheckKind::PathMtu, Some(0), None),
            (CheckKind::PathMtu, Some(1), None),
            (CheckKind::ComputerAccount, None, Some("PC8".to_owned())),
            (CheckKind::Host, None, None),
        ]
    );
    let mut twenties = results(&order);
    twenties[2].status = Some(CheckStatus::Problem);
    twenties[2].facts.insert("reason".to_owned(), "skew".into());
    twenty.hand_in(twenties).await;
    twenty.held.clear();
    twenty.do_everything().await;

    let sweep = controller.sweep(sweep.summary.id).await;
    assert_eq!((sweep.summary.state, counts(&sweep)), (SweepState::Complete, (92, 16, 92, 0)));
    let matrix = controller.matrix(sweep.summary.id).await;
    assert_eq!((matrix.cells.len(), matrix.checks.len()), (76, 16));
    let first = &matrix.checks[0];
    assert_eq!(
        (first.vantage.as_str(), first.check, first.status),
        ("vlan10", CheckKind::Resolver, CheckStatus::Ok)
    );
    assert_eq!((first.domain.as_str(), &first.target, first.address), ("corp.example", &None, None));
    let clock = matrix.checks.iter().find(|check| check.status == CheckStatus::Problem).unwrap();
    assert_eq!((clock.vantage.as_str(), clock.check), ("vlan20", CheckKind::Clock));
    assert_eq!(clock.target.as_deref(), Some("dc1.corp.example"));
    assert_eq!(clock.address, Some("10.77.1.10".parse().unwrap()));
    assert_eq!(clock.facts["reason"], "skew".into());
    assert!(clock.observed_at.is_some());
    let account = matrix.checks.iter().find(|check| check.check == CheckKind::ComputerAccount).unwrap();
    assert_eq!(account.facts["computer"], "PC8".into());
}

#[tokio::test]
async fn checks_count_once_however_often_they_come() {
    let settings = Settings { tasks_per_job: 3, jobs_per_probe: 64, ..settings() };
    let controller = Controller::new(settings).await;
    controller.apply(&with_computer()).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.start(of_vlan10()).await.summary.id;
    let orders = probe.work().await.orders;
    assert!(orders.iter().all(|order| order.tasks.len() <= 3));
    let all: Vec<HandedIn> = orders.iter().flat_map(results).collect();
    assert_eq!(all.len(), 46);
    let twice: Vec<HandedIn> = all.iter().chain(&all).cloned().collect();
    let ingested = probe.hand_in(twice).await;
    assert_eq!((ingested.new, ingested.repeated, ingested.dropped.len()), (46, 46, 0));
    let ingested = probe.hand_in(all).await;
    assert_eq!((ingested.new, ingested.repeated), (0, 46));
    assert_eq!(controller.count("SELECT count(*) FROM check_result").await, 8);
    assert_eq!(controller.count("SELECT count(*) FROM observation").await, 38);
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.state, counts(&sweep)), (SweepState::Complete, (46, 8, 46, 0)));
    assert!(sweep.jobs.iter().all(|job| job.planned == job.observed + job.missed));
}

#[tokio::test]
async fn a_probe_that_forgot_gets_the_rest_of_its_checks_again() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.start(of_vlan10()).await;
    let order = checks(probe.work().await.orders);
    probe.hand_in(results(&order)[..4].to_vec()).await;
    let mut killed = Probe::connect(&controller, probe.session.probe).await;
    let again = checks(killed.work().await.orders);
    let numbers: Vec<u32> = again.tasks.iter().map(|task| task.number).collect();
    assert_eq!((again.id, again.targets.len(), numbers), (order.id, 2, vec![4, 5, 6]));
}

#[tokio::test]
async fn checks_that_are_missed_make_a_sweep_partial_and_late_ones_complete_it() {
    let controller = Controller::new(settings()).await;
    controller.apply(&with_computer()).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.start(of_vlan10()).await.summary.id;
    let orders = probe.work().await.orders;
    let checks = checks(orders.clone());
    for order in orders.iter().filter(|order| order.id != checks.id) {
        probe.hand_in(results(order)).await;
    }
    probe.hand_in(results(&checks)[..2].to_vec()).await;
    // The probe loses its link, and nobody else serves the vantage.
    let _background = controller.background();
    let sweep = wait_for("the end of the sweep", || async {
        Some(controller.sweep(id).await).filter(|sweep| sweep.phase == SweepPhase::Done)
    })
    .await;
    assert_eq!((sweep.summary.state, counts(&sweep)), (SweepState::Partial, (46, 8, 40, 6)));
    let matrix = controller.matrix(id).await;
    assert!(matrix.cells.iter().all(|cell| cell.outcome == Outcome::Open));
    let missed: Vec<_> = matrix.checks.iter().filter(|check| check.facts.contains_key("missed")).collect();
    assert_eq!((matrix.checks.len(), missed.len()), (8, 6));
    for check in missed {
        assert_eq!((check.status, check.observed_at), (CheckStatus::Unknown, None));
        assert_eq!(check.facts["reason"], "probe-lost".into());
        assert_eq!(check.facts.contains_key("computer"), check.check == CheckKind::ComputerAccount);
    }
    probe.hand_in(results(&checks)).await;
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.state, counts(&sweep)), (SweepState::Complete, (46, 8, 46, 0)));
}

#[tokio::test]
async fn what_is_no_result_of_a_check_is_dropped_and_what_could_not_be_done_is_unknown() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.start(of_vlan10()).await.summary.id;
    let orders = probe.work().await.orders;
    let checks = checks(orders.clone());
    let flows = orders.into_iter().find(|order| order.id != checks.id).unwrap();
    let with =
        |order: &Order, task, outcome, status| HandedIn { status, ..observed(order.id, task, outcome) };
    let mut unsupported = with(&checks, 0, Outcome::Failed, None);
    unsupported.facts = [("reason".to_owned(), Fact::from("unsupported-task"))].into();
    let ingested = probe
        .hand_in(vec![
            unsupported,
            with(&checks, 1, Outcome::Failed, Some(CheckStatus::Ok)),
            with(&checks, 2, Outcome::Open, None),
            with(&checks, 3, Outcome::Filtered, Some(CheckStatus::Ok)),
            with(&checks, 4, Outcome::Missed, Some(CheckStatus::Ok)),
            with(&checks, 7, Outcome::Open, Some(CheckStatus::Ok)),
            with(&flows, 0, Outcome::Open, Some(CheckStatus::Ok)),
            with(&flows, 1, Outcome::Failed, None),
        ])
        .await;
    assert_eq!((ingested.new, ingested.dropped.len()), (3, 5), "{:#?}", ingested.dropped);
    for (dropped, expected) in ingested.dropped.iter().zip([
        "task 2: it is of a check, and has no status",
        "task 3: it is of a check, whose outcome is open or failed, and not filtered",
        "task 4: a probe cannot observe the outcome missed",
        "task 7: the job has 7 tasks",
        "task 0: it has the status ok of a check, and the task is none",
    ]) {
        assert!(dropped.contains(expected), "{expected}: {dropped}");
    }
    let matrix = controller.matrix(id).await;
    assert_eq!(matrix.checks.len(), 2);
    assert!(matrix.checks.iter().all(|check| check.status == CheckStatus::Unknown), "{:?}", matrix.checks);
    assert_eq!(matrix.checks[0].facts["reason"], "unsupported-task".into());
    assert!(matrix.cells.iter().all(|cell| cell.outcome == Outcome::Failed), "{:?}", matrix.cells);
    // A status for a discovery is as strange.
    controller.apply(SEARCHED).await;
    controller.start(of_vlan10()).await;
    let search = probe.work().await.orders.pop().unwrap();
    let ingested = probe.hand_in(vec![with(&search, 0, Outcome::Open, Some(CheckStatus::Ok))]).await;
    assert_eq!((ingested.new, ingested.dropped.len()), (0, 1));
}

#[tokio::test]
async fn a_domain_of_which_no_target_is_found_is_checked_all_the_same() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let mut probe = controller.probe("vlan10").await;
    let id = controller.start(of_vlan10()).await.summary.id;
    let order = probe.work().await.orders.remove(0);
    probe.hand_in(vec![observed(order.id, 0, Outcome::Failed)]).await;
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.phase, counts(&sweep)), (SweepPhase::Checking, (3, 3, 0, 0)));
    let order = checks(probe.work().await.orders);
    let OrderTaskKind::Vantage { dns_servers, domain, .. } = &order.tasks[0].kind else {
        panic!("{order:?}")
    };
    assert_eq!((domain.as_str(), dns_servers.len(), order.targets.len()), ("corp.example", 1, 0));
    probe.hand_in(results(&order)).await;
    let sweep = controller.sweep(id).await;
    assert_eq!((sweep.summary.state, counts(&sweep)), (SweepState::Partial, (3, 3, 3, 0)));
    assert!(sweep.note.unwrap().contains("corp.example: no targets"));
}

#[tokio::test]
async fn computers_and_captures_are_asked_for_with_a_sweep() {
    let controller = Controller::new(settings()).await;
    controller.apply(&with_computer()).await;
    let mut probe = controller.probe("vlan10").await;
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let request = |computers: &[&str], captures: &[&str]| SweepRequest {
        computers: texts(computers),
        captures: texts(captures),
        ..of_vlan10()
    };
    let id =
        controller.start(request(&["srv9", "PC8", "pc8"], &["DC1/smb", "10.77.1.11/ldap"])).await.summary.id;
    let orders = probe.work().await.orders;
    let names: BTreeSet<String> =
        kinds(&checks(orders.clone())).into_iter().filter_map(|(.., name)| name).collect();
    assert_eq!(names, BTreeSet::from(["PC8".to_owned(), "SRV9".to_owned()]), "each once");
    let mut kept = Vec::new();
    for order in &orders {
        for task in &order.tasks {
            if let OrderTaskKind::Check { target, service, capture: true, .. } = &task.kind {
                kept.push(format!("{} {service}", order.targets[*target as usize].host));
            }
        }
    }
    assert_eq!(kept, ["dc1.corp.example smb", "dc2.corp.example ldap"]);
    assert_eq!(controller.sweep(id).await.note, None);
    let audit = "SELECT count(*) FROM audit WHERE detail -> 'computers' ? 'SRV9' AND detail -> 'captures' ? 'dc1/smb'";
    assert_eq!(controller.count(audit).await, 1);
    let nowhere = controller.start(request(&[], &["dc9/smb"])).await;
    assert!(nowhere.note.unwrap().contains("no packets of dc9/smb are kept"));

    let many: Vec<String> = (0..65).map(|n| format!("pc{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (refused, expected) in [
        (request(&["pc8.corp.example"], &[]), "no domain after it"),
        (request(&many, &[]), "65 computers; a sweep has at most 64"),
        (request(&[], &["smb"]), "TARGET/SERVICE"),
        (request(&[], &["dc1/tcp/8443"]), "profile domain-join does not test tcp/8443"),
        (request(&[], &["dc1/smb"; 17]), "17 captures"),
        (
            SweepRequest { profile: Some("ports".to_owned()), ..request(&["pc8"], &[]) },
            "looks for no computer",
        ),
    ] {
        let error = controller.services.start_sweep(&operator(), refused).await.unwrap_err();
        assert!(matches!(&error, Error::Invalid(text) if text.contains(expected)), "{expected}: {error}");
    }
}
