//! Connection-oriented DCE/RPC (C706 chapter 12, MS-RPCE 2.2.2): binding to an interface, and what comes of it.
//!
//! Only little-endian peers are understood: every Windows and every Samba is one.

use super::reader::{Error, Reader};

mod mapper;

pub use mapper::{MAX_TOWERS, Mapping, Tower, decode_map, map_request};

/// A message may have this many octets: the largest that a bind offers to receive.
pub const MAX_MESSAGE: usize = 4280;

const WHAT: &str = "a DCE/RPC message";
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const FAULT: u8 = 3;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const BIND_NAK: u8 = 13;
/// First and last fragment.
const WHOLE: u8 = 3;
const LITTLE_ENDIAN: u8 = 0x10;
const HEADER: usize = 16;

/// An interface or a transfer syntax: a UUID as it is on the wire, and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// UUID, its first three parts least significant octet first.
    pub uuid: [u8; 16],
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
}

impl Interface {
    /// An interface by its UUID as people write it, in its parts.
    #[must_use]
    pub const fn new(a: u32, b: u16, c: u16, d: [u8; 8], major: u16, minor: u16) -> Self {
        let ([a0, a1, a2, a3], [b0, b1], [c0, c1]) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes());
        let [d0, d1, d2, d3, d4, d5, d6, d7] = d;
        Self { uuid: [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7], major, minor }
    }
}

/// The endpoint mapper, C706 appendix O.
pub const ENDPOINT_MAPPER: Interface =
    Interface::new(0xe1af_8308, 0x5d1f, 0x11c9, [0x91, 0xa4, 0x08, 0x00, 0x2b, 0x14, 0xa0, 0xfa], 3, 0);
/// The transfer syntax NDR, C706 appendix I.
pub const NDR: Interface =
    Interface::new(0x8a88_5d04, 0x1ceb, 0x11c9, [0x9f, 0xe8, 0x08, 0x00, 0x2b, 0x10, 0x48, 0x60], 2, 0);
/// Netlogon, MS-NRPC 1.9.
pub const NETLOGON: Interface =
    Interface::new(0x1234_5678, 0x1234, 0xabcd, [0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0xcf, 0xfb], 1, 0);
/// Local Security Authority, MS-LSAD 1.9.
pub const LSARPC: Interface =
    Interface::new(0x1234_5778, 0x1234, 0xabcd, [0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab], 0, 0);
/// Security Account Manager, MS-SAMR 1.9.
pub const SAMR: Interface =
    Interface::new(0x1234_5778, 0x1234, 0xabcd, [0xef, 0x00, 0x01, 0x23, 0x45, 0x67, 0x89, 0xac], 1, 0);
/// Directory replication, MS-DRSR 1.9.
pub const DRSUAPI: Interface =
    Interface::new(0xe351_4235, 0x4b06, 0x11d1, [0xab, 0x04, 0x00, 0xc0, 0x4f, 0xc2, 0xdc, 0xd2], 4, 0);

/// What a server says to a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindReply {
    /// `bind_ack`, C706 12.6.4.4.
    Ack {
        /// The result for the one context that was offered: 0 acceptance, 1 user rejection, 2 provider rejection.
        result: u16,
        /// Why, if not accepted.
        reason: u16,
        /// The secondary address: the port as text.
        secondary_address: String,
    },
    /// `bind_nak`, C706 12.6.4.5, with the reason.
    Nak(u16),
    /// `fault`, C706 12.6.4.7, with the status.
    Fault(u32),
}

/// A bind to an interface with NDR as the only transfer syntax, C706 12.6.4.3. No authentication.
#[must_use]
pub fn bind(call: u32, interface: Interface) -> Vec<u8> {
    let mut body = Vec::with_capacity(56);
    // Largest fragments to send and to receive; no association group.
    body.extend(4280_u16.to_le_bytes());
    body.extend(4280_u16.to_le_bytes());
    body.extend(0_u32.to_le_bytes());
    // One context, number 0, with one transfer syntax.
    body.extend([1, 0, 0, 0]);
    body.extend([0, 0, 1, 0]);
    for syntax in [interface, NDR] {
        body.extend(syntax.uuid);
        body.extend(syntax.major.to_le_bytes());
        body.extend(syntax.minor.to_le_bytes());
    }
    message(BIND, call, &body)
}

/// A whole message: the common header, C706 12.6.3.1, and the body.
fn message(kind: u8, call: u32, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len().saturating_add(HEADER)).unwrap_or(u16::MAX);
    let mut out = vec![5, 0, kind, WHOLE, LITTLE_ENDIAN, 0, 0, 0];
    out.extend(length.to_le_bytes());
    out.extend(0_u16.to_le_bytes());
    out.extend(call.to_le_bytes());
    out.extend(body);
    out
}

/// The octets of the message at the beginning of `bytes`; `None` while that is not known.
///
/// # Errors
/// The bytes are not of DCE/RPC version 5, not little-endian, or the message is longer than [`MAX_MESSAGE`].
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    match bytes {
        [] | [5] | [5, 0 | 1] | [5, 0 | 1, _] | [5, 0 | 1, _, _] => return Ok(None),
        [5, 0 | 1, _, _, LITTLE_ENDIAN, ..] => {}
        _ => return Err(Error::Malformed(WHAT)),
    }
    let Some(length) = bytes.get(8..).and_then(|rest| Reader::new(rest, WHAT).u16_le().ok()) else {
        return Ok(None);
    };
    match usize::from(length) {
        length if length < HEADER => Err(Error::Malformed(WHAT)),
        length if length > MAX_MESSAGE => Err(Error::Limit(WHAT)),
        length => Ok(Some(length)),
    }
}

/// Reads the common header of exactly these octets: the kind of the message, and a reader after the header.
fn open(bytes: &[u8], call: u32) -> Result<(u8, Reader<'_>), Error> {
    if measure(bytes)? != Some(bytes.len()) {
        return Err(Error::Malformed(WHAT));
    }
    let mut reader = Reader::new(bytes, WHAT);
    reader.u16_le()?;
    let (kind, flags) = (reader.u8()?, reader.u8()?);
    reader.take(8)?;
    if reader.u32_le()? != call || flags & WHOLE != WHOLE {
        return Err(Error::Malformed(WHAT));
    }
    Ok((kind, reader))
}

/// Decodes the answer to the bind with this call number.
///
/// # Errors
/// The bytes are no such answer, or are a fragment of one.
pub fn decode_bind(bytes: &[u8], call: u32) -> Result<BindReply, Error> {
    let (kind, mut reader) = open(bytes, call)?;
    match kind {
        BIND_ACK => bind_ack(reader),
        BIND_NAK => Ok(BindReply::Nak(reader.u16_le()?)),
        FAULT => fault(reader).map(BindReply::Fault),
        _ => Err(Error::Malformed(WHAT)),
    }
}

fn bind_ack(mut reader: Reader<'_>) -> Result<BindReply, Error> {
    // Fragment sizes and association group.
    reader.u64_le()?;
    let length = reader.u16_le()?;
    let address = reader.take(usize::from(length))?;
    let address = address.split(|octet| *octet == 0).next().unwrap_or_default();
    let secondary_address = String::from_utf8_lossy(address).into_owned();
    reader.align(4)?;
    if reader.u8()? != 1 {
        return Err(Error::Malformed(WHAT));
    }
    reader.array::<3>()?;
    let (result, reason) = (reader.u16_le()?, reader.u16_le()?);
    reader.array::<20>()?;
    Ok(BindReply::Ack { result, reason, secondary_address })
}

/// The status of a fault, after its allocation hint, context, cancel count and a reserved octet.
fn fault(mut reader: Reader<'_>) -> Result<u32, Error> {
    reader.u64_le()?;
    reader.u32_le()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measuring_waits_for_the_length_and_refuses_what_is_not_rpc() {
        let bind = bind(1, ENDPOINT_MAPPER);
        for length in 0..10 {
            assert_eq!(measure(&bind[..length]), Ok(None), "{length}");
        }
        assert_eq!(measure(&bind[..10]), Ok(Some(72)));
        assert!(measure(b"HTTP").is_err());
        assert!(measure(&[5, 2]).is_err());
        assert!(measure(&[5, 0, 12, 3, 0x00]).is_err());
        assert!(measure(&[5, 0, 12, 3, 0x10, 0, 0, 0, 15, 0]).is_err());
    }

    #[test]
    fn nak_and_fault_are_understood() {
        let nak = message(BIND_NAK, 7, &[4, 0, 0]);
        assert_eq!(decode_bind(&nak, 7), Ok(BindReply::Nak(4)));
        assert!(decode_bind(&nak, 8).is_err());
        let fault = message(FAULT, 1, &[0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(decode_bind(&fault, 1), Ok(BindReply::Fault(5)));
    }
}
