//! Datagrams (RFC 1002 4.4), and in them the mailslot ping of a domain controller (MS-ADTS 6.3.5, MS-MAIL 2.2.1).

use std::net::SocketAddrV4;

use super::{encode, skip_name};
use crate::wire::reader::{Error, Reader};

const WHAT: &str = "a NetBIOS datagram";
/// Packet types, RFC 1002 4.4.1.
const DIRECT_UNIQUE: u8 = 0x10;
const BROADCAST: u8 = 0x12;
const ERROR: u8 = 0x13;
const QUERY: u8 = 0x14;
const POSITIVE: u8 = 0x15;
const NEGATIVE: u8 = 0x16;
/// First fragment, and no more of them; the sender is a mixed node.
const WHOLE: u8 = 0x0a;
/// More fragments follow.
const MORE: u8 = 0x01;
/// Domain controllers of a domain.
const DOMAIN_CONTROLLERS: u8 = 0x1c;
/// Where a domain controller listens, MS-ADTS 6.3.5.
const NETLOGON: &str = r"\MAILSLOT\NET\NETLOGON";
/// LOGON_SAM_LOGON_REQUEST, MS-ADTS 6.3.1.3.
const SAM_LOGON: u16 = 18;
/// SMB_COM_TRANSACTION, MS-CIFS 2.2.4.33.
const SMB_TRANSACTION: &[u8] = b"\xffSMB\x25";
/// Octets of an SMB header, MS-CIFS 2.2.3.1.
const SMB_HEADER: u16 = 32;
/// Words of parameters of a mailslot write, MS-MAIL 2.2.1.
const SMB_WORDS: u16 = 17;

/// What came in a datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// A message for a mailslot of this name.
    Mailslot {
        /// The name, invalid UTF-8 replaced.
        name: String,
        /// The message.
        data: &'a [u8],
    },
    /// Datagram Error, RFC 1002 4.4.3, with its code.
    Error(u8),
    /// The answer to a query of the packet number, RFC 1002 4.4.4: whether the name is known.
    Query(u16, bool),
}

/// From whom a datagram comes: the answer goes to this address and port, whatever the addresses around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender<'a> {
    /// NetBIOS name.
    pub name: &'a str,
    /// Where answers go.
    pub address: SocketAddrV4,
    /// Number of the datagram.
    pub id: u16,
}

/// A query for the domain controllers of a domain, by its NetBIOS name (RFC 1002 4.4.4).
#[must_use]
pub fn query(sender: &Sender<'_>, domain: &str) -> Vec<u8> {
    let mut out = header(QUERY, sender);
    out.extend(encode(domain, DOMAIN_CONTROLLERS));
    out
}

/// A mailslot ping to the domain controllers of a domain, by its NetBIOS name: NETLOGON_SAM_LOGON_REQUEST (MS-ADTS 6.3.1.6)
/// without an account, to be answered to a mailslot.
#[must_use]
pub fn ping(sender: &Sender<'_>, domain: &str, mailslot: &str, nt_version: u32) -> Vec<u8> {
    let data = sam_logon_request(sender.name, mailslot, nt_version);
    let message = mailslot_write(NETLOGON, &data);
    let names = [encode(sender.name, 0), encode(domain, DOMAIN_CONTROLLERS)].concat();
    let mut out = header(DIRECT_UNIQUE, sender);
    // Length of names and message, and the offset of this fragment.
    out.extend(word(names.len().saturating_add(message.len())).to_be_bytes());
    out.extend([0, 0]);
    out.extend(names);
    out.extend(message);
    out
}

fn word(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

fn header(kind: u8, sender: &Sender<'_>) -> Vec<u8> {
    let mut out = vec![kind, WHOLE];
    out.extend(sender.id.to_be_bytes());
    out.extend(sender.address.ip().octets());
    out.extend(sender.address.port().to_be_bytes());
    out
}

fn sam_logon_request(computer: &str, mailslot: &str, nt_version: u32) -> Vec<u8> {
    let mut out = SAM_LOGON.to_le_bytes().to_vec();
    // Asked for the first time.
    out.extend([0, 0]);
    out.extend(computer.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    // No user.
    out.extend([0, 0]);
    out.extend(mailslot.bytes().chain([0]));
    // No kinds of account and no domain SID; then the tokens that end every such message.
    out.extend([0; 8]);
    out.extend(nt_version.to_le_bytes());
    out.extend([0xff; 4]);
    out
}

/// A write to a mailslot, second class: not acknowledged (MS-MAIL 2.2.1).
fn mailslot_write(name: &str, data: &[u8]) -> Vec<u8> {
    let mut out = SMB_TRANSACTION.to_vec();
    out.resize(usize::from(SMB_HEADER), 0);
    let name: Vec<u8> = name.bytes().chain([0]).collect();
    // Count of words, the words, and the count of octets that follow.
    let before = usize::from(SMB_HEADER.saturating_add(1).saturating_add(2 * SMB_WORDS).saturating_add(2));
    let offset = word(before.saturating_add(name.len()));
    out.push(17);
    // No parameters, the data, no room for an answer, no flags, a second of patience.
    let words = [0, word(data.len()), 0, 0, 0, 0, 1000, 0, 0, 0, offset, word(data.len()), offset];
    // Three words of setup: write, priority, class.
    let setup = [3, 1, 1, 2];
    out.extend(words.into_iter().chain(setup).flat_map(u16::to_le_bytes));
    out.extend(word(name.len().saturating_add(data.len())).to_le_bytes());
    out.extend(name);
    out.extend(data);
    out
}

/// Decodes one datagram.
///
/// # Errors
/// The bytes are no NetBIOS datagram, a fragment of one, or hold something else than a write to a mailslot.
pub fn decode(bytes: &[u8]) -> Result<Reply<'_>, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let (kind, flags, id) = (reader.u8()?, reader.u8()?, reader.u16_be()?);
    // Address and port of the sender.
    reader.take(6)?;
    match kind {
        ERROR => reader.u8().map(Reply::Error),
        POSITIVE | NEGATIVE => {
            skip_name(&mut reader)?;
            Ok(Reply::Query(id, kind == POSITIVE))
        }
        DIRECT_UNIQUE..=BROADCAST if flags & MORE == 0 => {
            let (length, offset) = (reader.u16_be()?, reader.u16_be()?);
            if offset != 0 {
                return Err(Error::Malformed(WHAT));
            }
            let mut inside = Reader::new(reader.take(usize::from(length))?, WHAT);
            skip_name(&mut inside)?;
            skip_name(&mut inside)?;
            mailslot(inside.rest())
        }
        _ => Err(Error::Malformed(WHAT)),
    }
}

fn mailslot(message: &[u8]) -> Result<Reply<'_>, Error> {
    let mut reader = Reader::new(message, WHAT);
    if !reader.take(usize::from(SMB_HEADER))?.starts_with(SMB_TRANSACTION) {
        return Err(Error::Malformed(WHAT));
    }
    if u16::from(reader.u8()?) != SMB_WORDS {
        return Err(Error::Malformed(WHAT));
    }
    reader.take(22)?;
    let (count, offset) = (reader.u16_le()?, reader.u16_le()?);
    reader.take(8)?;
    let octets = reader.u16_le()?;
    let name = reader.take(usize::from(octets))?.split(|octet| *octet == 0).next().unwrap_or_default();
    let name = String::from_utf8_lossy(name).into_owned();
    let data = message.get(usize::from(offset)..).and_then(|rest| rest.get(..usize::from(count)));
    Ok(Reply::Mailslot { name, data: data.ok_or(Error::Truncated(WHAT))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_a_write_to_a_mailslot() {
        let sender =
            Sender { name: "PROBE1", address: SocketAddrV4::new([10, 0, 0, 9].into(), 40_000), id: 7 };
        let ping = ping(&sender, "CORP", r"\MAILSLOT\NET\X", 0x0b);
        assert_eq!(ping[..10], [0x10, 0x0a, 0, 7, 10, 0, 0, 9, 0x9c, 0x40]);
        let Ok(Reply::Mailslot { name, data }) = decode(&ping) else { panic!("no mailslot") };
        assert_eq!(
            (name.as_str(), data),
            (NETLOGON, &*sam_logon_request("PROBE1", r"\MAILSLOT\NET\X", 0x0b))
        );
        for length in 0..ping.len() {
            assert!(decode(&ping[..length]).is_err(), "{length}");
        }
    }
}
