//! .NET Message Framing (MC-NMF): the preamble of a connection, and what a server says to it.

use super::reader::{Error, Reader};

/// A text may have this many octets; MC-NMF 3.1.4.7 leaves the limit to the participant. A record with more is refused.
pub const MAX_TEXT: usize = 1024;

const WHAT: &str = "a .NET Message Framing record";
/// Record types, MC-NMF 2.2.1.
const VERSION: u8 = 0x00;
const MODE: u8 = 0x01;
const VIA: u8 = 0x02;
const KNOWN_ENCODING: u8 = 0x03;
const FAULT: u8 = 0x08;
const UPGRADE_REQUEST: u8 = 0x09;
const UPGRADE_RESPONSE: u8 = 0x0a;
const PREAMBLE_ACK: u8 = 0x0b;
/// Duplex, MC-NMF 2.2.3.2.
const DUPLEX: u8 = 2;
/// Binary with in-band dictionary, MC-NMF 2.2.3.4.1.
const BINARY_WITH_DICTIONARY: u8 = 8;
/// The upgrade that authenticates, MC-NMF 2.2.3.5.
const NEGOTIATE: &str = "application/negotiate";

/// A record of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Upgrade Response, MC-NMF 2.2.3.6: it wants the client to authenticate.
    Upgrade,
    /// Preamble Ack, MC-NMF 2.2.3.8.
    Acknowledged,
    /// Fault, MC-NMF 2.2.5, with its name, invalid UTF-8 replaced.
    Fault(String),
}

/// The preamble (MC-NMF 2.2.6) for this address, up to the request for an upgrade: the endpoints of Active Directory Web
/// Services that take Windows credentials demand one (MS-ADDM 2.1).
///
/// A text over [`MAX_TEXT`] octets is not sent, but an empty one.
#[must_use]
pub fn preamble(via: &str) -> Vec<u8> {
    let mut out = vec![VERSION, 1, 0, MODE, DUPLEX];
    text(&mut out, VIA, via);
    out.extend([KNOWN_ENCODING, BINARY_WITH_DICTIONARY]);
    text(&mut out, UPGRADE_REQUEST, NEGOTIATE);
    out
}

/// A record with a text, whose length is written 7 bits an octet, the least significant first (MC-NMF 2.2.2).
fn text(out: &mut Vec<u8>, kind: u8, text: &str) {
    let text = if text.len() > MAX_TEXT { "" } else { text };
    out.push(kind);
    let mut rest = text.len();
    while rest >= 0x80 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or(0));
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or(0));
    out.extend(text.as_bytes());
}

/// The octets of the record at the beginning of `bytes`; `None` while that is not known.
///
/// # Errors
/// The bytes are no record that a server sends to a preamble, or its text is longer than [`MAX_TEXT`].
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    match reader.u8() {
        Err(_) => Ok(None),
        Ok(UPGRADE_RESPONSE | PREAMBLE_ACK) => Ok(Some(1)),
        Ok(FAULT) => match size(&mut reader) {
            Ok(size) => Ok(Some(reader.position().saturating_add(size))),
            Err(Error::Truncated(_)) => Ok(None),
            Err(error @ (Error::Malformed(_) | Error::Limit(_))) => Err(error),
        },
        Ok(_) => Err(Error::Malformed(WHAT)),
    }
}

/// A length of 1 to 5 octets, MC-NMF 2.2.2; what is over [`MAX_TEXT`] is refused after two.
fn size(reader: &mut Reader<'_>) -> Result<usize, Error> {
    let first = reader.u8()?;
    if first & 0x80 == 0 {
        return Ok(usize::from(first));
    }
    let size = usize::from(first & 0x7f) | usize::from(reader.u8()?) << 7;
    if size > MAX_TEXT { Err(Error::Limit(WHAT)) } else { Ok(size) }
}

/// Decodes one record of exactly these octets.
///
/// # Errors
/// As [`measure`], and if the octets are not one record.
pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
    if measure(bytes)? != Some(bytes.len()) {
        return Err(Error::Malformed(WHAT));
    }
    let mut reader = Reader::new(bytes, WHAT);
    Ok(match reader.u8()? {
        UPGRADE_RESPONSE => Reply::Upgrade,
        PREAMBLE_ACK => Reply::Acknowledged,
        _ => {
            size(&mut reader)?;
            Reply::Fault(String::from_utf8_lossy(reader.rest()).into_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_have_lengths_of_two_octets() {
        let via = "x".repeat(200);
        let preamble = preamble(&via);
        assert_eq!(&preamble[5..8], [VIA, 0xc8, 0x01]);
        assert!(preamble.ends_with(b"\x09\x15application/negotiate"));
        let fault = [&[FAULT, 0xc8, 0x01], via.as_bytes()].concat();
        assert_eq!(measure(&fault[..3]), Ok(Some(fault.len())));
        assert_eq!(decode(&fault), Ok(Reply::Fault(via)));
    }

    #[test]
    fn texts_are_limited() {
        assert_eq!(measure(&[FAULT]), Ok(None));
        assert_eq!(measure(&[FAULT, 0x80]), Ok(None));
        assert_eq!(measure(&[FAULT, 0x80, 0x08]), Ok(Some(1027)));
        assert_eq!(measure(&[FAULT, 0x81, 0x08]), Err(Error::Limit(WHAT)));
        assert_eq!(measure(&[FAULT, 0xff, 0xff]), Err(Error::Limit(WHAT)));
    }
}
