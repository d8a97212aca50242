//! How large packets may be to a domain controller and back, and whether larger ones vanish.
//!
//! A link that is narrower than its neighbours must say so (RFC 1191, RFC 8201). Where that message is filtered, packets
//! that may not be cut vanish, and a connection stalls at its first full segment: handshakes and small replies work.

use std::net::IpAddr;

use sekisho_model::{CheckStatus, Facts};

mod choice;
mod padding;
mod search;

pub use choice::{Sizes, choose, sizes};
pub use padding::{as_request, root_dse};
pub use search::Search;

/// A path of at most this many octets is narrower than tunnels usually leave it.
const NARROW: u32 = 1_300;

/// What became of large packets in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passage {
    /// They arrive.
    Ok,
    /// None arrives, and small ones do.
    Lost,
    /// Nothing could be used to find out.
    #[default]
    Untested,
}

impl Passage {
    /// The word in facts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Lost => "lost",
            Self::Untested => "untested",
        }
    }
}

/// Both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// From this host.
    pub to_target: Passage,
    /// To this host.
    pub from_target: Passage,
}

impl Ways {
    fn any(self, passage: Passage) -> bool {
        self.to_target == passage || self.from_target == passage
    }
}

/// What was seen. Sizes are octets of a packet with all its headers, where nothing else is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What the first link carries.
    pub interface_mtu: Option<u32>,
    /// Largest segment of a connection without headers, as both ends agreed on it or the path allows.
    pub mss: Option<u32>,
    /// Largest packet that passes.
    pub path_mtu: Option<u32>,
    /// Largest datagram that passes to the target, where larger ones vanish.
    pub udp_largest: Option<u32>,
    /// The device that said that a packet was too large.
    pub mtu_hop: Option<IpAddr>,
    /// Datagrams that must not be cut.
    pub udp: Ways,
    /// Datagrams in fragments.
    pub fragments: Ways,
    /// Connections.
    pub tcp: Ways,
    /// Why UDP was not tested, in a word.
    pub udp_trouble: Option<&'static str>,
    /// Why TCP was not tested, in a word.
    pub tcp_trouble: Option<&'static str>,
}

impl Seen {
    fn ways(&self) -> [(&'static str, Ways); 3] {
        [("udp", self.udp), ("fragments", self.fragments), ("tcp", self.tcp)]
    }

    /// Full-sized packets pass both ways, whichever protocol shows it.
    fn passes(&self) -> bool {
        let ok = |way: fn(&Ways) -> Passage| [self.udp, self.tcp].iter().any(|ways| way(ways) == Passage::Ok);
        ok(|ways| ways.to_target) && ok(|ways| ways.from_target)
    }

    /// What the path carries, or at least what the ends of a connection keep to.
    fn width(&self) -> Option<u32> {
        // An MSS leaves out the headers of IPv4 and TCP, RFC 9293 3.7.1; IPv6 has 20 octets more, which changes no verdict.
        self.path_mtu.or_else(|| self.mss.map(|mss| mss.saturating_add(40)))
    }
}

/// Judges what was seen.
#[must_use]
pub fn judge(seen: &Seen) -> (CheckStatus, Facts) {
    let mut facts = facts(seen);
    let narrow = seen.width().is_some_and(|width| width <= NARROW);
    let all = seen.ways();
    let (status, reason) = if seen.tcp.any(Passage::Lost) {
        facts.insert("black-hole-direction".to_owned(), direction(seen.tcp).into());
        (CheckStatus::Problem, "tcp-black-hole")
    } else if seen.udp.any(Passage::Lost) {
        facts.insert("black-hole-direction".to_owned(), direction(seen.udp).into());
        (CheckStatus::Warning, "udp-black-hole")
    } else if seen.fragments.any(Passage::Lost) {
        (CheckStatus::Warning, "fragments-dropped")
    } else if narrow {
        (CheckStatus::Warning, "narrow-path")
    } else if seen.passes() {
        return (CheckStatus::Ok, facts);
    } else if all.iter().any(|(_, ways)| ways.any(Passage::Ok)) {
        (CheckStatus::Unknown, "partly-untested")
    } else {
        (CheckStatus::Unknown, "nothing-answers")
    };
    facts.insert("reason".to_owned(), reason.into());
    (status, facts)
}

fn direction(ways: Ways) -> &'static str {
    match (ways.to_target == Passage::Lost, ways.from_target == Passage::Lost) {
        (true, true) => "both",
        (true, false) => "to-target",
        (false, _) => "from-target",
    }
}

fn facts(seen: &Seen) -> Facts {
    let mut facts = Facts::new();
    for (name, ways) in seen.ways() {
        facts.insert(format!("{name}-to-target"), ways.to_target.word().into());
        facts.insert(format!("{name}-from-target"), ways.from_target.word().into());
    }
    for (name, size) in [
        ("interface-mtu", seen.interface_mtu),
        ("mss", seen.mss),
        ("path-mtu", seen.path_mtu),
        ("udp-largest", seen.udp_largest),
    ] {
        if let Some(size) = size {
            facts.insert(name.to_owned(), i64::from(size).into());
        }
    }
    for (name, why) in [("udp", seen.udp_trouble), ("tcp", seen.tcp_trouble)] {
        if let Some(why) = why {
            facts.insert(name.to_owned(), why.into());
        }
    }
    if let Some(hop) = seen.mtu_hop {
        facts.insert("mtu-hop".to_owned(), hop.to_string().into());
    }
    facts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OK: Ways = Ways { to_target: Passage::Ok, from_target: Passage::Ok };
    const LOST: Ways = Ways { to_target: Passage::Lost, from_target: Passage::Lost };
    const UNTESTED: Ways = Ways { to_target: Passage::Untested, from_target: Passage::Untested };

    fn clean() -> Seen {
        Seen {
            interface_mtu: Some(1_500),
            mss: Some(1_460),
            path_mtu: Some(1_500),
            udp: OK,
            fragments: OK,
            tcp: OK,
            ..Seen::default()
        }
    }

    fn reason(facts: &Facts) -> String {
        facts.get("reason").map(ToString::to_string).unwrap_or_default()
    }

    #[test]
    fn each_sight_has_its_status() {
        let to = |passage| Ways { to_target: passage, from_target: Passage::Ok };
        let from = |passage| Ways { to_target: Passage::Ok, from_target: passage };
        let only_to = Ways { to_target: Passage::Ok, from_target: Passage::Untested };
        for (seen, status, why) in [
            (clean(), CheckStatus::Ok, ""),
            (Seen { udp: UNTESTED, fragments: UNTESTED, ..clean() }, CheckStatus::Ok, ""),
            (Seen { tcp: UNTESTED, mss: None, ..clean() }, CheckStatus::Ok, ""),
            (Seen { tcp: from(Passage::Untested), ..clean() }, CheckStatus::Ok, ""),
            (Seen { tcp: to(Passage::Lost), ..clean() }, CheckStatus::Problem, "tcp-black-hole"),
            (
                Seen { tcp: LOST, udp: LOST, fragments: LOST, ..clean() },
                CheckStatus::Problem,
                "tcp-black-hole",
            ),
            (Seen { udp: from(Passage::Lost), ..clean() }, CheckStatus::Warning, "udp-black-hole"),
            (Seen { fragments: to(Passage::Lost), ..clean() }, CheckStatus::Warning, "fragments-dropped"),
            (Seen { path_mtu: Some(1_300), ..clean() }, CheckStatus::Warning, "narrow-path"),
            (Seen { path_mtu: Some(1_301), ..clean() }, CheckStatus::Ok, ""),
            (Seen { path_mtu: None, mss: Some(1_260), ..clean() }, CheckStatus::Warning, "narrow-path"),
            (
                Seen { tcp: only_to, udp: UNTESTED, fragments: UNTESTED, ..clean() },
                CheckStatus::Unknown,
                "partly-untested",
            ),
            (
                Seen { tcp: UNTESTED, udp: UNTESTED, fragments: OK, ..clean() },
                CheckStatus::Unknown,
                "partly-untested",
            ),
            (Seen::default(), CheckStatus::Unknown, "nothing-answers"),
        ] {
            let (judged, facts) = judge(&seen);
            assert_eq!((judged, reason(&facts).as_str()), (status, why), "{seen:?}");
        }
    }

    #[test]
    fn the_direction_of_a_black_hole_is_told() {
        for (tcp, direction) in [
            (Ways { to_target: Passage::Lost, from_target: Passage::Ok }, "to-target"),
            (Ways { to_target: Passage::Ok, from_target: Passage::Lost }, "from-target"),
            (Ways { to_target: Passage::Untested, from_target: Passage::Lost }, "from-target"),
            (LOST, "both"),
        ] {
            let (_, facts) = judge(&Seen { tcp, ..clean() });
            assert_eq!(facts["black-hole-direction"].to_string(), direction, "{tcp:?}");
        }
        assert!(!judge(&clean()).1.contains_key("black-hole-direction"));
    }

    #[test]
    fn facts_say_what_was_seen() {
        let seen = Seen {
            mtu_hop: Some("10.77.20.1".parse().unwrap()),
            udp_largest: Some(1_280),
            udp: Ways { to_target: Passage::Lost, from_target: Passage::Untested },
            tcp_trouble: Some("refused"),
            ..clean()
        };
        let (_, facts) = judge(&seen);
        for (name, value) in [
            ("interface-mtu", "1500"),
            ("mss", "1460"),
            ("path-mtu", "1500"),
            ("udp-largest", "1280"),
            ("mtu-hop", "10.77.20.1"),
            ("udp-to-target", "lost"),
            ("udp-from-target", "untested"),
            ("fragments-to-target", "ok"),
            ("tcp-from-target", "ok"),
            ("tcp", "refused"),
        ] {
            assert_eq!(facts[name].to_string(), value, "{name}");
        }
        assert!(!facts.contains_key("udp"));
    }

    fn ways() -> impl Strategy<Value = Ways> {
        let passage = || prop_oneof![Just(Passage::Ok), Just(Passage::Lost), Just(Passage::Untested)];
        (passage(), passage()).prop_map(|(to_target, from_target)| Ways { to_target, from_target })
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        let size = || proptest::option::of(0_u32..70_000);
        (size(), size(), ways(), ways(), ways()).prop_map(|(mss, path_mtu, udp, fragments, tcp)| Seen {
            mss,
            path_mtu,
            udp,
            fragments,
            tcp,
            ..Seen::default()
        })
    }

    proptest! {
        #[test]
        fn ok_needs_full_packets_both_ways(seen in any_seen()) {
            let (status, facts) = judge(&seen);
            if status == CheckStatus::Ok {
                prop_assert!([seen.udp, seen.tcp].iter().any(|ways| ways.to_target == Passage::Ok));
                prop_assert!([seen.udp, seen.tcp].iter().any(|ways| ways.from_target == Passage::Ok));
                prop_assert!(!seen.ways().iter().any(|(_, ways)| ways.any(Passage::Lost)));
            }
            prop_assert_eq!(status == CheckStatus::Ok, !facts.contains_key("reason"));
        }

        /// A test that could not be made accuses nobody.
        #[test]
        fn what_is_untested_is_no_problem(seen in any_seen(), kept: [bool; 6]) {
            let mut fewer = seen.clone();
            let passages = [&mut fewer.udp, &mut fewer.fragments, &mut fewer.tcp]
                .into_iter()
                .flat_map(|ways| [&mut ways.to_target, &mut ways.from_target]);
            for (passage, kept) in passages.zip(kept) {
                if !kept {
                    *passage = Passage::Untested;
                }
            }
            if judge(&fewer).0 == CheckStatus::Problem {
                prop_assert_eq!(judge(&seen).0, CheckStatus::Problem);
            }
        }
    }
}
