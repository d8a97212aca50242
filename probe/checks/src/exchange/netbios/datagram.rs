//! The datagram service: a mailslot ping, which a domain controller answers to the address in the message.
//!
//! Samba answers to the port that the message names. A server may as well answer to port 138 of the asker, which is no
//! port of ours; and it answers only to its domain's NetBIOS name, which is guessed here. So an answer proves the service,
//! and silence proves nothing.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::{number, own_name};
use crate::exchange::carrier::{Datagrams, Dialogue};
use crate::exchange::cldap;
use crate::exchange::report::Report;
use crate::exchange::{Exchange, Expected, Progress};
use crate::wire::Error;
use crate::wire::cldap::decode_answer;
use crate::wire::netbios::datagram::{self, Reply, Sender};

/// `NtVer` of the ping (MS-ADTS 6.3.1.1): V1, V5 and V5EX_WITH_IP, so that the answer is the one of CLDAP.
const NT_VERSION: u32 = 0x0b;

struct Ping {
    domain: Option<String>,
    name: String,
    mailslot: String,
    id: u16,
    own: SocketAddrV4,
    asked: bool,
}

/// Over UDP.
pub(in crate::exchange) fn over_datagrams(expected: &Expected, nonce: u64) -> Box<dyn Exchange> {
    let (name, id) = (own_name(nonce), number(nonce));
    let ping = Ping {
        domain: expected.domain.clone(),
        mailslot: format!(r"\MAILSLOT\NET\{name}"),
        name,
        id,
        own: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0),
        asked: false,
    };
    Box::new(Datagrams::new(Vec::new(), ping))
}

impl Ping {
    /// The NetBIOS name of a domain is by default the first label of its DNS name.
    fn request(&self) -> Vec<u8> {
        let sender = Sender { name: &self.name, address: self.own, id: self.id };
        match self.domain.as_deref().and_then(|domain| domain.split('.').next()) {
            Some(netbios) => datagram::ping(&sender, netbios, &self.mailslot, NT_VERSION),
            None => datagram::query(&sender, "*"),
        }
    }
}

impl Dialogue for Ping {
    const PROTOCOL: &'static str = "netbios";

    /// NetBIOS knows no addresses of IPv6.
    fn bound(&mut self, own: SocketAddr) {
        if let SocketAddr::V4(own) = own {
            self.own = own;
        }
    }

    fn answer(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.asked, true) { Vec::new() } else { self.request() }
    }

    fn message(&mut self, message: &[u8]) -> Result<Progress, Error> {
        Ok(match datagram::decode(message)? {
            Reply::Mailslot { name, data } if name.eq_ignore_ascii_case(&self.mailslot) => {
                cldap::judge(&decode_answer(data)?, self.domain.as_deref())
            }
            Reply::Query(id, known) if id == self.id => Report::default().fact("name-known", known).proven(),
            // Late, forged, or for somebody else: the right one may still come.
            Reply::Mailslot { .. } | Reply::Query(..) => Progress::Waiting,
            Reply::Error(code) => Report::default().fact("error", i64::from(code)).proven(),
        })
    }
}
