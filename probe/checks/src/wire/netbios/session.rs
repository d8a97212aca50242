//! Sessions (RFC 1002 4.3): a request for one, and the answer.

use super::encode;
use crate::wire::reader::{Error, Reader};

const WHAT: &str = "a NetBIOS session message";
/// Packet types, RFC 1002 4.3.1.
const REQUEST: u8 = 0x81;
const POSITIVE: u8 = 0x82;
const NEGATIVE: u8 = 0x83;
const RETARGET: u8 = 0x84;
/// The name that every Windows file server answers to.
const ANY_SERVER: &str = "*SMBSERVER";

/// What a server says to a session request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// It accepts, RFC 1002 4.3.3.
    Positive,
    /// It refuses with this code, RFC 1002 4.3.4.
    Negative(u8),
    /// It sends the asker to this address and port, RFC 1002 4.3.5.
    Retarget([u8; 4], u16),
}

/// A request (RFC 1002 4.3.2) from the workstation of this name to the file server, whatever its name.
#[must_use]
pub fn request(caller: &str) -> Vec<u8> {
    let mut out = vec![REQUEST, 0, 0, 68];
    out.extend(encode(ANY_SERVER, 0x20));
    out.extend(encode(caller, 0));
    out
}

/// The octets of the message at the beginning of `bytes`; `None` while that is not known.
///
/// # Errors
/// The bytes are no answer to a session request.
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let length: u8 = match bytes.first() {
        None => return Ok(None),
        Some(&POSITIVE) => 0,
        Some(&NEGATIVE) => 1,
        Some(&RETARGET) => 6,
        Some(_) => return Err(Error::Malformed(WHAT)),
    };
    match bytes.get(1..4) {
        None => Ok(None),
        Some(rest) if rest == [0, 0, length] => Ok(Some(usize::from(length).saturating_add(4))),
        Some(_) => Err(Error::Malformed(WHAT)),
    }
}

/// Decodes one message of exactly these octets.
///
/// # Errors
/// As [`measure`], and if the octets are not one message.
pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
    if measure(bytes)? != Some(bytes.len()) {
        return Err(Error::Malformed(WHAT));
    }
    let mut reader = Reader::new(bytes, WHAT);
    let kind = reader.u8()?;
    reader.take(3)?;
    Ok(match kind {
        POSITIVE => Reply::Positive,
        NEGATIVE => Reply::Negative(reader.u8()?),
        _ => Reply::Retarget(reader.array()?, reader.u16_be()?),
    })
}

/// What a refusal says, RFC 1002 4.3.4.
#[must_use]
pub const fn error_name(code: u8) -> &'static str {
    match code {
        0x80 => "not-listening-on-called-name",
        0x81 => "not-listening-for-calling-name",
        0x82 => "called-name-not-present",
        0x83 => "insufficient-resources",
        _ => "unspecified",
    }
}
