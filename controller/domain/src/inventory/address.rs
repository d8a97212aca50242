//! Addresses and subnets, with errors that say how they are written.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// The address of one host: neither a group's nor nobody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostAddress(pub(super) IpAddr);

/// An address that is not one host's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not the address of one host")]
pub struct NotAHost(IpAddr);

impl TryFrom<IpAddr> for HostAddress {
    type Error = NotAHost;

    fn try_from(address: IpAddr) -> Result<Self, Self::Error> {
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        let mapped = matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if address.is_unspecified() || address.is_multicast() || broadcast || mapped {
            return Err(NotAHost(address));
        }
        Ok(Self(address))
    }
}

impl FromStr for HostAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: IpAddr =
            text.parse().map_err(|_| format!("{text:?} is not an address such as 10.77.1.10 or fd00::10"))?;
        Self::try_from(address).map_err(|error| error.to_string())
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A subnet without host bits.
pub(super) struct Subnet(pub(super) IpNet);

impl FromStr for Subnet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let subnet: IpNet = text.parse().map_err(|_| {
            format!("{text:?} is not a subnet; write it with its prefix length, such as 10.77.20.0/24")
        })?;
        let network = subnet.trunc();
        if subnet != network {
            return Err(format!("{subnet} is an address in a subnet; the subnet is {network}"));
        }
        Ok(Self(subnet))
    }
}
