//! The probe's own machine: what on it may be in the way of a join, and what a reader of the other checks wants to know.

use std::net::IpAddr;

use sekisho_model::{CheckStatus, Facts};

use super::judgement::Judgement;

/// Largest MTU, octets, that is taken for a tunnel's: large Kerberos and LDAP messages are cut or vanish there.
pub const SMALL_MTU: u32 = 1_300;

/// A network interface that is up, other than loopback.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Largest packet, octets; `None`: not readable.
    pub mtu: Option<u32>,
    /// Addresses.
    pub addresses: Vec<IpAddr>,
}

/// What the kernel says of its clock (adjtimex(2)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clock {
    /// A time service keeps it right.
    Synchronised {
        /// Largest error that the service admits, microseconds.
        max_error_us: i64,
    },
    /// No time service has told the kernel that it is right.
    Unsynchronised,
    /// It cannot be asked; why.
    Unreadable(String),
}

/// What this host's packet filter does to what it sends itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firewall {
    /// It cannot be read; why.
    Unreadable(String),
    /// It was read.
    Read {
        /// Chains on the way out that drop what no rule accepts, as "family table chain".
        dropping: Vec<String>,
        /// Rules on the way out that drop or reject.
        rules: usize,
    },
}

/// All that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Host name.
    pub name: String,
    /// Full host name, where there is one.
    pub full_name: Option<String>,
    /// Interfaces.
    pub interfaces: Vec<Interface>,
    /// Interface of the default route.
    pub default: Option<String>,
    /// Resolvers, in the order of asking.
    pub resolvers: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// The clock.
    pub clock: Clock,
    /// Time services that run here.
    pub time_services: Vec<String>,
    /// The packet filter.
    pub firewall: Firewall,
    /// What lies here of a member of a domain.
    pub membership: Vec<String>,
    /// Kerberos realm that is configured.
    pub realm: Option<String>,
}

/// Judges what was seen.
#[must_use]
pub fn judge(seen: &Seen) -> (CheckStatus, Facts) {
    use CheckStatus::{Problem, Unknown, Warning};
    let mut judgement = Judgement::default();
    judgement.text("host", &seen.name);
    judgement.text("full-name", seen.full_name.as_deref().unwrap_or_default());
    judgement.list("search", &seen.search);
    judgement.list("time-services", &seen.time_services);
    judgement.list("membership", &seen.membership);
    judgement.text("realm", seen.realm.as_deref().unwrap_or_default());
    let resolvers: Vec<String> = seen.resolvers.iter().map(IpAddr::to_string).collect();
    judgement.list("resolvers", &resolvers);
    if resolvers.is_empty() {
        judgement.find(Problem, "no-resolver", "this host has no resolver configured");
    }
    interfaces(&mut judgement, seen);
    match &seen.clock {
        Clock::Synchronised { max_error_us } => {
            judgement.fact("clock", "synchronised");
            judgement.fact("clock-max-error-us", *max_error_us);
        }
        Clock::Unsynchronised => {
            judgement.fact("clock", "unsynchronised");
            let detail = "no time service has told the kernel of this host that its clock is right";
            judgement.find(Warning, "clock-unsynchronised", detail);
        }
        Clock::Unreadable(why) => {
            judgement.fact("clock", "not-readable");
            judgement.find(Unknown, "clock-not-readable", why.as_str());
        }
    }
    firewall(&mut judgement, &seen.firewall);
    judgement.finish()
}

fn interfaces(judgement: &mut Judgement, seen: &Seen) {
    let texts: Vec<String> = seen.interfaces.iter().map(text).collect();
    judgement.list("interfaces", &texts);
    if texts.is_empty() {
        return judgement.find(CheckStatus::Unknown, "no-interface", "no interface of this host can be seen");
    }
    let Some(default) = &seen.default else { return };
    judgement.text("default-interface", default);
    let mtu = seen.interfaces.iter().find(|interface| interface.name == *default).and_then(|i| i.mtu);
    match mtu {
        None => judgement.find(CheckStatus::Unknown, "mtu-not-readable", ""),
        Some(mtu) => {
            judgement.fact("mtu", i64::from(mtu));
            if mtu <= SMALL_MTU {
                let detail = format!("the MTU of {default} is {mtu}: large answers are cut or lost");
                judgement.find(CheckStatus::Warning, "small-mtu", detail);
            }
        }
    }
}

fn text(interface: &Interface) -> String {
    let mtu = interface.mtu.map_or_else(|| "unknown".to_owned(), |mtu| mtu.to_string());
    let addresses = interface.addresses.iter().map(IpAddr::to_string);
    let words: Vec<String> = [interface.name.clone()].into_iter().chain(addresses).collect();
    format!("{} mtu {mtu}", words.join(" "))
}

fn firewall(judgement: &mut Judgement, firewall: &Firewall) {
    match firewall {
        Firewall::Unreadable(why) => {
            judgement.fact("firewall", "not-readable");
            judgement.text("firewall-detail", why);
        }
        Firewall::Read { dropping, rules } => {
            judgement.fact("firewall", if dropping.is_empty() { "passes" } else { "drops" });
            judgement.count("firewall-rules", *rules);
            judgement.find_any(CheckStatus::Warning, "local-firewall", "firewall-chains", dropping);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sekisho_model::Fact;

    use super::*;

    fn in_order() -> Seen {
        let eth0 = Interface {
            name: "eth0".into(),
            mtu: Some(1_500),
            addresses: vec!["10.77.10.20".parse().unwrap(), "fd00::20".parse().unwrap()],
        };
        Seen {
            name: "pc8".into(),
            full_name: Some("pc8.corp.example".into()),
            interfaces: vec![
                eth0,
                Interface { name: "tun0".into(), mtu: Some(1_280), addresses: Vec::new() },
            ],
            default: Some("eth0".into()),
            resolvers: vec!["10.77.1.10".parse().unwrap()],
            search: vec!["corp.example".into()],
            clock: Clock::Synchronised { max_error_us: 4_000 },
            time_services: vec!["chrony".into()],
            firewall: Firewall::Unreadable("only root may read it".into()),
            membership: Vec::new(),
            realm: None,
        }
    }

    #[test]
    fn a_host_in_order() {
        let (status, facts) = judge(&in_order());
        assert_eq!(status, CheckStatus::Ok, "{facts:?}");
        for (name, fact) in [
            ("host", Fact::from("pc8")),
            ("full-name", "pc8.corp.example".into()),
            ("interfaces", "eth0 10.77.10.20 fd00::20 mtu 1500, tun0 mtu 1280".into()),
            ("default-interface", "eth0".into()),
            ("mtu", 1_500.into()),
            ("resolvers", "10.77.1.10".into()),
            ("search", "corp.example".into()),
            ("clock", "synchronised".into()),
            ("clock-max-error-us", 4_000.into()),
            ("time-services", "chrony".into()),
            ("firewall", "not-readable".into()),
            ("firewall-detail", "only root may read it".into()),
        ] {
            assert_eq!(facts.get(name), Some(&fact), "{name}");
        }
        assert!(!facts.contains_key("membership") && !facts.contains_key("reason"));
    }

    #[test]
    fn what_can_be_wrong() {
        type Case = (fn(&mut Seen), CheckStatus, &'static str, (&'static str, Fact));
        let cases: Vec<Case> = vec![
            (
                |seen| seen.resolvers.clear(),
                CheckStatus::Problem,
                "no-resolver",
                ("detail", "this host has no resolver configured".into()),
            ),
            (
                |seen| seen.interfaces.clear(),
                CheckStatus::Unknown,
                "no-interface",
                ("clock", "synchronised".into()),
            ),
            (
                |seen| seen.interfaces[0].mtu = None,
                CheckStatus::Unknown,
                "mtu-not-readable",
                ("default-interface", "eth0".into()),
            ),
            (
                |seen| seen.interfaces[0].mtu = Some(1_300),
                CheckStatus::Warning,
                "small-mtu",
                ("mtu", 1_300.into()),
            ),
            (
                |seen| seen.default = Some("tun0".into()),
                CheckStatus::Warning,
                "small-mtu",
                ("mtu", 1_280.into()),
            ),
            (
                |seen| seen.clock = Clock::Unsynchronised,
                CheckStatus::Warning,
                "clock-unsynchronised",
                ("clock", "unsynchronised".into()),
            ),
            (
                |seen| seen.clock = Clock::Unreadable("not permitted".into()),
                CheckStatus::Unknown,
                "clock-not-readable",
                ("detail", "not permitted".into()),
            ),
            (
                |seen| seen.firewall = Firewall::Read { dropping: vec!["ip filter OUTPUT".into()], rules: 2 },
                CheckStatus::Warning,
                "local-firewall",
                ("firewall-chains", "ip filter OUTPUT".into()),
            ),
        ];
        for (change, status, reason, (fact, value)) in cases {
            let mut seen = in_order();
            change(&mut seen);
            let (got, facts) = judge(&seen);
            assert_eq!((got, facts.get("reason")), (status, Some(&reason.into())), "{reason}: {facts:?}");
            assert_eq!(facts.get(fact), Some(&value), "{reason}");
        }
    }

    #[test]
    fn facts_that_are_no_finding() {
        let mut seen = in_order();
        seen.default = None;
        seen.firewall = Firewall::Read { dropping: Vec::new(), rules: 3 };
        seen.membership = vec!["keytab".into(), "sssd".into()];
        seen.interfaces[0].mtu = Some(SMALL_MTU + 1);
        let (status, facts) = judge(&seen);
        assert_eq!(status, CheckStatus::Ok);
        assert_eq!((&facts["firewall"], &facts["firewall-rules"]), (&"passes".into(), &3.into()));
        assert_eq!(facts["membership"], "keytab, sssd".into());
        seen.default = Some("eth0".into());
        assert_eq!(judge(&seen).0, CheckStatus::Ok);
    }

    proptest! {
        #[test]
        fn never_ok_without_evidence(
            resolvers in any::<bool>(),
            interfaces in any::<bool>(),
            mtu in proptest::option::of(1_200_u32..1_600),
            clock in 0..3,
        ) {
            let mut seen = in_order();
            if !resolvers {
                seen.resolvers.clear();
            }
            if !interfaces {
                seen.interfaces.clear();
            } else {
                seen.interfaces[0].mtu = mtu;
            }
            seen.clock = match clock {
                0 => Clock::Synchronised { max_error_us: 1 },
                1 => Clock::Unsynchronised,
                _ => Clock::Unreadable(String::new()),
            };
            let good = resolvers && interfaces && mtu.is_some_and(|mtu| mtu > SMALL_MTU) && clock == 0;
            prop_assert_eq!(judge(&seen).0 == CheckStatus::Ok, good);
        }
    }
}
