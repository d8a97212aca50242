//! Reasons in words.

use super::{super::Beside, Reason, name};

impl Reason {
    /// A heading.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Middlebox => "A device on the way interferes",
            Self::WouldOpen => "The rule would open what policy does not allow",
            Self::NoSubnet => "The vantage has no subnet",
            Self::OtherFamily => "The vantage's subnet is of another IP family",
            Self::ServiceDown => "The service does not work",
            Self::HostDown => "The target is not there",
            Self::VantageDown => "The vantage reaches nothing",
            Self::Routing => "There is no way to the target",
            Self::Unknown => "Nothing proves an access list",
            Self::Exposure => "Open, though policy denies it",
        }
    }

    /// The rest of a sentence that begins with a number of flows.
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::Middlebox => {
                "left out, because something answers in the target's name or takes data out of connections: a SYN proxy, an inspection, another host. The port is open already; ask those who keep the device between the addresses below for an exception."
            }
            Self::WouldOpen => {
                "left out, because access lists know subnets and ports only, and the rule would open the flow in the last column as well. Allow that one by policy too, give its vantage a subnet of its own, or have the service moved to a fixed port."
            }
            Self::NoSubnet => {
                "left out, because there is no network to let in. Give the vantage its `subnet` in the inventory, and apply it."
            }
            Self::OtherFamily => {
                "left out, because an IPv4 network cannot be let in to an IPv6 address, nor the other way round. A vantage for the other family's subnet is needed in the inventory."
            }
            Self::ServiceDown => {
                "left out, because the target is reached and the service on it refuses or says nothing: no access list changes that. Start the service, or correct the policy."
            }
            Self::HostDown => {
                "left out, because the target answers nobody. Start it, or take it out of the inventory or DNS."
            }
            Self::VantageDown => {
                "left out, because nothing at all comes back to the vantage. Mend its network first."
            }
            Self::Routing => {
                "left out, because a router says that it knows no way. Ask for a route, not for a rule."
            }
            Self::Unknown => {
                "left out, because no open flow of the sweep proves what blocks. `sekisho gaps` shows what is known; more vantages, or a sweep of more services, can prove it."
            }
            Self::Exposure => "left out, because they are to be closed, and this request only opens.",
        }
    }
}

/// `ldap to dc1 from vlan20, which policy x denies`.
pub(super) fn beside(beside: &Beside) -> String {
    let policy = match &beside.policy {
        Some(policy) => format!("policy {} denies", name(policy)),
        None => "no policy allows".to_owned(),
    };
    format!("{} to {} from {}, which {policy}", beside.service, name(&beside.target), name(&beside.vantage))
}
