use super::*;

fn found() -> SweepGaps {
    let gap = |kind, service, cause, group: Option<usize>| {
        serde_json::json!({
            "kind": kind, "policy": "servers", "vantage": "vlan20", "target": "dc1", "address": "10.0.0.10",
            "service": service, "transport": "tcp", "port": 445, "expected": "allow", "outcome": "filtered",
            "cause": cause, "by": null, "between": null, "since": null, "control": null, "group": group,
        })
    };
    let control = serde_json::json!({
        "kind": "same-service", "vantage": "vlan10", "target": "dc1", "address": "10.0.0.10", "service": "smb",
    });
    serde_json::from_value(serde_json::json!({
        "sweep": {
            "id": 3, "state": "complete", "profile": "ports", "started_at": "2026-11-20T02:00:00Z",
            "finished_at": "2026-11-20T02:01:00Z", "planned": 9, "observed": 9, "missed": 0,
        },
        "gaps": [
            gap("gap", "smb", "path-filter", Some(0)),
            gap("gap", "ldap", "path-filter", Some(0)),
            gap("gap", "gc", "unknown", Some(1)),
            gap("exposure", "ldaps", "unknown", None),
        ],
        "groups": [
            {
                "cause": "path-filter", "outcome": "filtered", "by": null, "control": control, "flows": 2,
                "between": { "last_hop": "10.0.20.1", "next_hop": "10.0.254.2" }, "vantages": ["vlan20"],
                "targets": ["dc1"], "services": ["ldap", "smb"],
            },
            {
                "cause": "unknown", "outcome": "filtered", "by": null, "control": null, "flows": 1,
                "between": { "last_hop": "10.0.254.2", "next_hop": "10.0.0.10", "is_end": true },
                "vantages": ["vlan20"], "targets": ["dc1"], "services": ["gc"],
            },
        ],
        "policies": [
            { "policy": "servers", "expect": "allow", "matched": 9, "decided": 9, "unswept": ["ntp"], "idle": null },
            { "policy": "late", "expect": "deny", "matched": 2, "decided": 0, "unswept": [], "idle": "shadowed" },
        ],
        "untested": 1,
        "unspoken": 4,
    }))
    .unwrap()
}

#[test]
fn the_table_reads_like_a_report() {
    let found = found();
    let text = report(&found, &policies(&found.gaps, &PlaceArgs::default()));
    let expected = "\
sweep 3 complete, profile ports, started 2026-11-20 02:00:00Z: 9 flows planned, 9 observed, 0 missed

1. path-filter between 10.0.20.1 and 10.0.254.2: 2 flows are filtered from vlan20 to dc1: ldap, smb (dc1 smb from vlan10 is open, so the service works)
     vlan20  dc1  10.0.0.10  smb   445/tcp  filtered  policy servers
     vlan20  dc1  10.0.0.10  ldap  445/tcp  filtered  policy servers

2. unknown at 10.0.254.2 or at the target: 1 flow is filtered from vlan20 to dc1: gc (no open flow proves more)
     vlan20  dc1  10.0.0.10  gc  445/tcp  filtered  policy servers

exposed: 1 flow is open that policies deny
     vlan20  dc1  10.0.0.10  ldaps  445/tcp  filtered  policy servers

policy servers: the sweep did not test ntp
policy late decides nothing: policies before it in the inventory decide all of its flows
9 flows: 3 blocked that policies allow, 1 open that policies deny, 1 untested; 4 without policy
";
    assert_eq!(text, expected);
}

#[test]
fn csv_leaves_empty_what_is_not_there() {
    let csv = output::csv(GAPS, &found().gaps.gaps);
    assert_eq!(csv.lines().count(), 5);
    let last = "exposure,servers,vlan20,dc1,10.0.0.10,ldaps,tcp,445,allow,filtered,unknown,,,,,,";
    assert_eq!(csv.lines().last().unwrap(), last);
}

#[test]
fn gaps_count_more_than_a_sweep_that_is_not_complete() {
    let mut found = found();
    found.sweep.state = sekisho_model::SweepState::Partial;
    assert_eq!(end(&found), Exit::Found);
    found.gaps.gaps.clear();
    assert_eq!(end(&found), Exit::Incomplete);
    found.sweep.state = sekisho_model::SweepState::Complete;
    assert_eq!(end(&found), Exit::Fine);
}

#[test]
fn an_inventory_without_policies_is_told_so() {
    assert!(policies(&Gaps::default(), &PlaceArgs::default())[0].contains("[[policy]]"));
}

#[test]
fn what_policies_do_elsewhere_is_not_judged_from_one_place() {
    let here = PlaceArgs { vantage: Some("vlan20".to_owned()), ..PlaceArgs::default() };
    assert_eq!(policies(&found().gaps, &here), [""; 0]);
    assert!(policies(&Gaps::default(), &here)[0].contains("[[policy]]"));
}
