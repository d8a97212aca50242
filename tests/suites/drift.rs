//! What changed, since when, where, and what mends it: from an access list that changes to the one that opens it again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "drift/generators.rs"]
mod generators;

use std::collections::BTreeSet;

use sekisho_model::SweepState;
use sekisho_tests::{Aerleon, World};
use serde_json::Value;

const DC_NETWORK: &[&str] = &["10.77.1.0/24"];

/// One domain controller. Policy speaks of vlan10 alone: everything that a member needs is allowed.
const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
dns_servers = ["10.77.1.10"]
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[vantage]]
name = "vlan10"
subnet = "10.77.10.0/24"
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
[[vantage]]
name = "vlan30"
subnet = "10.77.30.0/24"
[[policy]]
name = "members-reach-dcs"
from = { vantage = "vlan10" }
profile = "domain-join"
expect = "allow"
[[profile]]
name = "drift"
services = [SERVICES, "adws"]
"#;

/// What the profile `domain-join` tests.
const MEMBER: [&str; 19] = [
    "icmp",
    "dns-udp",
    "dns-tcp",
    "kerberos-udp",
    "kerberos-tcp",
    "ntp",
    "rpc-epm",
    "ldap",
    "cldap",
    "smb",
    "kpasswd-udp",
    "kpasswd-tcp",
    "ldaps",
    "gc",
    "gc-ssl",
    "rpc-netlogon",
    "rpc-lsa",
    "rpc-samr",
    "rpc-drs",
];

/// Aerleon's rules accept what a connection begins with. The lab's edge tracks no connections within the campus.
const TRACK: &str = "flush chain ip sekisho untracked\n";

/// What somebody changes at the edge. No policy speaks of 9389: it has to stay as it is.
const EDGE: &str =
    "insert rule ip sekisho forward iifname \"vlan10\" tcp dport { 88, 3268, 9389, 49152 } drop
insert rule ip sekisho forward iifname \"vlan10\" udp dport 464 reject with icmp admin-prohibited
insert rule ip sekisho forward iifname \"vlan10\" icmp type echo-request reject with icmp admin-prohibited
";

/// And at the core.
const CORE: &str =
    "insert rule ip sekisho forward ip saddr 10.77.10.0/24 udp dport 123 reject with icmp admin-prohibited\n";

const SILENT: &str = "between 10.77.10.1 and 10.77.254.2";

/// The flows of vlan10 that the changes block: service, outcome, where.
const BLOCKED: [(&str, &str, &str); 6] = [
    ("icmp", "rejected", "at 10.77.10.1"),
    ("kerberos-tcp", "filtered", SILENT),
    ("ntp", "rejected", "at 10.77.254.2"),
    ("kpasswd-udp", "rejected", "at 10.77.10.1"),
    ("gc", "filtered", SILENT),
    ("rpc-netlogon", "filtered", SILENT),
];

/// The access lists that come of the request, and the routers that they are for.
const LISTS: [(&str, &str); 3] = [
    ("path-filter-at-10-77-10-1.nft", "edge"),
    ("path-filter-at-10-77-254-2.nft", "core"),
    ("path-filter-between-10-77-10-1-and-10-77-254-2.nft", "edge"),
];

/// What a reading command says in JSON, and its exit status.
fn read(world: &World, arguments: &[&str]) -> (Value, Option<i32>) {
    let mut all = arguments.to_vec();
    all.extend(["--format", "json"]);
    let output = world.controller.cli(&all).unwrap();
    let json = serde_json::from_slice(&output.stdout);
    (
        json.unwrap_or_else(|e| panic!("{all:?}: {e}: {}", String::from_utf8_lossy(&output.stderr))),
        output.status.code(),
    )
}

/// The changes between two sweeps: vantage, service, kind. Guests reach no endpoint mapper, which tells where RPC services
/// are: of these there is nothing to say in any sweep.
fn changes(world: &World, from: &str, to: &str) -> BTreeSet<String> {
    let (diff, status) = read(world, &["diff", from, to]);
    assert_eq!(status, Some(0), "{diff}");
    let words =
        |change: &Value| ["vantage", "service", "kind"].map(|name| change[name].as_str().unwrap().to_owned());
    let mut changes: BTreeSet<String> =
        diff["changes"].as_array().unwrap().iter().map(|change| words(change).join(" ")).collect();
    for service in ["rpc-netlogon", "rpc-lsa", "rpc-samr", "rpc-drs"] {
        assert!(changes.remove(&format!("vlan30 {service} untested")), "{service}: {changes:?}");
    }
    changes
}

fn of_blocked(kind: &str) -> BTreeSet<String> {
    BLOCKED.iter().map(|(service, ..)| format!("vlan10 {service} {kind}")).collect()
}

fn place(gap: &Value) -> String {
    match gap["by"].as_str() {
        Some(by) => format!("at {by}"),
        None => {
            let hop = |name: &str| gap["between"][name].as_str().unwrap_or("nowhere").to_owned();
            format!("between {} and {}", hop("last_hop"), hop("next_hop"))
        }
    }
}

fn sweep(world: &World) -> i64 {
    let sweep = world.sweep(&["--profile", "drift"]).unwrap();
    assert_eq!((sweep.state, sweep.missed), (SweepState::Complete, 0), "{sweep:?}");
    sweep.id
}

/// A generated access list in front of the router's own: what it accepts is not looked at any more, all else goes on to the
/// rules that were there. With nftables an accept ends its own base chain only, so the generated chain loses its hook and
/// becomes the first thing that the router's own chain asks.
fn in_front(list: &str, number: usize) -> String {
    let hook = "type filter hook forward priority 0; policy accept;";
    assert_eq!((list.matches(hook).count(), list.matches("table ").count()), (1, 1), "{list}");
    let chain = format!("change{number}");
    let list = list.replace("table ip filtering_policies", "table ip sekisho").replace(hook, "");
    format!("{}insert rule ip sekisho forward jump {chain}\n", list.replace("root0", &chain))
}

#[test]
fn a_change_is_told_asked_for_and_mended() {
    let aerleon = Aerleon::new().unwrap();
    let mut world = World::new("drift").unwrap();
    let services = MEMBER.map(|name| format!("\"{name}\"")).join(", ");
    world.apply(&INVENTORY.replace("SERVICES", &services)).unwrap();
    for vlan in ["vlan10", "vlan20", "vlan30"] {
        world.probe(vlan, DC_NETWORK).unwrap();
    }
    world.online(3).unwrap();
    world.lab.nft("edge", TRACK).unwrap();

    let before = sweep(&world);
    assert_eq!(read(&world, &["gaps"]), (serde_json::json!([]), Some(0)));
    let nothing = world.controller.ok(&["export", "change-request"]).unwrap();
    assert!(nothing.starts_with(&format!("# Nothing to open: sweep {before}\n")), "{nothing}");

    world.lab.nft("edge", EDGE).unwrap();
    world.lab.nft("core", CORE).unwrap();
    let blocked = sweep(&world);
    let mut expected = of_blocked("regression");
    expected.insert("vlan10 adws shift".to_owned());
    assert_eq!(changes(&world, "latest~1", "latest"), expected);
    gaps_say_what_where_and_since_when(&world, blocked);
    let folder = the_request_says_exactly_that(&world);

    let lists = aerleon.generate(&folder).unwrap();
    assert_eq!(lists.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), LISTS.map(|(name, _)| name));
    for (number, ((_, list), (_, router))) in lists.iter().zip(LISTS).enumerate() {
        world
            .lab
            .nft(router, &in_front(list, number))
            .unwrap_or_else(|error| panic!("{router}: {error:#}\n{list}"));
    }
    sweep(&world);
    assert_eq!(changes(&world, "latest~1", "latest"), of_blocked("fix"));
    assert_eq!(changes(&world, "latest~2", "latest"), ["vlan10 adws shift".to_owned()].into());
    assert_eq!(read(&world, &["gaps"]), (serde_json::json!([]), Some(0)));
    assert!(world.controller.ok(&["export", "change-request"]).unwrap().starts_with("# Nothing to open"));
}

/// Of each flow that was blocked: the cause, who or where, since when; and what it was before.
fn gaps_say_what_where_and_since_when(world: &World, sweep: i64) {
    let (gaps, status) = read(world, &["gaps"]);
    assert_eq!(status, Some(2));
    let (shown, _) = read(world, &["sweep", "show", &sweep.to_string()]);
    let began = shown["started_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let mut told = BTreeSet::new();
    for gap in gaps.as_array().unwrap() {
        assert_eq!((&gap["kind"], &gap["cause"]), (&"gap".into(), &"path-filter".into()), "{gap}");
        assert_eq!((&gap["vantage"], &gap["policy"]), (&"vlan10".into(), &"members-reach-dcs".into()));
        let since: jiff::Timestamp = gap["since"].as_str().unwrap().parse().unwrap();
        assert!(since >= began, "{gap}");
        let service = gap["service"].as_str().unwrap();
        told.insert(format!("{service} {} {}", gap["outcome"].as_str().unwrap(), place(gap)));
        let flow = ["history", "--vantage", "vlan10", "--target", "dc1.corp.example", "--service", service];
        let (spans, _) = read(world, &flow);
        let spans: Vec<_> = spans
            .as_array()
            .unwrap()
            .iter()
            .map(|span| (&span["outcome"], &span["sweeps"], &span["first_seen"]))
            .map(|(o, s, f)| (o.clone(), s.clone(), f.clone()))
            .collect();
        assert_eq!(spans.len(), 2, "{service}");
        assert_eq!(spans[0], (gap["outcome"].clone(), 1.into(), gap["since"].clone()), "{service}");
        assert_eq!((&spans[1].0, &spans[1].1), (&"open".into(), &1.into()), "{service}");
    }
    let expected = BLOCKED.iter().map(|(service, outcome, place)| format!("{service} {outcome} {place}"));
    assert_eq!(told, expected.collect());
}

/// One rule for each place, with exactly the flows that are blocked there. Gives the folder for Aerleon.
fn the_request_says_exactly_that(world: &World) -> std::path::PathBuf {
    let (request, status) = read(world, &["export", "change-request"]);
    assert_eq!((status, &request["left_out"]), (Some(2), &serde_json::json!([])));
    let told = |rule: &Value| {
        let services = rule["services"].as_array().unwrap().iter().map(|service| {
            let ports = format!("{}-{}", service["first_port"], service["last_port"]);
            format!("{} {ports} {}", service["transport"].as_str().unwrap(), service["services"])
        });
        let services: Vec<String> = services.collect();
        format!(
            "{}: {} > {}: {}",
            place(rule),
            rule["sources"][0]["network"].as_str().unwrap(),
            rule["destinations"][0]["address"].as_str().unwrap(),
            services.join(", ")
        )
    };
    let rules: BTreeSet<String> = request["rules"].as_array().unwrap().iter().map(told).collect();
    let (from, to) = ("10.77.10.0/24", "10.77.1.10");
    let expected = [
        format!("at 10.77.10.1: {from} > {to}: udp 464-464 [\"kpasswd-udp\"], icmp null-null [\"icmp\"]"),
        format!("at 10.77.254.2: {from} > {to}: udp 123-123 [\"ntp\"]"),
        format!(
            "{SILENT}: {from} > {to}: tcp 88-88 [\"kerberos-tcp\"], tcp 3268-3268 [\"gc\"], \
             tcp 49152-65535 [\"rpc-netlogon\"]"
        ),
    ];
    assert_eq!(rules, expected.into());
    let csv = world.controller.cli(&["export", "change-request", "--format", "csv"]).unwrap();
    assert_eq!(String::from_utf8(csv.stdout).unwrap().matches("\r\n").count(), 1 + BLOCKED.len());
    let folder = world.path("request");
    let path = folder.to_str().unwrap().to_owned();
    let written = world
        .controller
        .cli(&["export", "change-request", "--format", "aerleon", "--output", &path])
        .unwrap();
    assert_eq!(written.status.code(), Some(2), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(String::from_utf8(written.stdout).unwrap(), format!("cd '{path}' && aclgen\n"));
    folder
}
