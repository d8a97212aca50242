//! One conversation with a service: what to send, and what the replies prove.

use std::net::SocketAddr;

use sekisho_model::{Fact, Facts, Protocol, Service, Transport};

use crate::flow::Ending;

mod adws;
mod carrier;
mod cldap;
mod dns;
mod kerberos;
mod kpasswd;
mod ldap;
mod netbios;
mod ntp;
pub(crate) mod report;
mod rpc;
mod smb;
mod tls;
mod winrm;

pub use carrier::MAX_INPUT;
pub use rpc::mapped_ports;

/// Port of the endpoint mapper.
pub const MAPPER: u16 = 135;

/// What is known of the target before the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Active Directory DNS domain that the target should serve, lower case, no trailing dot.
    pub domain: Option<String>,
    /// Host name that the target should have, lower case, no trailing dot.
    pub host: Option<String>,
    /// The time of this machine, seconds since 1970-01-01T00:00:00Z: whether a certificate is valid is judged by it.
    pub now: Option<i64>,
}

impl Expected {
    /// The same, with the name that a server's rootDSE gives itself where none was expected.
    fn or_named_by(&self, told: &Facts) -> Self {
        let named = match told.get("dns-host-name") {
            Some(Fact::Text(name)) => Some(name.to_ascii_lowercase()),
            Some(Fact::Flag(_) | Fact::Integer(_)) | None => None,
        };
        Self { host: self.host.clone().or(named), ..self.clone() }
    }
}

/// Where a conversation stands after bytes came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is proved yet: send what [`Exchange::output`] holds, if anything, and wait for more bytes.
    Waiting,
    /// A valid reply of the protocol came: the outcome is `open`.
    Proven(Facts),
    /// A reply came that is not the protocol, or not of the expected domain: the outcome is `wrong`. The facts say why.
    Wrong(Facts),
}

/// A conversation over one connection, or over one datagram socket.
///
/// For datagram services each call of [`Exchange::input`] is one datagram, and [`Exchange::output`] is sent as one.
pub trait Exchange: Send {
    /// Tells this end of a datagram socket, before the first output: NetBIOS carries the return address in the message.
    fn bound(&mut self, _own: SocketAddr) {}
    /// Takes the bytes to send now; empty when there is nothing to send.
    fn output(&mut self) -> Vec<u8>;
    /// Takes what the peer sent. Never panics, whatever the bytes; holds a bounded amount of them.
    fn input(&mut self, bytes: &[u8]) -> Progress;
    /// Whether the outcome is settled, and the conversation goes on only to learn more: it then waits less long.
    fn is_proven(&self) -> bool {
        false
    }
    /// What the end of the connection, or silence, makes of the conversation so far. `None`: the end speaks for itself,
    /// nothing was proved.
    fn ended(&mut self, _ending: Ending) -> Option<Progress> {
        None
    }
}

/// Begins the conversation of a service; `None` where no protocol is known and the handshake itself is the proof.
///
/// An RPC interface is asked for at the endpoint mapper. `nonce` is fresh randomness: it becomes transaction ids, nonces and
/// GUIDs.
#[must_use]
pub fn begin(service: Service, expected: &Expected, nonce: u64) -> Option<Box<dyn Exchange>> {
    begin_at(service, service.port().unwrap_or(MAPPER), expected, nonce)
}

/// The same on a port: for an RPC interface the endpoint mapper's, to ask for the interface's ports, or one of those, to
/// bind to the interface there.
#[must_use]
pub fn begin_at(service: Service, port: u16, expected: &Expected, nonce: u64) -> Option<Box<dyn Exchange>> {
    let datagrams = service.transport() == Transport::Udp;
    // On its ports a domain controller speaks for the whole forest.
    let global_catalog = matches!(port, 3268 | 3269);
    match service.protocol() {
        Protocol::Dns if datagrams => dns::over_datagrams(expected, nonce),
        Protocol::Dns => dns::over_stream(expected, nonce),
        Protocol::Kerberos if datagrams => Some(kerberos::over_datagrams(expected, nonce)),
        Protocol::Kerberos => Some(kerberos::over_stream(expected, nonce)),
        Protocol::EndpointMapper => Some(rpc::mapper()),
        Protocol::Ldap if global_catalog => Some(ldap::alone(expected, global_catalog)),
        Protocol::Ldap => Some(ldap::over_stream(expected)),
        Protocol::Ldaps => tls::over_stream(expected, ldap::alone(expected, global_catalog)),
        Protocol::Cldap => Some(cldap::over_datagrams(expected, nonce)),
        Protocol::Smb => Some(smb::over_stream(expected, nonce)),
        Protocol::Ntp => Some(ntp::over_datagrams(nonce)),
        Protocol::Kpasswd if datagrams => Some(kpasswd::over_datagrams(expected, nonce)),
        Protocol::Kpasswd => Some(kpasswd::over_stream(expected, nonce)),
        Protocol::Rpc(interface) => Some(rpc::interface(interface, port)),
        Protocol::Adws => Some(adws::over_stream(expected)),
        Protocol::Winrm => Some(winrm::over_stream(expected)),
        Protocol::WinrmTls => tls::over_stream(expected, winrm::over_stream(expected)),
        Protocol::NetbiosNs => Some(netbios::status::over_datagrams(nonce)),
        Protocol::NetbiosDgm => Some(netbios::datagram::over_datagrams(expected, nonce)),
        Protocol::NetbiosSsn => Some(netbios::session::over_stream(nonce)),
        Protocol::Echo | Protocol::Handshake => None,
    }
}

/// Whether a connection that is closed in order, without a reply, says nothing about a service: a sound server may close where
/// it cannot use what it was asked (a password change that it cannot understand), and so may a proxy in its place.
#[must_use]
pub fn close_proves_nothing(service: Service) -> bool {
    service.protocol() == Protocol::Kpasswd
}

/// Whether no answer of a service says nothing about the path to it: a sound server may answer to a port that is not the
/// asker's (NetBIOS datagrams), or not at all (a password change over UDP that it cannot understand). An answer, and an
/// error that somebody sends, prove what they always prove.
#[must_use]
pub fn silence_proves_nothing(service: Service) -> bool {
    let datagrams = service.transport() == Transport::Udp;
    matches!(service.protocol(), Protocol::NetbiosDgm | Protocol::Kpasswd) && datagrams
}

/// Octets that need to be unlike those of other conversations, no more: they protect nothing.
fn noise<const N: usize>(nonce: u64) -> [u8; N] {
    let mut octets = [0; N];
    let mut state = nonce;
    for place in octets.chunks_mut(8) {
        state = state.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_add(0x94d0_49bb_1331_11eb);
        for (octet, random) in place.iter_mut().zip(state.to_be_bytes()) {
            *octet = random;
        }
    }
    octets
}
