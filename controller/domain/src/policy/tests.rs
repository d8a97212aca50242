use proptest::prelude::*;

use super::*;
use crate::sample::cells;

const NETWORK: &str = r#"
[[domain]]
name = "corp.example"
[[domain]]
name = "lab.example"
[[vantage]]
name = "vlan10"
subnet = "10.77.10.0/24"
vlan = 10
site = "tokyo"
labels = { role = "client" }
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
vlan = 20
site = "tokyo"
labels = { role = "server", tier = "0" }
[[vantage]]
name = "osaka"
subnet = "10.88.0.0/24"
site = "osaka"
"#;

const SWEEP: &str = "
    vlan10 dc1 smb open
    vlan10 dc1 ldap open
    vlan20 dc1 smb open
    vlan20 dc1 ldap open
    vlan20 dc2 smb open
    osaka dc2 smb open
    old dc1 smb open";

fn inventory(policies: &str) -> Inventory {
    Inventory::parse("test", &format!("{NETWORK}{policies}")).unwrap()
}

fn domains() -> Domains {
    let of = |host: &str, address: &str, domain: &str| {
        ((host.to_owned(), address.parse().unwrap()), BTreeSet::from([domain.to_owned()]))
    };
    Domains::from([of("dc1", "10.77.1.10", "corp.example"), of("dc2", "10.77.1.11", "lab.example")])
}

/// The flows that policies decide, as `policy: vantage target service`.
fn decided(policies: &str) -> Vec<String> {
    let (inventory, domains, cells) = (inventory(policies), domains(), cells(SWEEP));
    let policies = Policies::new(&inventory, &domains);
    let (decided, _) = policies.judge(&cells);
    let alone: Vec<_> = cells.iter().map(|cell| policies.deciding(cell)).collect();
    assert_eq!(decided, alone, "one by one and all at once");
    let told = |(policy, cell): (&Policy, &Cell)| {
        format!("{}: {} {} {}", policy.name, cell.vantage, cell.target, cell.service)
    };
    decided.into_iter().zip(&cells).filter_map(|(policy, cell)| Some(told((policy?, cell)))).collect()
}

fn policy(name: &str, rest: &str) -> String {
    format!("[[policy]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn each_condition() {
    for (conditions, flows) in [
        ("from = {}", &["vlan10 dc1", "vlan20 dc1", "vlan20 dc2", "osaka dc2"][..]),
        ("from = { vantage = \"vlan20\" }", &["vlan20 dc1", "vlan20 dc2"]),
        ("from = { site = \"osaka\" }", &["osaka dc2"]),
        ("from = { vlan = \"10\" }", &["vlan10 dc1"]),
        ("from = { subnet = \"10.77.0.0/16\" }", &["vlan10 dc1", "vlan20 dc1", "vlan20 dc2"]),
        ("from = { subnet = \"10.77.20.0/24\" }", &["vlan20 dc1", "vlan20 dc2"]),
        ("from = { subnet = \"10.77.20.0/25\" }", &[]),
        ("from = { role = \"server\", site = \"tokyo\" }", &["vlan20 dc1", "vlan20 dc2"]),
        ("from = { role = \"server\", tier = \"1\" }", &[]),
        ("to = { domain = \"corp.example\" }", &["vlan10 dc1", "vlan20 dc1"]),
        ("to = { target = \"DC2\" }", &["vlan20 dc2", "osaka dc2"]),
        ("to = { target = \"10.77.1.11\" }", &["vlan20 dc2", "osaka dc2"]),
        ("to = { target = \"dc2\", domain = \"corp.example\" }", &[]),
    ] {
        let found = decided(&policy("p", &format!("{conditions}\nservices = [\"smb\"]\nexpect = \"allow\"")));
        let expected: Vec<String> = flows.iter().map(|flow| format!("p: {flow} smb")).collect();
        assert_eq!(found, expected, "{conditions}");
    }
}

#[test]
fn a_profile_stands_for_its_services() {
    assert_eq!(decided(&policy("p", "profile = \"ports\"\nexpect = \"deny\"")).len(), 6);
    let own = "[[profile]]\nname = \"files\"\nservices = [\"smb\"]\n";
    let found = decided(&format!("{own}{}", policy("p", "profile = \"files\"\nexpect = \"deny\"")));
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn the_first_policy_of_the_file_decides() {
    let narrow = policy("narrow", "from = { vantage = \"vlan20\" }\nservices = [\"smb\"]\nexpect = \"deny\"");
    let wide = policy("wide", "to = { domain = \"corp.example\" }\nprofile = \"ports\"\nexpect = \"allow\"");
    let found = decided(&format!("{narrow}{wide}"));
    let expected = [
        "wide: vlan10 dc1 smb",
        "wide: vlan10 dc1 ldap",
        "narrow: vlan20 dc1 smb",
        "wide: vlan20 dc1 ldap",
        "narrow: vlan20 dc2 smb",
    ];
    assert_eq!(found, expected);
    let other_way = decided(&format!("{wide}{narrow}"));
    assert_eq!(other_way[2], "wide: vlan20 dc1 smb");
    assert_eq!(other_way[4], "narrow: vlan20 dc2 smb");
}

#[test]
fn a_policy_that_decides_nothing_is_said() {
    let text = [
        policy("all", "services = [\"smb\", \"ldap\"]\nexpect = \"allow\""),
        policy("late", "from = { vlan = \"20\" }\nservices = [\"smb\"]\nexpect = \"deny\""),
        policy("nowhere", "from = { role = \"printer\" }\nservices = [\"smb\"]\nexpect = \"deny\""),
        policy("nobody", "to = { target = \"dc9\" }\nservices = [\"smb\"]\nexpect = \"deny\""),
        policy("untested", "services = [\"gc\", \"ldaps\"]\nexpect = \"allow\""),
        policy("never", "from = { site = \"osaka\" }\nto = { target = \"dc1\" }\nservices = [\"smb\"]\nexpect = \"allow\""),
    ]
    .concat();
    let (inventory, domains) = (inventory(&text), domains());
    let (_, uses) = Policies::new(&inventory, &domains).judge(&cells(SWEEP));
    let told: Vec<_> = uses.iter().map(|u| (u.policy.as_str(), u.matched, u.decided, u.idle)).collect();
    assert_eq!(
        told,
        [
            ("all", 6, 6, None),
            ("late", 2, 0, Some(Idle::Shadowed)),
            ("nowhere", 0, 0, Some(Idle::NoVantage)),
            ("nobody", 0, 0, Some(Idle::NoTarget)),
            ("untested", 0, 0, Some(Idle::NoService)),
            ("never", 0, 0, Some(Idle::NoFlow)),
        ]
    );
    let unswept: Vec<String> = uses[4].unswept.iter().map(|service| service.name()).collect();
    assert_eq!(unswept, ["ldaps", "gc"]);
    assert!(uses[0].unswept.is_empty());
}

proptest! {
    #[test]
    fn a_flow_is_decided_by_the_first_policy_that_alone_would_decide_it(
        order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(),
    ) {
        let policies = [
            policy("a", "from = { vlan = \"20\" }\nprofile = \"ports\"\nexpect = \"deny\""),
            policy("b", "to = { target = \"dc2\" }\nservices = [\"smb\"]\nexpect = \"allow\""),
            policy("c", "from = { site = \"tokyo\" }\nservices = [\"ldap\"]\nexpect = \"allow\""),
            policy("d", "services = [\"smb\"]\nexpect = \"deny\""),
        ];
        let all: String = order.iter().map(|&place| policies[place].as_str()).collect();
        let mut expected: Vec<(String, String)> = Vec::new();
        for &place in &order {
            for line in decided(&policies[place]) {
                let (name, flow) = line.split_once(": ").unwrap();
                if !expected.iter().any(|(_, known)| known == flow) {
                    expected.push((name.to_owned(), flow.to_owned()));
                }
            }
        }
        let mut expected: Vec<String> =
            expected.into_iter().map(|(name, flow)| format!("{name}: {flow}")).collect();
        let mut found = decided(&all);
        expected.sort();
        found.sort();
        prop_assert_eq!(found, expected);
    }
}
