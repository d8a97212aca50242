//! One conversation with a service: what to send, and what the replies prove.

use sekisho_model::{Facts, Protocol, Service, Transport};

mod carrier;
mod cldap;
mod dns;
mod kerberos;
mod ldap;
mod ldaps;
mod mapper;
mod report;
mod smb;

pub use carrier::MAX_INPUT;

/// What is known of the target before the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// Active Directory DNS domain that the target should serve, lower case, no trailing dot.
    pub domain: Option<String>,
    /// Host name that the target should have, lower case, no trailing dot.
    pub host: Option<String>,
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
    /// Takes the bytes to send now; empty when there is nothing to send.
    fn output(&mut self) -> Vec<u8>;
    /// Takes what the peer sent. Never panics, whatever the bytes; holds a bounded amount of them.
    fn input(&mut self, bytes: &[u8]) -> Progress;
}

/// Begins the conversation of a service; `None` where no protocol is known and the handshake itself is the proof.
///
/// `nonce` is fresh randomness: it becomes transaction ids, nonces and GUIDs.
#[must_use]
pub fn begin(service: Service, expected: &Expected, nonce: u64) -> Option<Box<dyn Exchange>> {
    let datagrams = service.transport() == Transport::Udp;
    // On its ports a domain controller speaks for the whole forest.
    let global_catalog = matches!(service.port(), Some(3268 | 3269));
    match service.protocol() {
        Protocol::Dns if datagrams => dns::over_datagrams(expected, nonce),
        Protocol::Dns => dns::over_stream(expected, nonce),
        Protocol::Kerberos if datagrams => Some(kerberos::over_datagrams(expected, nonce)),
        Protocol::Kerberos => Some(kerberos::over_stream(expected, nonce)),
        Protocol::EndpointMapper => Some(mapper::over_stream()),
        Protocol::Ldap => Some(ldap::over_stream(expected, global_catalog)),
        Protocol::Ldaps => ldaps::over_stream(expected, global_catalog),
        Protocol::Cldap => Some(cldap::over_datagrams(expected, nonce)),
        Protocol::Smb => Some(smb::over_stream(nonce)),
        Protocol::Echo | Protocol::Handshake | Protocol::Unsupported => None,
    }
}
