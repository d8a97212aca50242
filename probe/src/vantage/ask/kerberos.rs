//! A request for a ticket without pre-authentication.

use std::net::IpAddr;

use sekisho_checks::wire::kerberos::{self, Reply};

use super::{Answer, Carrier, Question, Trouble, ask, either};
use crate::vantage::Means;

/// The port of a KDC.
const PORT: u16 = 88;

/// The realm to ask for where none is known. RFC 6761 reserves the name, so no KDC serves it, and each one says so.
const NO_REALM: &str = "SEKISHO.INVALID";

/// The realm of a domain; of an empty one a realm that nobody serves.
pub(in crate::vantage) fn realm(domain: &str) -> String {
    if domain.is_empty() { NO_REALM.to_owned() } else { domain.to_ascii_uppercase() }
}

/// A principal that cannot exist by chance: the name says to the readers of the KDC's log who asked.
pub(in crate::vantage) fn nobody() -> String {
    format!("sekisho-{:016x}", uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Asks the KDC for a ticket for a principal, and gives its reply: over TCP, as Windows does, or else over UDP.
pub(in crate::vantage) async fn as_exchange(
    means: &Means,
    address: IpAddr,
    principal: &str,
    realm: &str,
) -> Result<Answer<Reply>, Trouble> {
    let (nonce, _) = uuid::Uuid::new_v4().as_u64_pair();
    // Nonces are 0 to 2^31 - 1.
    let nonce = u32::try_from(nonce >> 33).unwrap_or(0);
    let request = kerberos::as_request(principal, realm, nonce);
    let question = |carrier, request| Question { address, port: PORT, carrier, request };
    let stream = question(Carrier::KERBEROS, kerberos::framed(&request));
    let datagram = question(Carrier::Datagram, request);
    let understand = |message: &[u8]| kerberos::decode(message).ok();
    either(ask(means, &stream, understand), ask(means, &datagram, understand)).await
}
