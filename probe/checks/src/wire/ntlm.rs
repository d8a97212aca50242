//! NTLM (MS-NLMP), as far as a server tells who it is before anybody authenticates.

use super::reader::{Error, Reader};
use super::time::Moment;

const WHAT: &str = "an NTLM challenge";
const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const NEGOTIATE: u32 = 1;
const CHALLENGE: u32 = 2;
/// Unicode, target, NTLM, always sign, extended session security, version, 128 bits, key exchange and 56 bits
/// (MS-NLMP 2.2.2.5): what a current Windows asks for, so that a hardened server answers.
const FLAGS: u32 = 0xe208_8205;
/// NTLMSSP_NEGOTIATE_VERSION, MS-NLMP 2.2.2.5.
const HAS_VERSION: u32 = 0x0200_0000;
/// A version of a client that nobody looks at: 10.0, and NTLMSSP_REVISION_W2K3 (MS-NLMP 2.2.2.10).
const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];
/// Identifiers of an AV_PAIR, MS-NLMP 2.2.2.1.
const END: u16 = 0;
const TIMESTAMP: u16 = 7;
/// A challenge may tell this many things; Windows tells seven.
const MAX_PAIRS: usize = 32;

/// What a challenge tells of a server. Texts are empty where it does not tell; invalid UTF-16 is replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// NetBIOS name of the server.
    pub netbios_host: String,
    /// NetBIOS name of its domain.
    pub netbios_domain: String,
    /// DNS name of the server.
    pub dns_host: String,
    /// DNS name of its domain.
    pub dns_domain: String,
    /// DNS name of its forest.
    pub dns_forest: String,
    /// The server's time.
    pub time: Option<Moment>,
    /// Major and minor version and build of the operating system.
    pub version: Option<(u8, u8, u16)>,
}

/// NEGOTIATE_MESSAGE, MS-NLMP 2.2.1.1. It names neither a domain nor a workstation.
#[must_use]
pub fn negotiate() -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    out.extend(NEGOTIATE.to_le_bytes());
    out.extend(FLAGS.to_le_bytes());
    out.extend([0; 16]);
    out.extend(VERSION);
    out
}

/// Decodes a CHALLENGE_MESSAGE, MS-NLMP 2.2.1.2.
///
/// # Errors
/// The bytes are no such message, or what they tell lies outside of them.
pub fn decode(bytes: &[u8]) -> Result<Challenge, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    if &reader.array::<8>()? != SIGNATURE || reader.u32_le()? != CHALLENGE {
        return Err(Error::Malformed(WHAT));
    }
    // Length, room and offset of the target's name, which the pairs tell better.
    reader.take(8)?;
    let flags = reader.u32_le()?;
    // The challenge itself, and a reserved field.
    reader.take(16)?;
    let (length, _room, offset) = (reader.u16_le()?, reader.u16_le()?, reader.u32_le()?);
    let version = if flags & HAS_VERSION == 0 {
        None
    } else {
        let (major, minor, build) = (reader.u8()?, reader.u8()?, reader.u16_le()?);
        Some((major, minor, build))
    };
    let offset = usize::try_from(offset).map_err(|_| Error::Limit(WHAT))?;
    let pairs = bytes.get(offset..).and_then(|rest| rest.get(..usize::from(length)));
    let mut challenge = pairs_of(Reader::new(pairs.ok_or(Error::Truncated(WHAT))?, WHAT))?;
    challenge.version = version;
    Ok(challenge)
}

fn pairs_of(mut reader: Reader<'_>) -> Result<Challenge, Error> {
    let mut challenge = Challenge::default();
    for _ in 0..MAX_PAIRS {
        if reader.is_empty() {
            return Ok(challenge);
        }
        let (id, length) = (reader.u16_le()?, reader.u16_le()?);
        let value = reader.take(usize::from(length))?;
        let text = match id {
            END => return Ok(challenge),
            1 => &mut challenge.netbios_host,
            2 => &mut challenge.netbios_domain,
            3 => &mut challenge.dns_host,
            4 => &mut challenge.dns_domain,
            5 => &mut challenge.dns_forest,
            TIMESTAMP => {
                challenge.time = Moment::from_filetime(Reader::new(value, WHAT).u64_le()?);
                continue;
            }
            _ => continue,
        };
        *text = utf16(value);
    }
    Err(Error::Limit(WHAT))
}

fn utf16(octets: &[u8]) -> String {
    let (units, _odd) = octets.as_chunks::<2>();
    char::decode_utf16(units.iter().map(|unit| u16::from_le_bytes(*unit)))
        .map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_message_tells_nothing_of_this_machine() {
        let message = negotiate();
        assert_eq!(message.len(), 40);
        assert!(message[16..32].iter().all(|octet| *octet == 0));
        assert!(decode(&message).is_err(), "it is no challenge");
    }

    #[test]
    fn pairs_are_limited() {
        let many = [9, 0, 0, 0].repeat(MAX_PAIRS + 1);
        assert_eq!(pairs_of(Reader::new(&many, WHAT)), Err(Error::Limit(WHAT)));
        assert!(pairs_of(Reader::new(&[1, 0, 9, 0], WHAT)).is_err());
    }
}
