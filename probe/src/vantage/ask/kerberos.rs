//! A request for a ticket without pre-authentication.

use std::net::IpAddr;

use sekisho_checks::wire::kerberos::{self, Reply};

use super::{Answer, Carrier, Question, Trouble, ask, either};
use crate::vantage::Means;

/// The port of a KDC.
const PORT: u16 = 88;

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
