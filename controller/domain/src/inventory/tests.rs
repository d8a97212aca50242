use proptest::prelude::*;

use super::*;
use crate::change::diff;

/// The example of the documentation.
const SAMPLE: &str = r#"
[[domain]]
name = "corp.example"
dns_servers = ["10.77.1.10"]        # optional: else the probe's own resolvers, which are themselves under test
[[target]]                          # optional: targets are also discovered from SRV records
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
vlan = 20
site = "tokyo"
labels = { role = "server" }
[[policy]]
name = "servers-reach-dcs"
from = { role = "server" }
to = { domain = "corp.example" }
profile = "domain-join"             # or services = ["smb", ...]
expect = "allow"                    # or "deny"
[[schedule]]
name = "nightly"
cron = "0 2 * * *"
time_zone = "Asia/Tokyo"
window = "2h"
domains = ["corp.example"]
profile = "domain-join"
"#;

#[test]
fn budgets_are_whole_numbers_of_attempts_per_second() {
    let text = |budget: &str| {
        format!(
            "[[domain]]\nname = \"corp.example\"\nbudget = {budget}\n[[target]]\ndomain = \"corp.example\"\n\
             host = \"dc1.corp.example\"\naddress = \"10.77.1.10\"\nbudget = {budget}\n\
             [[vantage]]\nname = \"vlan20\"\nbudget = {budget}\n"
        )
    };
    let inventory = Inventory::parse("f", &text("50")).unwrap();
    let budgets = (inventory.domains[0].budget, inventory.targets[0].budget, inventory.vantages[0].budget);
    assert_eq!(budgets, (Some(50), Some(50), Some(50)));
    let lines: Vec<String> =
        diff(&Inventory::default(), &inventory).iter().map(ToString::to_string).collect();
    assert_eq!(lines.iter().filter(|line| line.ends_with("budget 50")).count(), 3, "{lines:?}");
    let without = Inventory::parse("inventory.toml", SAMPLE).unwrap();
    assert_eq!((without.domains[0].budget, without.vantages[0].budget), (None, None));
    for wrong in ["0", "-1", "100001", "1.5", "\"50\""] {
        let faults = faults(&text(wrong));
        assert_eq!(faults.matches("it is a number from 1 to 100000").count(), 3, "{faults}");
        assert!(faults.contains("[[target]] number 1 \"dc1.corp.example\": budget:"), "{faults}");
    }
}

fn faults(text: &str) -> String {
    Inventory::parse("inventory.toml", text).unwrap_err().to_string()
}

#[test]
fn the_example_of_the_documentation_is_an_inventory() {
    let inventory = Inventory::parse("inventory.toml", SAMPLE).unwrap();
    assert!(!inventory.domains[0].discover, "a domain with listed targets is not searched unless asked for");
    assert_eq!(inventory.vantages[0].labels["role"], "server");
    assert_eq!(inventory.schedules[0].window.as_str(), "2h");
    let lines: Vec<String> =
        diff(&Inventory::default(), &inventory).iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 5);
    assert!(lines.contains(&"+ target dc1.corp.example 10.77.1.10 (corp.example)".to_owned()), "{lines:?}");
    assert_eq!(diff(&inventory, &inventory), []);
}

#[test]
fn a_file_with_nothing_but_faults_does_not_fill_the_memory() {
    let policy = |number: usize| {
        let from: Vec<String> = (0..250).map(|n| format!("q{number}x{n}=\"v\"")).collect();
        format!("[[policy]]\nfrom={{{}}}\n", from.join(","))
    };
    let text: String = (0..20).map(policy).collect();
    let faults = Inventory::parse("f", &text).unwrap_err();
    assert_eq!(faults.list().len(), 1_000);
    assert_eq!(faults.to_string().lines().count(), 101, "{faults}");
    // 250 labels, the name, what is expected, and the services of each policy.
    assert!(faults.to_string().ends_with(&format!("and {} more", 20 * 253 - 100)), "{faults}");
}

#[test]
fn discovery_is_the_default_without_targets() {
    let inventory = Inventory::parse("f", "[[domain]]\nname = \"Corp.Example.\"\n").unwrap();
    assert!(inventory.domains[0].discover);
    assert_eq!(inventory.domains[0].name.as_str(), "corp.example");
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let text = r#"
[[vantage]]
name = "vlan10"
vlan = 5000
[[vantage]]
name = "vlan 20"
subnet = "10.77.20.5/24"
colour = "red"
[[vantage]]
name = "vlan10"
[[target]]
domain = "corp.exmaple"
host = "dc1.corp.example"
address = "10.77.1.300"
[[policy]]
name = "p"
from = { rol = "server" }
profile = "prots"
expect = "maybe"
[[schedule]]
name = "s"
cron = "0 25 * * *"
time_zone = "Asia/Tokio"
window = "9w"
[server]
"#;
    let found = faults(text);
    for expected in [
        "inventory.toml:4: [[vantage]] number 1 \"vlan10\": vlan: 5000 is not allowed; it is a number from 1 to 4094",
        "inventory.toml:6: [[vantage]] number 2 \"vlan 20\": name: \"vlan 20\" has ' '",
        "inventory.toml:7: [[vantage]] number 2 \"vlan 20\": subnet: 10.77.20.5/24 is an address in a subnet; the subnet is 10.77.20.0/24",
        "inventory.toml:8: [[vantage]] number 2 \"vlan 20\": there is no field \"colour\"; fields are name, subnet, vlan, site, labels",
        "inventory.toml:12: [[target]] number 1 \"dc1.corp.example\": domain: there is no [[domain]] \"corp.exmaple\"",
        "inventory.toml:14: [[target]] number 1 \"dc1.corp.example\": address: ",
        "inventory.toml:17: [[policy]] number 1 \"p\": from: no [[vantage]] has a label \"rol\"",
        "inventory.toml:18: [[policy]] number 1 \"p\": profile: there is no profile \"prots\"",
        "inventory.toml:19: [[policy]] number 1 \"p\": expect: \"maybe\" is not allowed; it is \"allow\" or \"deny\"",
        "inventory.toml:22: [[schedule]] number 1 \"s\": cron: ",
        "inventory.toml:23: [[schedule]] number 1 \"s\": time_zone: \"Asia/Tokio\" is not a time zone",
        "inventory.toml:24: [[schedule]] number 1 \"s\": window: \"9w\" is not allowed",
        "inventory.toml:25: \"server\" is not part of an inventory",
    ] {
        assert!(found.contains(expected), "missing: {expected}\nin:\n{found}");
    }
}

#[test]
fn the_example_file_is_an_inventory() {
    let text = include_str!("../../../../deploy/examples/inventory.toml");
    let example = Inventory::parse("deploy/examples/inventory.toml", text).unwrap();
    assert_eq!(example.schedules[0].name.as_str(), "nightly");
}

/// A schedule with these fields besides those that it must have.
fn schedule(more: &str) -> String {
    format!(
        "[[schedule]]\nname = \"s\"\ncron = \"0 2 * * *\"\ntime_zone = \"Asia/Tokyo\"\nwindow = \"2h\"\n{more}\n"
    )
}

#[test]
fn a_schedule_may_say_more_and_changes_of_it_are_told() {
    let plain = Inventory::parse("f", &schedule("")).unwrap();
    let more = "splay = \"10m\"\nnot_before = \"2026-12-01\"\nnot_after = \"2027-12-31\"\n\
                blackout = [\"2026-12-29..2027-01-03\", \"2027-02-11\"]\ncatch_up = \"once\"";
    let full = Inventory::parse("f", &schedule(more)).unwrap();
    let lines: Vec<String> = diff(&plain, &full).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["~ schedule s: splay none -> 10m, not_before none -> 2026-12-01, not_after none -> 2027-12-31, \
          blackout none -> [2026-12-29..2027-01-03, 2027-02-11], catch_up none -> once"]
    );
    for inventory in [&plain, &full] {
        let json = serde_json::to_value(&inventory.schedules).unwrap();
        assert_eq!(serde_json::from_value::<Vec<Schedule>>(json).unwrap(), inventory.schedules);
    }
    // As controllers wrote it before a schedule could say that.
    let old = serde_json::json!({
        "name": "s", "cron": "0 2 * * *", "time_zone": "Asia/Tokyo", "window": "2h",
        "domains": [], "vantages": [], "profile": null,
    });
    assert_eq!(serde_json::from_value::<Schedule>(old).unwrap(), plain.schedules[0]);
}

#[test]
fn a_schedule_that_cannot_be_is_refused_with_what_can() {
    for (more, said) in [
        ("splay = \"2h\"", "splay: 2h leaves nothing of the window of 2h; it has to be shorter"),
        ("splay = \"13h\"", "it is a duration from 1s to 12h, such as \"10m\""),
        (
            "not_before = \"2027-01-02\"\nnot_after = \"2027-01-01\"",
            "not_after: 2027-01-01 lies before not_before, 2027-01-02",
        ),
        ("not_before = \"1.12.2026\"", "not_before: \"1.12.2026\" is not a date; write it as \"2026-12-31\""),
        ("not_before = \"2026-12-01T00:00\"", "is not a date"),
        ("not_after = \"2026-02-30\"", "is not a date"),
        ("blackout = \"2026-12-31\"", "it is a list, such as"),
        ("blackout = [\"2026-12-31..2026-12-01\"]", "ends before it begins"),
        ("blackout = [\"new year\"]", "it is a date, or two"),
        ("catch_up = \"twice\"", "catch_up: \"twice\" is not allowed; it is \"once\" or \"skip\""),
        ("paused = true", "there is no field \"paused\""),
    ] {
        let found = faults(&schedule(more));
        assert!(found.contains(said), "{more}: missing: {said}\nin: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
}

#[test]
fn the_same_name_twice_is_refused() {
    let found = faults("[[vantage]]\nname = \"a\"\n[[vantage]]\nname = \"a\"\n");
    assert!(found.contains("inventory.toml:3:") && found.contains("first time in line 1"), "{found}");
    let found = faults("[[domain]]\nname = \"a.b\"\n[[domain]]\nname = \"A.B.\"\n");
    assert!(found.contains("there twice"), "{found}");
}

#[test]
fn computers_are_looked_for_in_a_domain_of_the_file() {
    let computer = |name: &str, domain: &str| {
        format!(
            "[[domain]]\nname = \"corp.example\"\n[[computer]]\nname = \"{name}\"\ndomain = \"{domain}\"\n"
        )
    };
    let inventory = Inventory::parse("f", &computer("pc8", "CORP.example.")).unwrap();
    let lines: Vec<String> =
        diff(&Inventory::default(), &inventory).iter().map(ToString::to_string).collect();
    assert!(lines.contains(&"+ computer PC8 (corp.example)".to_owned()), "{lines:?}");
    assert!(faults(&computer("pc8", "lab.example")).contains("there is no [[domain]] \"lab.example\""));
    assert!(faults(&computer("pc8.corp.example", "corp.example")).contains("[[computer]] number 1"));
    let twice = format!(
        "{}{}",
        computer("pc8", "corp.example"),
        "[[computer]]\nname = \"PC8\"\ndomain = \"corp.example\"\n"
    );
    assert!(faults(&twice).contains("PC8 (corp.example) is there twice"), "{}", faults(&twice));
}

#[test]
fn one_mistake_gives_one_message() {
    let found = faults(
        "[[domain]]\nname = \"corp.example\"\ndns_servers = [\"x\"]\n\
         [[target]]\ndomain = \"corp.example\"\nhost = \"dc1.corp.example\"\naddress = \"10.0.0.1\"\n",
    );
    assert_eq!(found.lines().count(), 1, "{found}");
}

#[test]
fn a_table_that_should_be_a_list_is_explained() {
    assert!(faults("[vantage]\nname = \"a\"\n").contains("write [[vantage]]"));
    assert!(faults("[[vantage]\n").starts_with("inventory.toml:1: not valid TOML"));
    assert!(faults(&" ".repeat(MAX_BYTES + 1)).contains("at most 4 MiB"));
    assert!(faults("vantage = [1]\n").contains("is not a table"));
}

#[test]
fn a_date_that_never_comes_is_refused() {
    let error = "0 2 30 2 *".parse::<Cron>().unwrap_err();
    assert!(error.contains("never comes"), "{error}");
    assert!("* * * * * *".parse::<Cron>().is_err(), "six fields");
}

#[test]
fn a_change_names_the_field_and_both_values() {
    let old = Inventory::parse("f", SAMPLE).unwrap();
    let text = SAMPLE.replace("vlan = 20", "vlan = 21").replace("expect = \"allow\"", "expect = \"deny\"");
    let new = Inventory::parse("f", &text).unwrap();
    let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["~ vantage vlan20: vlan 20 -> 21", "~ policy servers-reach-dcs: expect allow -> deny"]
    );
    let removed: Vec<String> = diff(&old, &Inventory::default()).iter().map(ToString::to_string).collect();
    assert!(removed.contains(&"- vantage vlan20".to_owned()), "{removed:?}");
}

#[test]
fn the_order_of_policies_is_a_change() {
    let policy =
        |name: &str| format!("[[policy]]\nname = \"{name}\"\nservices = [\"smb\"]\nexpect = \"deny\"\n");
    let one = Inventory::parse("f", &format!("{}{}", policy("a"), policy("b"))).unwrap();
    let two = Inventory::parse("f", &format!("{}{}", policy("b"), policy("a"))).unwrap();
    let lines: Vec<String> = diff(&one, &two).iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["~ policy (all): order a, b -> b, a"]);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        drop(Inventory::parse("f", &text));
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_reader_panic(at in 0..SAMPLE.len(), with in "[\\[\\]\"=a0 \n{}]{0,6}") {
        let mut text = SAMPLE.to_owned();
        if text.is_char_boundary(at) {
            text.insert_str(at, &with);
        }
        drop(Inventory::parse("f", &text));
    }

    #[test]
    fn what_was_applied_needs_no_change(names in proptest::collection::btree_set("[a-z]{1,6}", 0..8), vlan in 1..4095) {
        let text: String = names.iter().map(|name| format!("[[vantage]]\nname = \"{name}\"\nvlan = {vlan}\n")).collect();
        let one = Inventory::parse("f", &text).unwrap();
        let two = Inventory::parse("f", &text).unwrap();
        prop_assert_eq!(diff(&one, &two), []);
        prop_assert_eq!(diff(&Inventory::default(), &one).len(), names.len());
    }
}
