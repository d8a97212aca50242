//! The netlogon ping (MS-ADTS 6.3.3) and its answers (MS-ADTS 6.3.1), over UDP.

use super::ber::{OCTET_STRING, SEQUENCE, Writer, context};
use super::ldap::{self, Operation, search_request};
use super::reader::{Error, Reader};

mod names;

pub use names::MAX_NAME;

/// Filter `and [0]`, RFC 4511 4.5.1.7.
const AND: u8 = context(0);
/// Filter `equalityMatch [3]`, RFC 4511 4.5.1.7.
const EQUALITY: u8 = context(3);
const WHAT: &str = "a netlogon answer";

/// `NtVer` of an ordinary ping (MS-ADTS 6.3.1.1): V5, V5EX, and the closest site.
pub const NT_VERSION: u32 = 0x16;
/// `NtVer` bit V5EX_WITH_IP: the answer holds an IP address.
const WITH_IP: u32 = 0x8;
/// `NtVer` bit VCS: the answer may name the next closest site.
const WITH_CLOSEST_SITE: u32 = 0x10;

/// Flags of a domain controller (MS-ADTS 6.3.1.2).
pub mod flag {
    /// Holds the PDC role.
    pub const PDC: u32 = 0x1;
    /// Is a global catalog.
    pub const GC: u32 = 0x4;
    /// Answers LDAP.
    pub const LDAP: u32 = 0x8;
    /// Is a domain controller with a directory service.
    pub const DS: u32 = 0x10;
    /// Is a key distribution center.
    pub const KDC: u32 = 0x20;
    /// Serves time.
    pub const TIMESERV: u32 = 0x40;
    /// Is in the client's site, or in the next closest one.
    pub const CLOSEST: u32 = 0x80;
    /// Has a writable copy of the directory.
    pub const WRITABLE: u32 = 0x100;
    /// Is a read-only domain controller.
    pub const READ_ONLY: u32 = 0x800;
}

/// What to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping<'a> {
    /// LDAP message id, 1 to 2^31 - 1.
    pub id: u32,
    /// DNS name of the domain; `None` asks about the domain that the server serves.
    pub domain: Option<&'a str>,
    /// Name of the asking computer.
    pub host: &'a str,
    /// Account to look for, and the kinds of account as SAM account control bits (`0x180`: any computer).
    pub account: Option<(&'a str, u32)>,
    /// `NtVer`, such as [`NT_VERSION`].
    pub nt_version: u32,
}

/// A decoded datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// LDAP message id of the request that it answers.
    pub id: i64,
    /// LDAP result code; 0 is success.
    pub code: i64,
    /// The netlogon answer. `None` if the server does not serve what was asked.
    pub answer: Option<Answer>,
}

/// A netlogon answer. Names are as the server writes them, invalid UTF-8 replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// NETLOGON_SAM_LOGON_RESPONSE_EX, MS-ADTS 6.3.1.9.
    Extended(Box<Extended>),
    /// NETLOGON_SAM_LOGON_RESPONSE or its NT 4.0 form, MS-ADTS 6.3.1.7 and 6.3.1.8.
    Nt4(Nt4),
}

/// NETLOGON_SAM_LOGON_RESPONSE_EX, MS-ADTS 6.3.1.9.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extended {
    /// 23 answer, 24 netlogon is paused, 25 no such account.
    pub opcode: u16,
    /// See [`flag`].
    pub flags: u32,
    /// GUID of the domain, as it is on the wire.
    pub domain_guid: [u8; 16],
    /// DNS name of the forest.
    pub forest: String,
    /// DNS name of the domain.
    pub domain: String,
    /// DNS name of the domain controller.
    pub host: String,
    /// NetBIOS name of the domain.
    pub netbios_domain: String,
    /// NetBIOS name of the domain controller.
    pub netbios_host: String,
    /// The account that was asked for.
    pub user: String,
    /// Site of the domain controller.
    pub dc_site: String,
    /// Site of the asking address; empty if its subnet belongs to none.
    pub client_site: String,
    /// Address of the domain controller, if that was asked for.
    pub address: Option<[u8; 4]>,
    /// The site next to the client's, if that was asked for and there is one.
    pub next_closest_site: Option<String>,
    /// `NtVer` of the answer.
    pub nt_version: u32,
}

/// NETLOGON_SAM_LOGON_RESPONSE (MS-ADTS 6.3.1.8) or its NT 4.0 form (6.3.1.7), which ends after three names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nt4 {
    /// 19 answer, 20 netlogon is paused, 21 no such account.
    pub opcode: u16,
    /// NetBIOS name of the domain controller, with its two backslashes.
    pub logon_server: String,
    /// The account that was asked for.
    pub user: String,
    /// NetBIOS name of the domain.
    pub netbios_domain: String,
    /// DNS names, absent in the NT 4.0 form.
    pub dns: Option<DnsNames>,
    /// `NtVer` of the answer.
    pub nt_version: u32,
}

/// The DNS names of NETLOGON_SAM_LOGON_RESPONSE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsNames {
    /// DNS name of the forest.
    pub forest: String,
    /// DNS name of the domain.
    pub domain: String,
    /// DNS name of the domain controller.
    pub host: String,
    /// Address of the domain controller.
    pub address: [u8; 4],
    /// See [`flag`].
    pub flags: u32,
}

/// The datagram of a ping.
#[must_use]
pub fn request(ping: &Ping<'_>) -> Vec<u8> {
    let mut conditions = Writer::new();
    let mut condition = |name: &str, value: &[u8]| {
        conditions.constructed(EQUALITY, |pair| {
            pair.primitive(OCTET_STRING, name.as_bytes()).primitive(OCTET_STRING, value);
        });
    };
    if let Some(domain) = ping.domain {
        condition("DnsDomain", domain.as_bytes());
    }
    condition("Host", ping.host.as_bytes());
    if let Some((user, kinds)) = ping.account {
        condition("User", user.as_bytes());
        condition("AAC", &kinds.to_le_bytes());
    }
    condition("NtVer", &ping.nt_version.to_le_bytes());
    let conditions = conditions.finish();
    search_request(ping.id, &["Netlogon"], |filter| {
        filter.primitive(AND, &conditions);
    })
}

/// Decodes a datagram: an entry, unless the server does not serve what was asked, and the end of the search.
///
/// # Errors
/// The bytes are no such messages, or the netlogon answer in them is malformed.
pub fn decode(datagram: &[u8]) -> Result<Reply, Error> {
    let mut answer = None;
    let messages = ldap::decode_all(datagram)?;
    let id = messages.first().map_or(0, |message| message.id);
    for message in messages {
        if message.id != id {
            return Err(Error::Malformed(WHAT));
        }
        match message.operation {
            Operation::Entry(entry) => {
                answer = entry
                    .value("netlogon")
                    .filter(|value| !value.is_empty())
                    .map(decode_answer)
                    .transpose()?;
            }
            Operation::Done(outcome) => return Ok(Reply { id, code: outcome.code, answer }),
            Operation::Extended(_) | Operation::Other(_) => return Err(Error::Malformed(WHAT)),
        }
    }
    Err(Error::Truncated(WHAT))
}

/// Decodes the value of the attribute `Netlogon`.
///
/// # Errors
/// The bytes are no netlogon answer of a known form.
pub fn decode_answer(value: &[u8]) -> Result<Answer, Error> {
    let mut reader = Reader::new(value, WHAT);
    match reader.u16_le()? {
        opcode @ 23..=25 => extended(opcode, value, reader).map(|answer| Answer::Extended(Box::new(answer))),
        opcode @ 19..=21 => nt4(opcode, value, reader).map(Answer::Nt4),
        _ => Err(Error::Malformed(WHAT)),
    }
}

fn extended<'a>(opcode: u16, value: &'a [u8], mut reader: Reader<'a>) -> Result<Extended, Error> {
    let nt_version = tail(value)?;
    reader.u16_le()?;
    let flags = reader.u32_le()?;
    let domain_guid = reader.array()?;
    let mut name = || names::compressed(value, &mut reader);
    let mut answer = Extended {
        opcode,
        flags,
        domain_guid,
        forest: name()?,
        domain: name()?,
        host: name()?,
        netbios_domain: name()?,
        netbios_host: name()?,
        user: name()?,
        dc_site: name()?,
        client_site: name()?,
        nt_version,
        ..Extended::default()
    };
    if nt_version & WITH_IP != 0 && reader.remaining() > TAIL {
        answer.address = Some(socket_address(&mut reader)?);
    }
    if nt_version & WITH_CLOSEST_SITE != 0 && reader.remaining() > TAIL {
        answer.next_closest_site = Some(names::compressed(value, &mut reader)?);
    }
    if reader.remaining() < TAIL { Err(Error::Malformed(WHAT)) } else { Ok(answer) }
}

fn nt4<'a>(opcode: u16, value: &'a [u8], mut reader: Reader<'a>) -> Result<Nt4, Error> {
    let nt_version = tail(value)?;
    let mut answer = Nt4 {
        opcode,
        logon_server: names::utf16(&mut reader)?,
        user: names::utf16(&mut reader)?,
        netbios_domain: names::utf16(&mut reader)?,
        dns: None,
        nt_version,
    };
    if reader.remaining() > TAIL {
        reader.take(32)?;
        let mut name = || names::compressed(value, &mut reader);
        let (forest, domain, host) = (name()?, name()?, name()?);
        let (address, flags) = (reader.array()?, reader.u32_le()?);
        answer.dns = Some(DnsNames { forest, domain, host, address, flags });
    }
    if reader.remaining() < TAIL { Err(Error::Malformed(WHAT)) } else { Ok(answer) }
}

/// `NtVersion`, `LmNtToken` and `Lm20Token`, which end every answer.
const TAIL: usize = 8;

/// `NtVersion`, if the two tokens after it are in place. Optional fields come before it, so it is read from the end.
fn tail(value: &[u8]) -> Result<u32, Error> {
    let start = value.len().checked_sub(TAIL).ok_or(Error::Truncated(WHAT))?;
    let mut reader = Reader::new(value.get(start..).unwrap_or_default(), WHAT);
    let nt_version = reader.u32_le()?;
    if reader.u32_le()? == u32::MAX { Ok(nt_version) } else { Err(Error::Malformed(WHAT)) }
}

/// `DcSockAddrSize` and `DcSockAddr`: a `sockaddr_in` whose address alone is in network order.
fn socket_address(reader: &mut Reader<'_>) -> Result<[u8; 4], Error> {
    let size = reader.u8()?;
    let mut address = Reader::new(reader.take(usize::from(size))?, WHAT);
    address.u32_le()?;
    address.array()
}

/// The outer sequence of every LDAP message: whether a datagram can be one at all.
#[must_use]
pub fn looks_like_ldap(datagram: &[u8]) -> bool {
    datagram.first() == Some(&SEQUENCE)
}
