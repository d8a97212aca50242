//! NetBIOS over TCP/IP (RFC 1002): node status, datagrams and sessions.

use super::reader::{Error, Reader};

pub mod datagram;
pub mod session;
pub mod status;

/// A name may have this many octets (RFC 1001 14); the sixteenth says what it is the name of.
pub const MAX_NAME: usize = 15;

const WHAT: &str = "a NetBIOS message";
/// An encoded name may have this many labels: one of the name, and a few of its scope.
const MAX_LABELS: usize = 16;

/// The name in the first-level encoding (RFC 1001 14.1), with no scope: its length, 32 letters, and the root.
///
/// Letters become capitals, a long name is cut; an octet that is not ASCII becomes `_`. The name `*` is filled with zeros,
/// others with spaces.
#[must_use]
pub fn encode(name: &str, suffix: u8) -> [u8; 34] {
    let padding = if name == "*" { 0 } else { b' ' };
    let octets = name.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii_graphic).unwrap_or(b'_'));
    let octets = octets.map(|octet| octet.to_ascii_uppercase()).chain(std::iter::repeat(padding));
    let octets = octets.take(MAX_NAME).chain([suffix]);
    let halves = octets.flat_map(|octet| [octet >> 4, octet & 0xf]);
    let mut out = [0; 34];
    let letters = halves.map(|half| half.saturating_add(b'A'));
    for (place, octet) in out.iter_mut().zip(std::iter::once(32).chain(letters)) {
        *place = octet;
    }
    out
}

/// Passes over an encoded name with its scope: labels up to the root, or up to a pointer.
fn skip_name(reader: &mut Reader<'_>) -> Result<(), Error> {
    for _ in 0..MAX_LABELS {
        match reader.u8()? {
            0 => return Ok(()),
            length if length & 0xc0 == 0xc0 => return reader.take(1).map(drop),
            length if length & 0xc0 == 0 => drop(reader.take(usize::from(length))?),
            _ => return Err(Error::Malformed(WHAT)),
        }
    }
    Err(Error::Limit(WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_the_standard_says() {
        // The example of RFC 1001 14.1, "FRED            ", and the wildcard of a node status request.
        assert_eq!(&encode("Fred", b' ')[1..33], b"EGFCEFEECACACACACACACACACACACACA");
        assert_eq!(&encode("*", 0)[1..33], b"CKAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(encode("A-NAME-THAT-IS-TOO-LONG", 0x20), encode("a-name-that-is-", 0x20));
        assert_eq!(encode("\u{e9}\n", 0), encode("__", 0));
    }

    #[test]
    fn names_in_a_reply_are_limited() {
        let skip = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes, WHAT);
            skip_name(&mut reader).map(|()| reader.position())
        };
        assert_eq!(skip(&encode("x", 0)), Ok(34));
        assert_eq!(skip(&[1, b'a', 1, b'b', 0, 9]), Ok(5));
        assert_eq!(skip(&[0xc0, 12, 9]), Ok(2));
        assert_eq!(skip(&[0x80, 0]), Err(Error::Malformed(WHAT)));
        assert_eq!(skip(&[1; 100]), Err(Error::Limit(WHAT)));
        assert_eq!(skip(&[5, 0]), Err(Error::Truncated(WHAT)));
    }
}
