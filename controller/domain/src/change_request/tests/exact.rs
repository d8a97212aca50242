//! Rules against brute force.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{super::join::join, *};
use crate::inventory::Expectation;

const VANTAGES: [&str; 6] = ["vlan10", "vlan20", "vlan30", "inside20", "nowhere", "six"];
const SERVICES: [&str; 11] = [
    "icmp",
    "smb",
    "tcp/445",
    "tcp/50000",
    "ldap",
    "gc",
    "rpc-netlogon",
    "rpc-lsa",
    "rpc-drs",
    "kerberos-udp",
    "adws",
];
const OUTCOMES: [&str; 9] = [
    "open",
    "open",
    "rejected by=10.0.0.1",
    "rejected by=10.0.0.1",
    "rejected by=10.0.0.2",
    "filtered last-hop=10.0.0.3 next-hop=10.0.0.4",
    "closed rst-origin=target",
    "missed",
    "mute syn-proxy",
];

fn sweep() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    let flows = VANTAGES.len() * 2 * SERVICES.len();
    proptest::collection::vec((0..OUTCOMES.len(), 0..3_usize, 0..4_usize), flows)
}

fn lines(sweep: &[(usize, usize, usize)]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut drawn = sweep.iter();
    for vantage in VANTAGES {
        for target in ["dc1", "dc2"] {
            for service in SERVICES {
                let (outcome, port, absent) = drawn.next().unwrap();
                let port = match (service.starts_with("rpc-"), port) {
                    (true, 0) => " port=49152",
                    (true, 1) => " port=5000",
                    _ => "",
                };
                if *absent > 0 {
                    lines.push(format!("{vantage} {target} {service} {}{port}", OUTCOMES[*outcome]));
                }
            }
        }
    }
    lines
}

/// All that a rule opens.
fn expanded(rule: &Rule) -> BTreeSet<Opening> {
    let mut all = BTreeSet::new();
    for source in &rule.sources {
        for destination in &rule.destinations {
            for service in &rule.services {
                all.insert(Opening {
                    source: source.network,
                    destination: destination.address,
                    ports: service.ports,
                });
            }
        }
    }
    all
}

fn of(gap: &Gap, inventory: &Inventory) -> Opening {
    let vantage = inventory.vantages.iter().find(|vantage| vantage.name.as_str() == gap.vantage).unwrap();
    Opening {
        source: vantage.subnet.unwrap(),
        destination: gap.address,
        ports: Ports::of(gap.service, gap.port),
    }
}

proptest! {
    #[test]
    fn rules_open_exactly_the_gaps(sweep in sweep(), seed in any::<u64>()) {
        let lines = lines(&sweep);
        let (cells, found) = swept(&lines.join("\n"));
        let (inventory, domains) = (inventory(), Domains::new());
        let request = change_request(&found.gaps, found.untested, &cells, &inventory, &domains);

        // Each gap is in one rule, or left out once.
        let mut told: Vec<_> = request.rules.iter().flat_map(|rule| &rule.flows).map(key).collect();
        told.extend(request.left_out.iter().map(|flow| key(&flow.gap)));
        told.sort();
        let mut all: Vec<_> = found.gaps.iter().map(key).collect();
        all.sort();
        prop_assert_eq!(told, all);

        for rule in &request.rules {
            // What it opens is what its gaps need.
            let needed: BTreeSet<Opening> = rule.flows.iter().map(|gap| of(gap, &inventory)).collect();
            prop_assert_eq!(&expanded(rule), &needed);
            for gap in &rule.flows {
                prop_assert_eq!(gap.expected, Expectation::Allow);
                prop_assert!(matches!(gap.cause, Cause::PathFilter | Cause::HostFilter));
                prop_assert_eq!((gap.cause, Place::of(gap)), (rule.cause, rule.place));
            }
            // Whatever else of the sweep it lets through is allowed, or was open and nobody's business.
            for cell in &cells {
                let subnet = inventory.vantages.iter().find(|v| v.name.as_str() == cell.vantage).unwrap().subnet;
                let is_open = expanded(rule).iter().any(|opening| {
                    subnet.is_some_and(|subnet| opening.source.contains(&subnet))
                        && opening.destination == cell.address
                        && opening.ports.meets(Ports::of(cell.service, cell.port))
                });
                let policies = crate::policy::Policies::new(&inventory, &domains);
                let expect = policies.deciding(cell).map(|policy| policy.expect);
                let is_fine = expect == Some(Expectation::Allow) || (expect.is_none() && cell.outcome == Outcome::Open);
                prop_assert!(!is_open || is_fine, "rule {} opens {cell:?}", rule.number);
            }
        }

        // No two rules of a place open the same, nor could be one.
        for (_, rules) in request.places() {
            for (place, one) in rules.iter().enumerate() {
                for other in &rules[place + 1..] {
                    prop_assert!(expanded(one).is_disjoint(&expanded(other)));
                    let same = [
                        one.sources.iter().map(|s| s.network).eq(other.sources.iter().map(|s| s.network)),
                        one.destinations.iter().map(|d| d.address).eq(other.destinations.iter().map(|d| d.address)),
                        one.services.iter().map(|s| s.ports).eq(other.services.iter().map(|s| s.ports)),
                    ];
                    prop_assert!(same.iter().filter(|same| **same).count() < 2, "{one:?} {other:?}");
                }
            }
        }

        // Any order of the input gives the same.
        let (mut gaps, mut shuffled) = (found.gaps.clone(), cells.clone());
        gaps.sort_by_key(|gap| (seed ^ u64::from(gap.port.unwrap_or(7))).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        shuffled.reverse();
        prop_assert_eq!(change_request(&gaps, found.untested, &shuffled, &inventory, &domains), request);
    }
}

/// Every set of openings of 2 networks, 2 addresses and 3 services, beside the fewest rules that could open it: one too many
/// in 96 of 4096, where what is asked for lies crosswise in all three things.
#[test]
fn rules_are_as_few_as_brute_force_finds() {
    let sources = ["10.0.1.0/24", "10.0.2.0/24"].map(|text| text.parse::<IpNet>().unwrap());
    let destinations = ["10.1.0.1", "10.1.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
    let ports = ["smb", "ldap", "gc"].map(|name| Ports::of(name.parse().unwrap(), None));
    let all: Vec<Opening> = (0..12)
        .map(|place| Opening {
            source: sources[place / 6],
            destination: destinations[place / 3 % 2],
            ports: ports[place % 3],
        })
        .collect();
    let boxes: Vec<u16> = (1..4_u16)
        .flat_map(|s| (1..4_u16).flat_map(move |d| (1..8_u16).map(move |p| (s, d, p))))
        .map(|(s, d, p)| {
            let bit = |place: u16| s >> (place / 6) & 1 & (d >> (place / 3 % 2)) & (p >> (place % 3)) & 1;
            (0..12).map(|place| bit(place) << place).sum()
        })
        .collect();
    let mut fewest = vec![usize::MAX; 1 << 12];
    fewest[0] = 0;
    for set in 0..1_usize << 12 {
        for rule in boxes.iter().map(|rule| usize::from(*rule)) {
            if set & rule == 0 && fewest[set] < usize::MAX {
                fewest[set | rule] = fewest[set | rule].min(fewest[set] + 1);
            }
        }
    }
    let mut more = 0;
    for (set, fewest) in fewest.iter().enumerate() {
        let openings: BTreeSet<Opening> = all
            .iter()
            .enumerate()
            .filter(|(place, _)| set >> place & 1 == 1)
            .map(|(_, opening)| *opening)
            .collect();
        let joined = join(openings.clone());
        assert!((*fewest..=fewest + 1).contains(&joined.len()), "{set:012b} {joined:?}");
        more += joined.len() - fewest;
        // Joining again what came out of it changes nothing.
        assert_eq!(join(openings), joined);
    }
    assert!(more <= 96, "{more} of 4096");
}
