//! What an ICMP error, seen by a socket, says about a flow: one table.
//!
//! Types and codes: RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1 (IPv4); RFC 4443 section 3 (IPv6).

use std::net::IpAddr;

use sekisho_model::Outcome;

/// An ICMP error as the kernel hands it out with `IP_RECVERR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IcmpError {
    /// ICMP or ICMPv6 type.
    pub kind: u8,
    /// ICMP or ICMPv6 code.
    pub code: u8,
    /// Who sent it.
    pub offender: IpAddr,
}

/// What an error means for the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// Nobody listens on the port: the target's own word, or somebody's in its name.
    Port,
    /// A rule forbids it.
    Prohibited,
    /// Routing found no way.
    NoRoute,
    /// Says nothing about the flow (fragmentation needed, source quench, redirects).
    Nothing,
}

impl IcmpError {
    const fn meaning(self) -> (Meaning, &'static str) {
        match (self.offender, self.kind, self.code) {
            (IpAddr::V4(_), 3, 0) => (Meaning::NoRoute, "network unreachable"),
            (IpAddr::V4(_), 3, 1) => (Meaning::NoRoute, "host unreachable"),
            (IpAddr::V4(_), 3, 2) => (Meaning::Prohibited, "protocol unreachable"),
            (IpAddr::V4(_), 3, 3) => (Meaning::Port, "port unreachable"),
            (IpAddr::V4(_), 3, 5) => (Meaning::NoRoute, "source route failed"),
            (IpAddr::V4(_), 3, 6) => (Meaning::NoRoute, "network unknown"),
            (IpAddr::V4(_), 3, 7) => (Meaning::NoRoute, "host unknown"),
            (IpAddr::V4(_), 3, 8) => (Meaning::NoRoute, "source host isolated"),
            (IpAddr::V4(_), 3, 9) => (Meaning::Prohibited, "network administratively prohibited"),
            (IpAddr::V4(_), 3, 10) => (Meaning::Prohibited, "host administratively prohibited"),
            (IpAddr::V4(_), 3, 11) => (Meaning::NoRoute, "network unreachable for this type of service"),
            (IpAddr::V4(_), 3, 12) => (Meaning::NoRoute, "host unreachable for this type of service"),
            (IpAddr::V4(_), 3, 13) => (Meaning::Prohibited, "administratively prohibited"),
            (IpAddr::V4(_), 3, 14) => (Meaning::Prohibited, "host precedence violation"),
            (IpAddr::V4(_), 3, 15) => (Meaning::Prohibited, "precedence cutoff in effect"),
            (IpAddr::V4(_), 11, 0) => (Meaning::NoRoute, "time to live exceeded in transit"),
            (IpAddr::V4(_), 11, 1) => (Meaning::NoRoute, "fragment reassembly time exceeded"),
            (IpAddr::V6(_), 1, 0) => (Meaning::NoRoute, "no route to destination"),
            (IpAddr::V6(_), 1, 1) => (Meaning::Prohibited, "administratively prohibited"),
            (IpAddr::V6(_), 1, 2) => (Meaning::NoRoute, "beyond scope of source address"),
            (IpAddr::V6(_), 1, 3) => (Meaning::NoRoute, "address unreachable"),
            (IpAddr::V6(_), 1, 4) => (Meaning::Port, "port unreachable"),
            (IpAddr::V6(_), 1, 5) => (Meaning::Prohibited, "source address failed ingress or egress policy"),
            (IpAddr::V6(_), 1, 6) => (Meaning::Prohibited, "reject route to destination"),
            (IpAddr::V6(_), 3, 0) => (Meaning::NoRoute, "hop limit exceeded in transit"),
            (IpAddr::V6(_), 3, 1) => (Meaning::NoRoute, "fragment reassembly time exceeded"),
            _ => (Meaning::Nothing, "unexpected ICMP error"),
        }
    }

    /// Words for people, with type and code.
    #[must_use]
    pub fn describe(self) -> String {
        format!("{} ({}/{})", self.meaning().1, self.kind, self.code)
    }

    /// Whether it says that the packet's time to live ran out: the answer to a TTL-limited attempt.
    #[must_use]
    pub const fn is_ttl_exceeded(self) -> bool {
        matches!((self.offender, self.kind, self.code), (IpAddr::V4(_), 11, 0) | (IpAddr::V6(_), 3, 0))
    }

    /// What the error makes of a flow to `target` sent from `local`; `None` when it says nothing.
    #[must_use]
    pub fn outcome(self, target: IpAddr, local: Option<IpAddr>) -> Option<Outcome> {
        match self.meaning().0 {
            Meaning::Nothing => None,
            Meaning::NoRoute => Some(Outcome::Unreachable),
            // This machine's own firewall speaks: the flow was not tested.
            Meaning::Port | Meaning::Prohibited if Some(self.offender) == local && local != Some(target) => {
                Some(Outcome::Failed)
            }
            Meaning::Port if self.offender == target => Some(Outcome::Closed),
            Meaning::Port | Meaning::Prohibited => Some(Outcome::Rejected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "10.77.1.10";

    fn outcome(kind: u8, code: u8, offender: &str) -> Option<Outcome> {
        let error = IcmpError { kind, code, offender: offender.parse().unwrap() };
        error.outcome(TARGET.parse().unwrap(), Some("10.77.20.20".parse().unwrap()))
    }

    #[test]
    fn a_port_unreachable_of_the_target_is_its_own_refusal() {
        assert_eq!(outcome(3, 3, TARGET), Some(Outcome::Closed));
    }

    #[test]
    fn a_refusal_by_another_device_is_a_rejection() {
        for code in [2, 3, 9, 10, 13, 14, 15] {
            assert_eq!(outcome(3, code, "10.77.20.1"), Some(Outcome::Rejected), "3/{code}");
        }
        assert_eq!(outcome(3, 13, TARGET), Some(Outcome::Rejected), "the target's own firewall");
    }

    #[test]
    fn routing_errors_are_not_refusals() {
        for code in [0, 1, 5, 6, 7, 8, 11, 12] {
            assert_eq!(outcome(3, code, "10.77.20.1"), Some(Outcome::Unreachable), "3/{code}");
        }
        assert_eq!(outcome(11, 0, "10.77.20.1"), Some(Outcome::Unreachable));
    }

    #[test]
    fn an_error_that_says_nothing_decides_nothing() {
        for (kind, code) in [(3, 4), (4, 0), (5, 1), (12, 0), (200, 7)] {
            assert_eq!(outcome(kind, code, "10.77.20.1"), None, "{kind}/{code}");
        }
    }

    #[test]
    fn this_machines_own_firewall_is_a_failed_test() {
        assert_eq!(outcome(3, 13, "10.77.20.20"), Some(Outcome::Failed));
    }
}
