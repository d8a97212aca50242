//! DNS queries and responses (RFC 1035, RFC 2782, RFC 6891), over hickory-proto.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record as HickoryRecord, RecordType};

use super::reader::{Error, Reader};

/// The UDP payload that queries announce, octets: it fits every path that IPv6 allows.
pub const UDP_PAYLOAD: u16 = 1232;

const WHAT: &str = "a DNS message";

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Services of a domain, RFC 2782.
    Srv,
    /// IPv4 addresses of a host.
    A,
    /// IPv6 addresses of a host, RFC 3596.
    Aaaa,
    /// The start of authority of a zone.
    Soa,
}

/// A question: a name that DNS can carry, and a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    name: Name,
    kind: Kind,
}

/// A response to our question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Response code, RFC 6895 2.3, with the extension of EDNS.
    pub rcode: u16,
    /// The server is an authority for the name (AA).
    pub authoritative: bool,
    /// The response did not fit (TC).
    pub truncated: bool,
    /// The answers, in the order of the response.
    pub answers: Vec<Record>,
    /// IPv4 addresses that came in addition, by host.
    pub additional: Vec<(String, IpAddr)>,
    /// The lowest time to live of the answers, seconds; `None` without answers.
    pub ttl: Option<u32>,
    /// The zone whose start of authority came instead of an answer (RFC 2308 2): who says that there is none. The root
    /// zone is an empty name.
    pub denied_by: Option<String>,
}

/// An answer. Names are lower case, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// SRV, RFC 2782.
    Srv(Srv),
    /// A or AAAA.
    Address(IpAddr),
    /// CNAME: the name that the asked one stands for. Its records follow, where the server has them.
    Alias(String),
    /// SOA.
    Soa {
        /// The server that holds the zone's original, `MNAME`.
        primary: String,
        /// The version of the zone.
        serial: u32,
    },
    /// A record of another type.
    Other,
}

/// A service of a domain, RFC 2782.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower is asked first.
    pub priority: u16,
    /// Share among those of the same priority.
    pub weight: u16,
    /// Port.
    pub port: u16,
    /// Host, lower case, without a trailing dot; empty: decidedly nobody offers the service.
    pub target: String,
}

impl Response {
    /// The services among the answers, without the one that says that there is none.
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other records are no services")]
    pub fn services(&self) -> impl Iterator<Item = &Srv> {
        let services = self.answers.iter().filter_map(|record| match record {
            Record::Srv(srv) => Some(srv),
            _ => None,
        });
        services.filter(|srv| !srv.target.is_empty())
    }

    /// The addresses among the answers.
    #[allow(clippy::wildcard_enum_match_arm, reason = "all other records are no addresses")]
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.answers.iter().filter_map(|record| match record {
            Record::Address(address) => Some(*address),
            _ => None,
        })
    }
}

impl Question {
    /// A question about a name such as `_ldap._tcp.dc._msdcs.corp.example`; an empty one is the root.
    ///
    /// # Errors
    /// The name has an empty label, one over 63 octets, or over 255 octets in all.
    pub fn new(name: &str, kind: Kind) -> Result<Self, Error> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let labels = name.split('.').filter(|_| !name.is_empty()).map(str::as_bytes);
        let mut name = Name::from_labels(labels).map_err(|_| Error::Malformed("a DNS name"))?;
        name.set_fqdn(true);
        Ok(Self { name, kind })
    }

    const fn record_type(&self) -> RecordType {
        match self.kind {
            Kind::Srv => RecordType::SRV,
            Kind::A => RecordType::A,
            Kind::Aaaa => RecordType::AAAA,
            Kind::Soa => RecordType::SOA,
        }
    }
}

/// A query with EDNS, without a length before it. `recurse` asks the server to ask others.
///
/// # Errors
/// None that a [`Question`] could cause.
pub fn query(id: u16, question: &Question, recurse: bool) -> Result<Vec<u8>, Error> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = recurse;
    message.add_query(Query::query(question.name.clone(), question.record_type()));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    message.set_edns(edns);
    message.to_vec().map_err(|_| Error::Malformed(WHAT))
}

/// The message with its length before it, as TCP needs it (RFC 7766 8).
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), message].concat()
}

/// The octets of the framed message at the beginning of `bytes`, its length of 2 octets included; `None` while that
/// is not known.
///
/// # Errors
/// A length that has no room for a header.
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    match Reader::new(bytes, WHAT).u16_be() {
        Err(_) => Ok(None),
        Ok(length) if length < 12 => Err(Error::Malformed(WHAT)),
        Ok(length) => Ok(Some(usize::from(length).saturating_add(2))),
    }
}

/// Decodes a response, without a length before it. `None` for a response to another query: another id or question.
///
/// A server that cannot process a query may answer with an error and no question; that is a response to ours.
///
/// # Errors
/// The bytes are no DNS response.
pub fn decode(bytes: &[u8], id: u16, question: &Question) -> Result<Option<Response>, Error> {
    let message = Message::from_vec(bytes).map_err(|_| Error::Malformed(WHAT))?;
    if message.metadata.message_type != MessageType::Response || message.metadata.op_code != OpCode::Query {
        return Err(Error::Malformed(WHAT));
    }
    let rcode = u16::from(message.metadata.response_code);
    let asked = match message.queries.as_slice() {
        [] => rcode != 0,
        // Names are compared without case.
        [echo] => echo.name() == &question.name && echo.query_type() == question.record_type(),
        _ => false,
    };
    if message.metadata.id != id || !asked {
        return Ok(None);
    }
    Ok(Some(Response {
        rcode,
        authoritative: message.metadata.authoritative,
        truncated: message.metadata.truncation,
        answers: message.answers.iter().map(record).collect(),
        additional: message.additionals.iter().filter_map(additional).collect(),
        ttl: message.answers.iter().map(|record| record.ttl).min(),
        denied_by: message.authorities.iter().find_map(denied_by).filter(|_| message.answers.is_empty()),
    }))
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the other record types are not asked for")]
fn record(record: &HickoryRecord) -> Record {
    match &record.data {
        RData::SRV(srv) => {
            let target = host(&srv.target);
            Record::Srv(Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target })
        }
        RData::CNAME(alias) => Record::Alias(host(alias)),
        RData::SOA(zone) => Record::Soa { primary: host(&zone.mname), serial: zone.serial },
        data => data.ip_addr().map_or(Record::Other, Record::Address),
    }
}

fn denied_by(record: &HickoryRecord) -> Option<String> {
    matches!(record.data, RData::SOA(_)).then(|| host(&record.name))
}

fn additional(record: &HickoryRecord) -> Option<(String, IpAddr)> {
    record.data.ip_addr().filter(IpAddr::is_ipv4).map(|address| (host(&record.name), address))
}

fn host(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// The name of a response code (RFC 6895 2.3); its number in words for one that has none here.
#[must_use]
pub fn rcode_name(rcode: u16) -> String {
    let name = match rcode {
        0 => "NOERROR",
        1 => "FORMERR",
        2 => "SERVFAIL",
        3 => "NXDOMAIN",
        4 => "NOTIMP",
        5 => "REFUSED",
        6 => "YXDOMAIN",
        7 => "YXRRSET",
        8 => "NXRRSET",
        9 => "NOTAUTH",
        10 => "NOTZONE",
        16 => "BADVERS",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_dns_cannot_carry_are_refused() {
        assert!(Question::new("", Kind::Soa).is_ok());
        assert!(Question::new("corp.example.", Kind::A).is_ok());
        for bad in ["a..b", &"a".repeat(64), &"abcdefg.".repeat(40)] {
            assert!(Question::new(bad, Kind::A).is_err(), "{bad}");
        }
    }

    #[test]
    fn queries_announce_the_payload() {
        let question = Question::new("corp.example", Kind::A).unwrap();
        let query = query(0x1234, &question, true).unwrap();
        let expected =
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x04corp\x07example\x00\x00\x01\x00\x01\
            \x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";
        assert_eq!(query, expected);
        assert_eq!(framed(&query)[..2], [0, 41]);
    }
}
