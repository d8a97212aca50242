//! The profiles that every installation has. Users add their own in the inventory.

use crate::Service;

/// Profile of a sweep or a check for which none is named.
pub const DEFAULT_PROFILE: BuiltIn = BuiltIn::Ports;

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
        const DOMAIN_JOIN: [&str; 7] =
            ["ntp", "kpasswd-udp", "kpasswd-tcp", "rpc-netlogon", "rpc-lsa", "rpc-samr", "rpc-drs"];
        Service::catalogue()
            .filter(|service| {
                let name = service.name();
                let name = name.as_str();
                match self {
                    Self::Ports => PORTS.contains(&name),
                    Self::DomainJoin => PORTS.contains(&name) || DOMAIN_JOIN.contains(&name),
                    Self::Full => true,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_profile_is_complete_and_supported() {
        let services = BuiltIn::Ports.services();
        assert_eq!(services.len(), 12);
        assert!(services.iter().all(|s| s.is_supported()));
    }

    #[test]
    fn join_profile_has_what_its_list_names() {
        assert_eq!(BuiltIn::DomainJoin.services().len(), 19);
    }
}
