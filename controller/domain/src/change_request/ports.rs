//! Ports that an access list opens for a service.

use std::{fmt, ops::RangeInclusive};

use sekisho_model::{Service, Transport};
use serde::{Deserialize, Serialize};

/// The dynamic ports of Windows since Vista and Server 2008, from which RPC services get theirs at each start (Microsoft
/// Learn, "How to configure a firewall for Active Directory domains and trusts").
pub const DYNAMIC: RangeInclusive<u16> = 49152..=65535;

/// A port, a range of them, or ICMP echo, which has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ports {
    /// Their transport.
    pub transport: Transport,
    /// The first one.
    pub first_port: Option<u16>,
    /// The last one.
    pub last_port: Option<u16>,
}

impl Ports {
    /// What has to be open for a service that was seen on `port`. An RPC service that was seen on a dynamic port has another
    /// one after the next start of its server: it needs their whole range. Elsewhere its port was fixed by somebody.
    #[must_use]
    pub fn of(service: Service, port: Option<u16>) -> Self {
        let transport = service.transport();
        let (first_port, last_port) = match (service.port(), transport) {
            (Some(port), _) => (Some(port), Some(port)),
            (None, Transport::Icmp) => (None, None),
            (None, Transport::Tcp | Transport::Udp) => match port {
                Some(fixed) if !DYNAMIC.contains(&fixed) => (Some(fixed), Some(fixed)),
                Some(_) | None => (Some(*DYNAMIC.start()), Some(*DYNAMIC.end())),
            },
        };
        Self { transport, first_port, last_port }
    }

    /// Whether they are the dynamic ports.
    #[must_use]
    pub fn is_dynamic(self) -> bool {
        self.first_port == Some(*DYNAMIC.start()) && self.last_port == Some(*DYNAMIC.end())
    }

    /// Whether both have a port in common.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.transport == other.transport
            && self.first_port <= other.last_port
            && other.first_port <= self.last_port
    }

    /// The ports alone, `445` or `49152-65535`; nothing for ICMP.
    #[must_use]
    pub fn numbers(self) -> Option<String> {
        let (first, last) = self.first_port.zip(self.last_port)?;
        Some(if first == last { first.to_string() } else { format!("{first}-{last}") })
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.numbers() {
            Some(numbers) => write!(f, "{numbers}/{}", self.transport),
            None => write!(f, "{} echo", self.transport),
        }
    }
}
