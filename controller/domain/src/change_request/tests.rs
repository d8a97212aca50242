mod exact;
mod text;

use sekisho_model::Outcome;

use super::*;
use crate::{
    gaps::{Gaps, gaps},
    sample,
};

const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[vantage]]
name = "vlan10"
subnet = "10.77.10.0/24"
[[vantage]]
name = "vlan20"
subnet = "10.77.20.0/24"
[[vantage]]
name = "vlan30"
subnet = "10.77.30.0/24"
[[vantage]]
name = "inside20"
subnet = "10.77.20.128/25"
[[vantage]]
name = "nowhere"
[[vantage]]
name = "six"
subnet = "fd00:20::/64"
[[policy]]
name = "no-lsa-from-30"
from = { vantage = "vlan30" }
services = ["rpc-lsa", "tcp/445", "tcp/50000"]
expect = "deny"
[[policy]]
name = "inside-stays-out"
from = { vantage = "inside20" }
services = ["gc"]
expect = "deny"
[[policy]]
name = "all-reach"
services = ["icmp", "dns-udp", "smb", "ldap", "ldaps", "gc", "rpc-epm", "rpc-netlogon", "rpc-lsa", "kerberos-udp"]
expect = "allow"
"#;

/// A sweep, one flow a line; `port=N` is where an RPC interface was seen.
pub(super) fn swept(lines: &str) -> (Vec<Cell>, Gaps) {
    let mut cells = sample::cells(lines);
    for cell in &mut cells {
        if let Some(port) = cell.facts.remove("port") {
            cell.port = port.to_string().parse().ok();
        }
    }
    let found = gaps(&cells, &inventory(), &Domains::new());
    (cells, found)
}

pub(super) fn inventory() -> Inventory {
    Inventory::parse("test", INVENTORY).unwrap()
}

pub(super) fn asked(lines: &str) -> ChangeRequest {
    let (cells, found) = swept(lines);
    change_request(&found.gaps, found.untested, &cells, &inventory(), &Domains::new())
}

/// Each rule: place, sources, destinations, ports with services.
fn told(request: &ChangeRequest) -> Vec<String> {
    let words = |all: Vec<String>| all.join("+");
    let told = |rule: &Rule| {
        let services = rule.services.iter().map(|service| {
            let behind: Vec<String> = service.services.iter().map(ToString::to_string).collect();
            format!("{}={}", service.ports, behind.join(","))
        });
        format!(
            "{} {} | {} > {} : {}",
            rule.cause,
            rule.place,
            words(rule.sources.iter().map(|s| s.network.to_string()).collect()),
            words(rule.destinations.iter().map(|d| d.hosts.join(",")).collect()),
            words(services.collect())
        )
    };
    request.rules.iter().map(told).collect()
}

fn left(request: &ChangeRequest) -> Vec<String> {
    let told = |flow: &LeftOut| format!("{:?} {} {}", flow.reason, flow.gap.vantage, flow.gap.service);
    request.left_out.iter().map(told).collect()
}

const HOPS: &str = "last-hop=10.77.20.1 next-hop=10.77.254.2";

#[test]
fn what_differs_in_one_thing_is_one_rule_for_each_device() {
    let request = asked(&format!(
        "vlan10 dc1 icmp open
        vlan10 dc1 smb rejected by=10.77.9.1
        vlan10 dc1 ldap rejected by=10.77.9.1
        vlan10 dc2 icmp open
        vlan10 dc2 smb rejected by=10.77.9.1
        vlan10 dc2 ldap rejected by=10.77.9.1
        vlan20 dc1 icmp open
        vlan20 dc1 smb rejected by=10.77.9.1
        vlan20 dc1 ldap rejected by=10.77.9.1
        vlan20 dc2 icmp open
        vlan20 dc2 smb rejected by=10.77.9.1
        vlan20 dc2 ldap rejected by=10.77.9.1
        vlan20 dc2 ldaps rejected by=10.77.9.1
        vlan20 dc1 kerberos-udp filtered {HOPS}
        vlan10 dc1 gc rejected by=10.77.1.10"
    ));
    assert_eq!(
        told(&request),
        [
            "path-filter between 10.77.20.1 and 10.77.254.2 | 10.77.20.0/24 > dc1 : 88/udp=kerberos-udp",
            "path-filter at 10.77.9.1 | 10.77.10.0/24+10.77.20.0/24 > dc1+dc2 : 389/tcp=ldap+445/tcp=smb",
            "path-filter at 10.77.9.1 | 10.77.20.0/24 > dc2 : 636/tcp=ldaps",
            "host-filter at 10.77.1.10 | 10.77.10.0/24 > dc1 : 3268/tcp=gc",
        ]
    );
    assert_eq!((request.flows(), request.left_out.len()), (11, 0));
    assert_eq!(request.rules.iter().map(|rule| rule.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(request.rules[1].policies, ["all-reach"]);
    assert_eq!(request.rules[1].sources[0].vantages, ["vlan10"]);
}

#[test]
fn each_cause_is_opened_or_left_out_with_its_reason() {
    let request = asked(
        "nowhere dc1 icmp open
        nowhere dc1 smb rejected by=10.0.0.1
        six dc1 icmp open
        six dc1 smb rejected by=10.0.0.1
        vlan10 dc1 icmp open
        vlan10 dc1 smb mute syn-proxy
        vlan10 dc1 ldaps closed rst-origin=target
        vlan10 dc1 gc filtered
        vlan20 dc1 gc rejected by=10.0.0.1",
    );
    assert_eq!(told(&request), [] as [String; 0]);
    assert_eq!(
        left(&request),
        [
            "Middlebox vlan10 smb",
            "NoSubnet nowhere smb",
            "OtherFamily six smb",
            "ServiceDown vlan10 ldaps",
            "Unknown vlan10 gc",
            "Unknown vlan20 gc",
        ]
    );
    assert_eq!(left(&asked("vlan30 dc1 tcp/445 open")), ["Exposure vlan30 tcp/445"]);
}

#[test]
fn an_rpc_service_gets_the_dynamic_ports_unless_its_port_was_fixed() {
    let request = asked(
        "vlan20 dc1 icmp open
        vlan20 dc1 rpc-netlogon rejected by=10.0.0.1 port=49152
        vlan20 dc1 rpc-lsa rejected by=10.0.0.1 port=50001
        vlan20 dc2 icmp open
        vlan20 dc2 rpc-netlogon rejected by=10.0.0.1 port=5000",
    );
    assert_eq!(
        told(&request),
        [
            "path-filter at 10.0.0.1 | 10.77.20.0/24 > dc1 : 49152-65535/tcp=rpc-netlogon,rpc-lsa",
            "path-filter at 10.0.0.1 | 10.77.20.0/24 > dc2 : 5000/tcp=rpc-netlogon",
        ]
    );
}

#[test]
fn nothing_is_asked_for_that_would_open_what_policy_does_not_allow() {
    let beside = |lines: &str| {
        let request = asked(lines);
        let beside = request.left_out.iter().filter(|flow| flow.reason == Reason::WouldOpen);
        let beside = beside.map(|flow| {
            let beside = flow.beside.as_ref().unwrap();
            format!("{} for {} {} {:?}", flow.gap.service, beside.vantage, beside.service, beside.policy)
        });
        (beside.collect::<Vec<_>>(), request.rules.len())
    };
    // The range of one RPC service is that of another, which is denied.
    let (range, rules) = beside(
        "vlan30 dc1 icmp open
        vlan30 dc1 rpc-netlogon rejected by=10.0.0.1 port=49152
        vlan30 dc1 rpc-lsa rejected by=10.0.0.1 port=49153",
    );
    assert_eq!(
        (range, rules),
        (vec!["rpc-netlogon for vlan30 rpc-lsa Some(\"no-lsa-from-30\")".to_owned()], 0)
    );
    let (inside, _) = beside(
        "vlan30 dc1 icmp open
        vlan30 dc1 rpc-netlogon rejected by=10.0.0.1 port=49152
        vlan30 dc1 tcp/50000 closed",
    );
    assert_eq!(inside, ["rpc-netlogon for vlan30 tcp/50000 Some(\"no-lsa-from-30\")"]);
    // A port under two names; open already does not help what is denied.
    let (port, _) =
        beside("vlan30 dc1 icmp open\nvlan30 dc1 smb rejected by=10.0.0.1\nvlan30 dc1 tcp/445 open");
    assert_eq!(port, ["smb for vlan30 tcp/445 Some(\"no-lsa-from-30\")"]);
    // No policy speaks of it: blocked counts, open does not.
    let port = |outcome: &str| {
        beside(&format!(
            "vlan20 dc1 icmp open\nvlan20 dc1 smb rejected by=10.0.0.1\nvlan20 dc1 tcp/445 {outcome}"
        ))
    };
    assert_eq!(port("rejected by=10.0.0.1"), (vec!["smb for vlan20 tcp/445 None".to_owned()], 0));
    assert_eq!(port("missed").1, 0);
    assert_eq!(port("open"), (vec![], 1));
    // A vantage within the subnet, not the one around it.
    let (inside, rules) = beside(
        "vlan20 dc1 icmp open
        inside20 dc1 icmp open
        vlan20 dc1 gc rejected by=10.0.0.1
        vlan20 dc1 smb rejected by=10.0.0.1
        inside20 dc1 smb missed
        inside20 dc1 gc rejected by=10.0.0.1",
    );
    assert_eq!((inside, rules), (vec!["gc for inside20 gc Some(\"inside-stays-out\")".to_owned()], 1));
    // Policy denies it, and the sweep did not ask.
    let (unasked, _) = beside("vlan20 dc1 icmp open\nvlan20 dc1 gc rejected by=10.0.0.1");
    assert_eq!(unasked, ["gc for inside20 gc Some(\"inside-stays-out\")"]);
    let (unasked, _) =
        beside("vlan30 dc1 icmp open\nvlan30 dc1 rpc-netlogon rejected by=10.0.0.1 port=49152");
    assert_eq!(unasked, ["rpc-netlogon for vlan30 rpc-lsa Some(\"no-lsa-from-30\")"]);
    // It was asked, and the service has a port of its own.
    let (fixed, rules) = beside(
        "vlan30 dc1 icmp open
        vlan30 dc1 tcp/50000 closed
        vlan30 dc1 rpc-lsa rejected by=10.0.0.1 port=5000
        vlan30 dc1 rpc-netlogon rejected by=10.0.0.1 port=5001",
    );
    assert_eq!((fixed, rules), (vec![], 1));
}

#[test]
fn what_was_not_tested_is_counted() {
    let request = asked("vlan20 dc1 icmp open\nvlan20 dc1 smb missed\nvlan20 dc1 ldap failed");
    assert_eq!((request.untested, request.rules.len()), (2, 0));
    assert_eq!(Outcome::Missed.word(), "missed");
}
