use sekisho::service::{Error, SweepChangeRequest, SweepRef};
use sekisho_domain::change_request::Reason;
use sekisho_model::Outcome;

use crate::comparison::{Blocked, fleet, sweep};

#[tokio::test]
async fn a_sweep_asks_for_what_closes_its_gaps_and_says_what_it_leaves_out() {
    let (controller, mut ten, mut twenty) = fleet().await;
    controller.run().await;
    sweep(&mut ten, &[("dc1", "smb", Outcome::Rejected, &[])]).await;
    let hops = [("last-hop", "10.77.20.1"), ("next-hop", "10.77.254.2")];
    let blocked: [Blocked<'_>; 7] = [
        ("dc1", "ldap", Outcome::Rejected, &[]),
        ("dc1", "ldaps", Outcome::Rejected, &[]),
        ("dc2", "ldap", Outcome::Rejected, &[]),
        ("dc2", "ldaps", Outcome::Rejected, &[]),
        ("dc1", "cldap", Outcome::Filtered, &hops),
        ("dc2", "kerberos-tcp", Outcome::Unreachable, &[]),
        ("dc2", "icmp", Outcome::Failed, &[]),
    ];
    sweep(&mut twenty, &blocked).await;

    let found = controller.services.change_request(SweepRef::Latest(0)).await.unwrap();
    let told: Vec<_> =
        found.request.rules.iter().map(|rule| (rule.place.to_string(), rule.flows.len())).collect();
    let between = "between 10.77.20.1 and 10.77.254.2".to_owned();
    assert_eq!(told, [(between, 1), ("at 10.77.20.1".to_owned(), 4)]);
    let rule = &found.request.rules[1];
    assert_eq!((rule.sources.len(), rule.destinations.len(), rule.services.len()), (1, 2, 2));
    assert_eq!(rule.policies, ["all-reach-dcs"]);
    assert!(rule.since.is_some() && rule.flows.iter().all(|gap| gap.since.is_some()));
    let left = |reason| found.request.left_out.iter().filter(|flow| flow.reason == reason).count();
    // vlan10 has no subnet; policy denies gc and gc-ssl from vlan20, and both are open to two targets.
    assert_eq!((left(Reason::NoSubnet), left(Reason::Exposure), found.request.untested), (1, 4, 1));
    let gaps = controller.services.gaps(SweepRef::Latest(0)).await.unwrap().gaps;
    assert_eq!(found.request.flows() + found.request.left_out.len(), gaps.gaps.len());

    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["rules"][1]["by"], "10.77.20.1");
    assert_eq!(json["rules"][1]["services"][0]["first_port"], 389);
    assert_eq!(json["left_out"][0]["vantage"], "vlan10");
    assert_eq!(serde_json::from_value::<SweepChangeRequest>(json).unwrap(), found);
    let none = controller.services.change_request(SweepRef::Id(99)).await;
    assert!(matches!(none, Err(Error::NotFound(_))), "{none:?}");
}
