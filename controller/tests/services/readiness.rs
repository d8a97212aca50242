use sekisho::service::{Error, ReadinessRequest, SweepReadiness, SweepRef, SweepRequest};
use sekisho_domain::readiness::{Certainty, Language, Verdict};
use sekisho_model::Outcome;

use crate::{
    comparison::{fleet, sweep},
    fleet::Controller,
};

fn of(sweep: SweepRef) -> ReadinessRequest {
    ReadinessRequest { sweep, vantage: None, domain: None, language: Language::En }
}

async fn ask(controller: &Controller, request: ReadinessRequest) -> SweepReadiness {
    controller.services.readiness(&request).await.unwrap()
}

fn verdicts(found: &SweepReadiness) -> Vec<(&str, Verdict)> {
    found.readiness.iter().map(|one| (one.vantage.as_str(), one.verdict)).collect()
}

#[tokio::test]
async fn verdicts_follow_what_a_sweep_found() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.start(SweepRequest::default()).await;
    let running = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&running), [("vlan10", Verdict::Unknown), ("vlan20", Verdict::Unknown)]);
    sweep(&mut ten, &[]).await;
    let half = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&half)[0], ("vlan10", Verdict::Unknown), "the sweep runs");
    sweep(&mut twenty, &[("dc1", "ldap", Outcome::Filtered, &[])]).await;
    let found = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&found), [("vlan10", Verdict::Ready), ("vlan20", Verdict::AtRisk)]);
    let risk = &found.readiness[1];
    assert_eq!((risk.errors[0].code, risk.errors[0].certainty), (58, Certainty::Documented));
    assert_eq!((risk.domain.as_str(), risk.findings[0].slug.as_str()), ("corp.example", "path-filter"));
    assert_eq!(risk.findings[0].target.as_deref(), Some("dc1.corp.example"));
    assert!(risk.findings[0].action.contains("389/tcp from vlan20 (10.77.20.0/24)"), "{risk:?}");
    assert!(risk.checked_at.is_some());
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(serde_json::from_value::<SweepReadiness>(json).unwrap(), found);

    controller.start(SweepRequest::default()).await;
    sweep(&mut ten, &[]).await;
    let smb = ["dc1", "dc2"].map(|target| (target, "smb", Outcome::Filtered, &[][..]));
    sweep(&mut twenty, &smb).await;
    let blocked = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&blocked), [("vlan10", Verdict::Ready), ("vlan20", Verdict::Blocked)]);
    let before = ask(&controller, of(SweepRef::Latest(1))).await;
    assert_eq!(before, found, "an old sweep says what it said");
}

#[tokio::test]
async fn what_was_not_swept_is_unknown_and_what_is_not_there_an_error() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    sweep(&mut twenty, &[]).await;
    let ports = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&ports), [("vlan10", Verdict::Unknown), ("vlan20", Verdict::Unknown)]);
    let slugs: Vec<&str> = ports.readiness[0].findings.iter().map(|finding| finding.slug.as_str()).collect();
    assert!(slugs.contains(&"not-tested") && slugs.contains(&"check-missing"), "{slugs:?}");

    let vantages = vec!["vlan10".to_owned()];
    controller.start(SweepRequest { vantages, ..SweepRequest::default() }).await;
    sweep(&mut ten, &[]).await;
    let narrow = ask(&controller, of(SweepRef::Latest(0))).await;
    assert_eq!(verdicts(&narrow), [("vlan10", Verdict::Ready)]);
    let named = |vantage: &str, domain: &str| ReadinessRequest {
        vantage: Some(vantage.to_owned()),
        domain: Some(domain.to_owned()),
        language: Language::Ja,
        ..of(SweepRef::Latest(0))
    };
    let other = ask(&controller, named("vlan20", "CORP.example.")).await;
    assert_eq!(verdicts(&other), [("vlan20", Verdict::Unknown)]);
    assert_eq!(other.readiness[0].findings[0].slug, "not-in-sweep");
    assert!(other.readiness[0].findings[0].title.contains("結果がありません"));
    for (request, known) in [
        (named("vlan99", "corp.example"), "vlan10, vlan20"),
        (named("vlan20", "other.example"), "corp.example"),
        (of(SweepRef::Id(99)), "no sweep 99"),
    ] {
        let error = controller.services.readiness(&request).await.unwrap_err();
        assert!(matches!(&error, Error::NotFound(text) if text.contains(known)), "{error}");
    }
}
