//! The profiles that every installation has. Users add their own in the inventory.

use crate::{CheckKind, Need, Service};

/// Profile of a sweep or a check for which none is named.
pub const DEFAULT_PROFILE: BuiltIn = BuiltIn::DomainJoin;

/// A profile that the product defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    /// The port table of a domain join, each port and transport.
    Ports,
    /// What a member needs to join and to stay joined.
    DomainJoin,
    /// Everything.
    Full,
}

impl BuiltIn {
    /// Every built-in profile.
    pub const ALL: [Self; 3] = [Self::Ports, Self::DomainJoin, Self::Full];

    /// The name in the inventory and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::DomainJoin => "domain-join",
            Self::Full => "full",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// The services of the profile, in the order of tables.
    #[must_use]
    pub fn services(self) -> Vec<Service> {
        const PORTS: [&str; 12] = [
            "icmp",
            "dns-udp",
            "dns-tcp",
            "kerberos-udp",
            "kerberos-tcp",
            "rpc-epm",
            "ldap",
            "cldap",
            "smb",
            "ldaps",
            "gc",
            "gc-ssl",
        ];
        Service::catalogue()
            .filter(|service| match self {
                Self::Ports => PORTS.contains(&service.name().as_str()),
                Self::DomainJoin => service.need() != Need::Optional,
                Self::Full => true,
            })
            .collect()
    }

    /// The checks of the vantage that belong to the profile, in the order of tables.
    ///
    /// [`CheckKind::ComputerAccount`] is done for names that were given only, [`CheckKind::JoinRights`] with credentials
    /// only.
    #[must_use]
    pub const fn checks(self) -> &'static [CheckKind] {
        match self {
            Self::Ports => &[],
            Self::DomainJoin | Self::Full => CheckKind::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_complete() {
        assert_eq!(BuiltIn::Ports.services().len(), 12);
        assert_eq!(BuiltIn::DomainJoin.services().len(), 19);
        assert_eq!(BuiltIn::Full.services().len(), 25);
        assert_eq!(BuiltIn::DomainJoin.checks().len(), 7);
    }

    #[test]
    fn a_join_has_what_is_required_or_recommended_and_no_more() {
        let join = BuiltIn::DomainJoin.services();
        for service in Service::catalogue() {
            assert_eq!(join.contains(&service), service.need() != Need::Optional, "{service}");
        }
    }
}
