//! Node status (RFC 1002 4.2.17 and 4.2.18): which names a machine has.

use super::{MAX_NAME, encode, skip_name};
use crate::wire::reader::{Error, Reader};

const WHAT: &str = "a NetBIOS node status";
/// Query type NBSTAT, and the class of the internet.
const NBSTAT: u16 = 0x0021;
const INTERNET: u16 = 1;
/// Header bits, RFC 1002 4.2.1.1: response, and the operation, which is 0 for a query.
const RESPONSE: u16 = 0x8000;
const OPERATION: u16 = 0x7800;
/// The result; 0 is success.
const RCODE: u16 = 0x000f;
/// Name flag, RFC 1002 4.2.18: the name is a group's.
const GROUP: u16 = 0x8000;

/// What a machine says to a node status request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Its names.
    Status(Status),
    /// It refused, with this result code, 1 to 15 (RFC 1002 4.2.1.1).
    Refused(u16),
}

/// A node status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The names, in the order of the reply; at most 255.
    pub names: Vec<Name>,
    /// The hardware address; Samba sends zeros. `None` if the statistics are missing.
    pub unit: Option<[u8; 6]>,
}

/// A name of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name without its padding; what is not ASCII is replaced.
    pub text: String,
    /// What it is the name of: 0x00 a workstation or a domain, 0x20 a file server, 0x1b and 0x1c domain controllers.
    pub suffix: u8,
    /// Whether it is a group's, and not this machine's alone.
    pub group: bool,
}

/// A request for all names.
#[must_use]
pub fn request(id: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    // A query without recursion and broadcast; one question and no records.
    out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend(encode("*", 0));
    out.extend(NBSTAT.to_be_bytes());
    out.extend(INTERNET.to_be_bytes());
    out
}

/// Decodes the answer to the request with this id. `None`: it answers another one.
///
/// # Errors
/// The bytes are no response, or hold another record than a node status.
pub fn decode(bytes: &[u8], id: u16) -> Result<Option<Reply>, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let (found, flags) = (reader.u16_be()?, reader.u16_be()?);
    let (questions, answers) = (reader.u16_be()?, reader.u16_be()?);
    reader.take(4)?;
    if flags & RESPONSE == 0 || flags & OPERATION != 0 || questions > 1 {
        return Err(Error::Malformed(WHAT));
    }
    let reply = match flags & RCODE {
        0 => Reply::Status(status(reader, questions, answers)?),
        code => Reply::Refused(code),
    };
    Ok((found == id).then_some(reply))
}

fn status(mut reader: Reader<'_>, questions: u16, answers: u16) -> Result<Status, Error> {
    if questions > 0 {
        skip_name(&mut reader)?;
        reader.take(4)?;
    }
    skip_name(&mut reader)?;
    if answers == 0 || (reader.u16_be()?, reader.u16_be()?) != (NBSTAT, INTERNET) {
        return Err(Error::Malformed(WHAT));
    }
    let _time_to_live = reader.u32_be()?;
    let length = reader.u16_be()?;
    let mut data = Reader::new(reader.take(usize::from(length))?, WHAT);
    let count = data.u8()?;
    let names = (0..count).map(|_| name(&mut data)).collect::<Result<_, _>>()?;
    Ok(Status { names, unit: data.array().ok() })
}

fn name(data: &mut Reader<'_>) -> Result<Name, Error> {
    let (octets, suffix, flags) = (data.take(MAX_NAME)?, data.u8()?, data.u16_be()?);
    let text = String::from_utf8_lossy(octets).trim_end_matches(['\0', ' ']).to_owned();
    Ok(Name { text, suffix, group: flags & GROUP != 0 })
}
