use super::*;
use crate::sample::cells;

const INVENTORY: &str = r#"
[[domain]]
name = "corp.example"
[[vantage]]
name = "vlan10"
[[vantage]]
name = "vlan20"
[[vantage]]
name = "guests"
[[policy]]
name = "guests-stay-out"
from = { vantage = "guests" }
services = ["smb", "ldap"]
expect = "deny"
[[policy]]
name = "servers"
from = { vantage = "vlan20" }
services = ["smb", "ldap", "gc", "icmp"]
expect = "allow"
"#;

fn of(sweep: &str) -> Gaps {
    let inventory = Inventory::parse("test", INVENTORY).unwrap();
    gaps(&cells(sweep), &inventory, &Domains::new())
}

#[test]
fn each_row_of_the_table() {
    for (flow, outcome, kind, untested) in [
        ("vlan20 dc1 smb", "filtered", Some(GapKind::Gap), 0),
        ("vlan20 dc1 smb", "closed", Some(GapKind::Gap), 0),
        ("vlan20 dc1 smb", "open", None, 0),
        ("vlan20 dc1 smb", "missed", None, 1),
        ("vlan20 dc1 smb", "failed", None, 1),
        ("guests dc1 smb", "open", Some(GapKind::Exposure), 0),
        ("guests dc1 smb", "mute", None, 0),
        ("guests dc1 smb", "missed", None, 1),
    ] {
        let found = of(&format!("{flow} {outcome}"));
        let kinds: Vec<GapKind> = found.gaps.iter().map(|gap| gap.kind).collect();
        assert_eq!((kinds, found.untested), (Vec::from_iter(kind), untested), "{flow} {outcome}");
        assert_eq!(found.unspoken, 0);
    }
    let unspoken = of("vlan10 dc1 smb filtered\nguests dc1 gc open");
    assert_eq!((unspoken.gaps.len(), unspoken.unspoken), (0, 2));
}

#[test]
fn gaps_come_with_cause_and_control_by_group_and_exposures_after_them() {
    let found = of("guests dc1 smb open
        vlan20 dc1 gc closed rst-origin=target
        vlan20 dc1 icmp open
        vlan20 dc1 smb filtered last-hop=10.77.20.1 next-hop=10.77.254.2
        vlan20 dc1 ldap filtered last-hop=10.77.20.1 next-hop=10.77.254.2
        vlan10 dc1 ldap filtered last-hop=10.77.20.1 next-hop=10.77.254.2
        vlan10 dc1 smb open");
    let told: Vec<_> = found.gaps.iter().map(|gap| (gap.service.name(), gap.cause, gap.group)).collect();
    assert_eq!(
        told,
        [
            ("smb".to_owned(), Cause::PathFilter, Some(0)),
            ("ldap".to_owned(), Cause::PathFilter, Some(0)),
            ("gc".to_owned(), Cause::ServiceDown, Some(1)),
            ("smb".to_owned(), Cause::Unknown, None),
        ]
    );
    assert_eq!(found.groups.len(), 2);
    assert_eq!(found.groups[0].vantages, ["vlan20"], "what no policy speaks of is in no group");
    let control = found.gaps[0].control.as_ref().unwrap();
    assert_eq!((control.vantage.as_str(), control.service.name()), ("guests", "smb".to_owned()));
    let json = serde_json::to_value(&found.gaps[0]).unwrap();
    for (field, value) in [
        ("kind", serde_json::json!("gap")),
        ("policy", serde_json::json!("servers")),
        ("address", serde_json::json!("10.77.1.10")),
        ("transport", serde_json::json!("tcp")),
        ("port", serde_json::json!(445)),
        ("expected", serde_json::json!("allow")),
        ("outcome", serde_json::json!("filtered")),
        ("cause", serde_json::json!("path-filter")),
        ("by", serde_json::json!(null)),
        (
            "between",
            serde_json::json!({"last_hop": "10.77.20.1", "next_hop": "10.77.254.2", "is_end": false}),
        ),
        ("since", serde_json::json!(null)),
    ] {
        assert_eq!(json.get(field), Some(&value), "{field}");
    }
    assert_eq!(serde_json::to_value(GapKind::Exposure).unwrap(), GapKind::Exposure.word());
}
