use sekisho::service::{BaselineRequest, Error, SweepRef};
use sekisho_domain::gaps::GapKind;
use sekisho_model::Outcome;

use crate::{
    comparison::{fleet, sweep},
    fleet::{LISTED, operator},
};

#[tokio::test]
async fn a_suggestion_is_taken_by_the_inventory_and_true_to_its_sweep() {
    let (controller, mut ten, mut twenty) = fleet().await;
    let services = &controller.services;
    controller.run().await;
    sweep(&mut ten, &[]).await;
    let blocked = [
        ("dc1", "smb", Outcome::Filtered, &[][..]),
        ("dc2", "smb", Outcome::Rejected, &[]),
        ("dc1", "gc", Outcome::Failed, &[]),
    ];
    sweep(&mut twenty, &blocked).await;
    services.set_baseline(&operator(), &BaselineRequest::default()).await.unwrap();

    let latest = "latest".parse().unwrap();
    let found = services.suggest_policies(&latest, true).await.unwrap();
    assert_eq!((found.sweep.id, found.suggestion.not_known, found.suggestion.left_out), (1, 1, 0));
    assert!(
        found.toml.starts_with("# Suggested from sweep 1 (complete, profile ports, started 2"),
        "{}",
        found.toml
    );
    assert!(found.toml.contains("profile = \"ports\""), "{}", found.toml);
    let of_baseline = services.suggest_policies(&"baseline".parse().unwrap(), true).await.unwrap();
    assert_eq!(of_baseline.suggestion, found.suggestion);
    assert!(of_baseline.toml.starts_with("# Suggested from baseline default, which is sweep 1"));
    let allow_only = services.suggest_policies(&latest, false).await.unwrap();
    assert!(allow_only.suggestion.policies.len() < found.suggestion.policies.len());
    let missing = services.suggest_policies(&"baseline:x".parse().unwrap(), false).await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");

    // Put to the inventory as it is, and as its only policies.
    let appended = format!("{LISTED}{}\n{}", crate::comparison::POLICIES, found.toml);
    let changes = services.apply_inventory(&operator(), "inventory.toml", &appended, true).await.unwrap();
    assert_eq!(changes.changes.len(), found.suggestion.policies.len(), "{:?}", changes.lines);
    controller.apply(&format!("{LISTED}{}", found.toml)).await;
    let gaps = services.gaps(SweepRef::Latest(0)).await.unwrap().gaps;
    assert_eq!((gaps.gaps.len(), gaps.untested, gaps.unspoken), (0, 0, 1));
    assert!(gaps.policies.iter().all(|policy| policy.idle.is_none()), "{:?}", gaps.policies);

    // They notice what changes.
    controller.run().await;
    sweep(&mut ten, &[("dc1", "ldap", Outcome::Filtered, &[])]).await;
    sweep(&mut twenty, &[]).await;
    let gaps = services.gaps(SweepRef::Latest(0)).await.unwrap().gaps;
    let told: Vec<_> =
        gaps.gaps.iter().map(|gap| (gap.kind, gap.vantage.as_str(), gap.service.name())).collect();
    assert_eq!(
        told,
        [
            (GapKind::Gap, "vlan10", "ldap".to_owned()),
            (GapKind::Exposure, "vlan20", "smb".to_owned()),
            (GapKind::Exposure, "vlan20", "smb".to_owned()),
        ]
    );
}
