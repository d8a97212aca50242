use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sekisho_model::{Cell, Outcome};

use super::{Suggestion, suggest};
use crate::{
    Inventory,
    gaps::gaps,
    inventory::Expectation,
    policy::{Domains, Policies},
    sample::{cell, cells},
};

/// Two servers of one site, one of another, guests, and a vantage without anything.
const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[vantage]]
name = "vlan10"
subnet = "10.77.10.0/24"
site = "tokyo"
labels = { role = "server", "tier.x" = "0" }
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
site = "tokyo"
labels = { role = "server" }
[[vantage]]
name = "vlan30"
subnet = "10.99.30.0/24"
site = "osaka"
labels = { role = "server" }
[[vantage]]
name = "guests"
subnet = "10.77.200.0/24"
site = "tokyo"
labels = { role = "guest" }
[[profile]]
name = "files"
services = ["smb", "icmp"]
[[policy]]
name = "allow-server-to-corp.example"
from = { role = "server" }
services = ["smb"]
expect = "allow"
"#;

fn inventory() -> Inventory {
    Inventory::parse("test", INVENTORY).unwrap()
}

fn domains() -> Domains {
    let of = |name: &str, address: &str| {
        ((name.to_owned(), address.parse().unwrap()), BTreeSet::from(["corp.example".to_owned()]))
    };
    Domains::from([of("dc1", "10.77.1.10"), of("dc2", "10.77.1.11")])
}

fn of(sweep: &str) -> Suggestion {
    suggest(&cells(sweep), &inventory(), &domains(), true)
}

/// `allow role=server domain=corp.example smb,ldap`
fn told(suggestion: &Suggestion) -> Vec<String> {
    let map = |map: &BTreeMap<String, String>| {
        let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if pairs.is_empty() { "all".to_owned() } else { pairs.join(",") }
    };
    let draft = |draft: &super::Draft| {
        let services: Vec<String> = draft.services.iter().map(|service| service.name()).collect();
        let coverage = draft.profile.clone().unwrap_or_else(|| services.join(","));
        format!("{} {} {} {coverage}", draft.expect, map(&draft.from), map(&draft.to))
    };
    suggestion.policies.iter().map(draft).collect()
}

#[test]
fn what_all_of_a_label_have_alike_is_one_draft() {
    let mut sweep = String::new();
    for vantage in ["vlan10", "vlan20", "vlan30"] {
        for target in ["dc1", "dc2"] {
            sweep += &format!(
                "{vantage} {target} ldap open\n{vantage} {target} smb open\n{vantage} {target} gc closed\n"
            );
        }
    }
    let suggestion = of(&(sweep.clone() + "guests dc1 ldap filtered\nguests dc1 smb filtered"));
    assert_eq!(
        told(&suggestion),
        [
            "allow role=server domain=corp.example ldap,smb",
            "deny vantage=guests domain=corp.example ldap,smb",
            "deny role=server domain=corp.example gc",
        ]
    );
    assert_eq!(suggestion.policies[0].vantages, ["vlan10", "vlan20", "vlan30"]);
    assert_eq!(suggestion.policies[0].name, "allow-server-to-corp.example-2", "the inventory has the other");
    // One that was not swept does not agree.
    assert_eq!(
        told(&of("vlan10 dc1 ldap open\nvlan20 dc1 ldap open")),
        ["allow vantage=vlan10 domain=corp.example ldap", "allow vantage=vlan20 domain=corp.example ldap"]
    );
}

#[test]
fn one_that_has_more_does_not_keep_the_others_apart() {
    let sweep = "vlan10 dc1 ldap open\nvlan20 dc1 ldap open\nvlan30 dc1 ldap open\nvlan30 dc1 winrm open";
    assert_eq!(
        told(&of(sweep)),
        ["allow role=server domain=corp.example ldap", "allow vantage=vlan30 domain=corp.example ldap,winrm"]
    );
}

#[test]
fn other_selectors() {
    let all = "vlan10 dc1 ldap open\nvlan20 dc1 ldap open\nvlan30 dc1 ldap open\nguests dc1 ldap open";
    assert_eq!(told(&of(all)), ["allow all domain=corp.example ldap"]);
    let tokyo = "vlan10 dc1 ldap open\nvlan20 dc1 ldap open\nguests dc1 ldap open";
    assert_eq!(told(&of(tokyo)), ["allow site=tokyo domain=corp.example ldap"]);
    let apart = Inventory::parse("test", &INVENTORY.replace("site = \"tokyo\"\n", "")).unwrap();
    let by_subnet = suggest(&cells(tokyo), &apart, &domains(), true);
    assert_eq!(told(&by_subnet), ["allow subnet=10.77.0.0/16 domain=corp.example ldap"]);
}

#[test]
fn targets_of_a_domain_go_together_where_that_is_shorter() {
    assert_eq!(
        told(&of("guests dc1 ldap open\nguests dc1 gc open\nguests dc2 ldap open")),
        ["allow vantage=guests domain=corp.example ldap", "allow vantage=guests target=dc1 gc"]
    );
    assert_eq!(
        told(&of("guests dc1 ldap open\nguests dc1 gc open\nguests dc2 ldap open\nguests dc2 smb open")),
        ["allow vantage=guests target=dc1 ldap,gc", "allow vantage=guests target=dc2 ldap,smb"]
    );
    assert_eq!(
        told(&of("guests app1 ldap open")),
        ["allow vantage=guests target=app1 ldap"],
        "it has no domain"
    );
}

#[test]
fn services_of_a_profile_go_by_its_name() {
    assert_eq!(
        told(&of("guests dc1 smb open\nguests dc1 icmp open")),
        ["allow vantage=guests domain=corp.example files"]
    );
    let ports = sekisho_model::BuiltIn::Ports.services();
    let sweep: String = ports.iter().map(|service| format!("guests dc1 {service} open\n")).collect();
    assert_eq!(told(&of(&sweep)), ["allow vantage=guests domain=corp.example ports"]);
}

#[test]
fn nothing_is_suggested_of_what_is_not_known() {
    let sweep = "guests dc1 smb missed\nguests dc1 ldap failed\nguests dc1 gc wrong\nguests dc1 gc open
        nowhere dc1 smb open";
    let suggestion = of(sweep);
    assert_eq!(told(&suggestion), Vec::<String>::new());
    assert_eq!((suggestion.not_known, suggestion.left_out), (3, 1));
    let toml = suggestion.toml("from sweep 17");
    assert!(toml.starts_with("# from sweep 17\n# 3 flows failed, missed or wrong"), "{toml}");
}

#[test]
fn targets_that_share_a_name_go_by_address() {
    let mut sweep = cells("guests app1 smb open\nguests app1 ldap open");
    let mut other = sweep.clone();
    for cell in &mut other {
        cell.address = "10.9.9.9".parse().unwrap();
    }
    other[0].outcome = Outcome::Filtered;
    sweep.extend(other);
    let told = told(&suggest(&sweep, &inventory(), &domains(), false));
    assert_eq!(
        told,
        ["allow vantage=guests target=10.77.1.20 ldap,smb", "allow vantage=guests target=app1 ldap"]
    );
}

#[test]
fn the_text_is_an_inventory() {
    let suggestion =
        of("vlan10 dc1 ldap open\nvlan20 dc1 ldap open\nvlan30 dc1 ldap open\nguests dc1 smb rejected");
    assert_eq!(
        suggestion.toml("from sweep 17\u{1b}\nreview it"),
        "\
# from sweep 17
# review it

# fits vlan10, vlan20, vlan30
[[policy]]
name = \"allow-server-to-corp.example-2\"
from = { role = \"server\" }
to = { domain = \"corp.example\" }
services = [\"ldap\"]
expect = \"allow\"

# fits guests
[[policy]]
name = \"deny-guests-to-corp.example\"
from = { vantage = \"guests\" }
to = { domain = \"corp.example\" }
services = [\"smb\"]
expect = \"deny\"
"
    );
}

#[test]
fn words_of_a_file_cannot_break_out_of_theirs() {
    let hostile = r#"a\"] # ' \\ 東京"#;
    let text = INVENTORY.replace("role = \"server\"", &format!("\"x.y\" = \"{hostile}\""));
    let inventory = Inventory::parse("test", &text.replace("from = { role", "from = { \"x.y\"")).unwrap();
    let sweep = cells("vlan10 dc1 ldap open\nvlan20 dc1 ldap open\nvlan30 dc1 ldap open");
    let suggestion = suggest(&sweep, &inventory, &domains(), false);
    let whole = text.replace("from = { role", "from = { \"x.y\"") + &suggestion.toml("a test");
    let parsed = Inventory::parse("test", &whole).unwrap();
    assert_eq!(parsed.policies[1].from["x.y"], "a\"] # ' \\ 東京");
}

fn any_sweep() -> impl Strategy<Value = Vec<Cell>> {
    const VANTAGES: [&str; 5] = ["vlan10", "vlan20", "vlan30", "guests", "nowhere"];
    const SERVICES: [&str; 6] = ["icmp", "smb", "ldap", "gc", "tcp/8443", "rpc-drs"];
    // Mostly alike, so that there is something to generalise.
    let outcome = prop_oneof![
        6 => Just(None),
        2 => proptest::sample::select(&Outcome::ALL[..]).prop_map(Some),
    ];
    let usual =
        proptest::collection::vec(proptest::sample::select(&[Outcome::Open, Outcome::Filtered][..]), 6);
    let flow = (0..5_usize, 0..3_usize, 0..6_usize, outcome, 0..20_u8);
    (usual, proptest::collection::vec(flow, 0..90)).prop_map(|(usual, flows)| {
        let cell =
            |(vantage, target, service, outcome, double): (usize, usize, usize, Option<Outcome>, u8)| {
                let target = ["dc1", "dc2", "app1"][target];
                let outcome = outcome.unwrap_or(usual[service]);
                let mut cell =
                    cell(&format!("{} {target} {} {outcome}", VANTAGES[vantage], SERVICES[service]));
                if double == 0 {
                    // Another address of the same host.
                    cell.address = "10.9.9.9".parse().unwrap();
                }
                cell
            };
        flows.into_iter().map(cell).collect()
    })
}

/// The inventory with the drafts as its only policies, by way of the text.
fn adopted(suggestion: &Suggestion) -> Inventory {
    let bare = INVENTORY.split("[[policy]]").next().unwrap();
    Inventory::parse("test", &format!("{bare}\n{}", suggestion.toml("a test"))).unwrap()
}

proptest! {
    #[test]
    fn drafts_are_true_to_the_sweep(sweep in any_sweep(), deny: bool) {
        let (inventory, domains) = (inventory(), domains());
        let suggestion = suggest(&sweep, &inventory, &domains, deny);
        let adopted = adopted(&suggestion);
        let found = gaps(&sweep, &adopted, &domains);
        prop_assert!(found.gaps.is_empty(), "{:?}\n{}", found.gaps, suggestion.toml(""));
        prop_assert_eq!(found.untested, 0);
        prop_assert!(found.policies.iter().all(|policy| policy.decided > 0 || policy.matched > 0));

        let policies = Policies::new(&adopted, &domains);
        let mut unspoken = 0;
        let is_doubtful = |cell: &Cell| sweep.iter().any(|other| {
            (&other.vantage, &other.target, other.address, other.service) == (&cell.vantage, &cell.target, cell.address, cell.service)
                && (other.outcome.is_blocked() != cell.outcome.is_blocked()
                    || matches!(other.outcome, Outcome::Wrong | Outcome::Failed | Outcome::Missed))
        });
        for cell in &sweep {
            match policies.deciding(cell).map(|policy| policy.expect) {
                Some(Expectation::Allow) => prop_assert_eq!(cell.outcome, Outcome::Open),
                Some(Expectation::Deny) => prop_assert!(deny && cell.outcome.is_blocked()),
                None if cell.outcome == Outcome::Open && !is_doubtful(cell) => unspoken += 1,
                None => {}
            }
        }
        prop_assert!(unspoken == 0 || suggestion.left_out > 0, "{unspoken} open flows without a policy");

        let pairs: BTreeSet<_> = sweep.iter().map(|cell| (&cell.vantage, &cell.target, cell.address)).collect();
        for expect in [Expectation::Allow, Expectation::Deny] {
            let count = suggestion.policies.iter().filter(|draft| draft.expect == expect).count();
            prop_assert!(count <= pairs.len(), "{count} of {}", pairs.len());
        }
    }

    #[test]
    fn the_same_flows_make_the_same_drafts(sweep in any_sweep()) {
        let (inventory, domains) = (inventory(), domains());
        let mut turned: Vec<Cell> = sweep.iter().rev().cloned().collect();
        turned.extend(sweep.iter().cloned());
        let one = suggest(&sweep, &inventory, &domains, true);
        prop_assert_eq!(suggest(&turned, &inventory, &domains, true), one);
    }

    #[test]
    fn nothing_is_left_out_where_names_are_told_apart(sweep in any_sweep()) {
        let sweep: Vec<Cell> =
            sweep.into_iter().filter(|cell| cell.vantage != "nowhere" && cell.address.to_string() != "10.9.9.9").collect();
        prop_assert_eq!(suggest(&sweep, &inventory(), &domains(), true).left_out, 0);
    }
}
