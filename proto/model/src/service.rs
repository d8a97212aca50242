//! What is tested on a target.

use serde::{Deserialize, Serialize};

/// Transport protocol of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// ICMP echo.
    Icmp,
}

impl Transport {
    /// The word used in JSON and on the terminal.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// The exchange that proves a service to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// ICMP echo request and reply.
    Echo,
    /// A DNS query and its response.
    Dns,
    /// An AS-REQ without pre-authentication, and a KRB-ERROR or AS-REP.
    Kerberos,
    /// DCE/RPC bind to the endpoint mapper, and its acknowledgement.
    EndpointMapper,
    /// An anonymous read of the rootDSE.
    Ldap,
    /// The same inside TLS.
    Ldaps,
    /// A netlogon ping over UDP.
    Cldap,
    /// SMB2 NEGOTIATE and its response.
    Smb,
    /// An SNTP request and its reply.
    Ntp,
    /// A password change that cannot be understood, and the refusal.
    Kpasswd,
    /// The endpoint mapper's answer where the interface listens, and a bind to it there.
    Rpc(RpcInterface),
    /// The .NET Message Framing preamble of Active Directory Web Services, and its acknowledgement.
    Adws,
    /// An HTTP request to WS-Management, and its response.
    Winrm,
    /// The same inside TLS.
    WinrmTls,
    /// A NetBIOS node status request, and its response.
    NetbiosNs,
    /// A NetBIOS datagram query, and its response.
    NetbiosDgm,
    /// A NetBIOS session request, and its response.
    NetbiosSsn,
    /// The TCP handshake alone: no protocol is known for the port.
    Handshake,
}

/// An RPC interface of a domain controller, whose port the endpoint mapper tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RpcInterface {
    /// Netlogon, MS-NRPC.
    Netlogon,
    /// Local Security Authority, MS-LSAD and MS-LSAT.
    Lsa,
    /// Security Account Manager, MS-SAMR.
    Samr,
    /// Directory Replication Service, MS-DRSR: a join asks it to translate names.
    Drs,
}

/// How much a domain join needs a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// Without it on any domain controller a computer cannot join, or not work as a member.
    Required,
    /// A member uses it, and misses something without it.
    Recommended,
    /// Neither joining nor membership depends on it.
    Optional,
}

impl Need {
    /// The word used in JSON and in tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Recommended => "recommended",
            Self::Optional => "optional",
        }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// One row of the catalogue.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Known {
    /// Order in tables.
    order: u8,
    name: &'static str,
    transport: Transport,
    /// `None` for ICMP and for RPC interfaces, whose port the endpoint mapper tells.
    port: Option<u16>,
}

macro_rules! catalogue {
    ($($order:literal $name:literal $transport:ident $port:expr, $protocol:expr, $need:ident;)*) => {
        static CATALOGUE: &[Known] = &[$(Known { order: $order, name: $name, transport: Transport::$transport, port: $port }),*];
        fn protocol_of(order: u8) -> Protocol {
            match order { $($order => $protocol,)* _ => Protocol::Handshake }
        }
        fn need_of(order: u8) -> Need {
            match order { $($order => Need::$need,)* _ => Need::Optional }
        }
    };
}

catalogue! {
     0 "icmp"         Icmp None,        Protocol::Echo,                        Recommended;
     1 "dns-udp"      Udp  Some(53),    Protocol::Dns,                         Required;
     2 "dns-tcp"      Tcp  Some(53),    Protocol::Dns,                         Required;
     3 "kerberos-udp" Udp  Some(88),    Protocol::Kerberos,                    Recommended;
     4 "kerberos-tcp" Tcp  Some(88),    Protocol::Kerberos,                    Required;
     5 "ntp"          Udp  Some(123),   Protocol::Ntp,                         Recommended;
     6 "rpc-epm"      Tcp  Some(135),   Protocol::EndpointMapper,              Required;
     7 "ldap"         Tcp  Some(389),   Protocol::Ldap,                        Required;
     8 "cldap"        Udp  Some(389),   Protocol::Cldap,                       Required;
     9 "smb"          Tcp  Some(445),   Protocol::Smb,                         Required;
    10 "kpasswd-udp"  Udp  Some(464),   Protocol::Kpasswd,                     Recommended;
    11 "kpasswd-tcp"  Tcp  Some(464),   Protocol::Kpasswd,                     Recommended;
    12 "ldaps"        Tcp  Some(636),   Protocol::Ldaps,                       Recommended;
    13 "gc"           Tcp  Some(3268),  Protocol::Ldap,                        Recommended;
    14 "gc-ssl"       Tcp  Some(3269),  Protocol::Ldaps,                       Recommended;
    15 "rpc-netlogon" Tcp  None,        Protocol::Rpc(RpcInterface::Netlogon), Required;
    16 "rpc-lsa"      Tcp  None,        Protocol::Rpc(RpcInterface::Lsa),      Recommended;
    17 "rpc-samr"     Tcp  None,        Protocol::Rpc(RpcInterface::Samr),     Required;
    18 "rpc-drs"      Tcp  None,        Protocol::Rpc(RpcInterface::Drs),      Required;
    19 "adws"         Tcp  Some(9389),  Protocol::Adws,                        Optional;
    20 "winrm"        Tcp  Some(5985),  Protocol::Winrm,                       Optional;
    21 "winrm-tls"    Tcp  Some(5986),  Protocol::WinrmTls,                    Optional;
    22 "netbios-ns"   Udp  Some(137),   Protocol::NetbiosNs,                   Optional;
    23 "netbios-dgm"  Udp  Some(138),   Protocol::NetbiosDgm,                  Optional;
    24 "netbios-ssn"  Tcp  Some(139),   Protocol::NetbiosSsn,                  Optional;
}

/// A service that can be tested on a target: one of the catalogue's names, or `tcp/N`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(Inner);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Inner {
    Known(&'static Known),
    Tcp(u16),
}

/// A word that names no service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownService {
    /// Neither a name of the catalogue nor `tcp/N`.
    #[error(
        "\"{0}\" is not a service; use a name such as smb or kerberos-tcp, or tcp/N with a port from 1 to 65535"
    )]
    Name(String),
    /// `udp/N`: without a payload that the service answers, silence would prove nothing.
    #[error(
        "\"{0}\": a bare UDP port cannot be tested, because silence proves nothing without a known request"
    )]
    BareUdp(String),
}

impl Service {
    /// Every service of the catalogue, in the order of tables.
    pub fn catalogue() -> impl Iterator<Item = Self> {
        CATALOGUE.iter().map(|known| Self(Inner::Known(known)))
    }

    /// The bare TCP port `tcp/N`; `None` for port 0.
    #[must_use]
    pub const fn tcp(port: u16) -> Option<Self> {
        if port == 0 { None } else { Some(Self(Inner::Tcp(port))) }
    }

    /// The name, as in JSON and in the inventory.
    #[must_use]
    pub fn name(self) -> String {
        match self.0 {
            Inner::Known(known) => known.name.to_owned(),
            Inner::Tcp(port) => format!("tcp/{port}"),
        }
    }

    /// The transport.
    #[must_use]
    pub const fn transport(self) -> Transport {
        match self.0 {
            Inner::Known(known) => known.transport,
            Inner::Tcp(_) => Transport::Tcp,
        }
    }

    /// The port; `None` for ICMP and for RPC interfaces, whose port the endpoint mapper tells.
    #[must_use]
    pub const fn port(self) -> Option<u16> {
        match self.0 {
            Inner::Known(known) => known.port,
            Inner::Tcp(port) => Some(port),
        }
    }

    /// The exchange that proves the service to be there.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self.0 {
            Inner::Known(known) => protocol_of(known.order),
            Inner::Tcp(_) => Protocol::Handshake,
        }
    }

    /// How much a domain join needs it (Microsoft Learn, "Active Directory domain join troubleshooting guidance" and "How
    /// to configure a firewall for Active Directory domains and trusts").
    #[must_use]
    pub fn need(self) -> Need {
        match self.0 {
            Inner::Known(known) => need_of(known.order),
            Inner::Tcp(_) => Need::Optional,
        }
    }

    /// Port and transport as people write them: `445/tcp`, `icmp`, `tcp`.
    #[must_use]
    pub fn port_and_transport(self) -> String {
        match self.port() {
            Some(port) => format!("{port}/{}", self.transport()),
            None => self.transport().to_string(),
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name())
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Service({})", self.name())
    }
}

impl std::str::FromStr for Service {
    type Err = UnknownService;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        if let Some(service) = Self::catalogue().find(|s| s.name() == word) {
            return Ok(service);
        }
        if word.starts_with("udp/") {
            return Err(UnknownService::BareUdp(word.to_owned()));
        }
        word.strip_prefix("tcp/")
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .and_then(Self::tcp)
            .ok_or_else(|| UnknownService::Name(word.to_owned()))
    }
}

impl Serialize for Service {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Service {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for service in Service::catalogue().chain(Service::tcp(8443)) {
            assert_eq!(service.name().parse(), Ok(service));
        }
    }

    #[test]
    fn words_of_need_are_those_of_json() {
        for need in [Need::Required, Need::Recommended, Need::Optional] {
            assert_eq!(serde_json::to_string(&need).unwrap(), format!("\"{need}\""));
        }
    }

    #[test]
    fn catalogue_is_in_table_order() {
        let orders: Vec<u8> = CATALOGUE.iter().map(|k| k.order).collect();
        assert_eq!(orders, (0..u8::try_from(CATALOGUE.len()).unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_tested_is_refused() {
        for word in ["", "SMB", "tcp/0", "tcp/65536", "tcp/+1", "tcp/", "tcp", "udp/53"] {
            assert!(word.parse::<Service>().is_err(), "{word}");
        }
    }
}
