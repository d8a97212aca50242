//! `ept_map` of the endpoint mapper (C706 appendix O and L, MS-RPCE 2.2.1.2): which port an interface listens on.

use super::{FAULT, Interface, NDR, REQUEST, RESPONSE, WHAT, message, open};
use crate::wire::reader::{Error, Reader};

/// This many towers are asked for, and accepted. Windows often knows two.
pub const MAX_TOWERS: u32 = 4;

const EPT_MAP: u16 = 3;
/// Protocol identifiers of tower floors, C706 appendix I.
const UUID: u8 = 0x0d;
const CONNECTION_ORIENTED: u8 = 0x0b;
const TCP: u8 = 0x07;
const IP: u8 = 0x09;
/// A floor has at most this many octets on either side: a UUID and a version have 19.
const MAX_FLOOR: u16 = 64;

/// What the endpoint mapper says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// It knows these endpoints. The status is 0, or `0x16c9a0d6` for an interface that is not registered.
    Towers {
        /// The endpoints.
        towers: Vec<Tower>,
        /// Status of the call.
        status: u32,
    },
    /// `fault` with this status, such as 5 where anonymous callers are refused.
    Fault(u32),
}

/// One endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tower {
    /// UUID of the interface, as it is on the wire.
    pub uuid: [u8; 16],
    /// TCP port, if the endpoint is one.
    pub port: Option<u16>,
    /// IPv4 address; Samba sends 0.0.0.0.
    pub address: Option<[u8; 4]>,
}

/// `ept_map` for the TCP endpoints of an interface.
#[must_use]
pub fn map_request(call: u32, interface: Interface) -> Vec<u8> {
    let tower = tower_octets(interface);
    let length = u32::try_from(tower.len()).unwrap_or(0);
    let mut stub = Vec::with_capacity(132);
    // The object: a reference to a nil UUID.
    stub.extend(1_u32.to_le_bytes());
    stub.extend([0; 16]);
    // The tower: a reference, the conformance, the length, and padding to 4.
    stub.extend(2_u32.to_le_bytes());
    stub.extend(length.to_le_bytes());
    stub.extend(length.to_le_bytes());
    stub.extend(tower);
    stub.resize(stub.len().next_multiple_of(4), 0);
    // No entry handle yet, and how many towers may come.
    stub.extend([0; 20]);
    stub.extend(MAX_TOWERS.to_le_bytes());

    let mut body = u32::try_from(stub.len()).unwrap_or(0).to_le_bytes().to_vec();
    body.extend(0_u16.to_le_bytes());
    body.extend(EPT_MAP.to_le_bytes());
    body.extend(stub);
    message(REQUEST, call, &body)
}

fn tower_octets(interface: Interface) -> Vec<u8> {
    let mut out = 5_u16.to_le_bytes().to_vec();
    let mut floor = |left: &[u8], right: &[u8]| {
        for side in [left, right] {
            out.extend(u16::try_from(side.len()).unwrap_or(0).to_le_bytes());
            out.extend(side);
        }
    };
    for syntax in [interface, NDR] {
        let left = [&[UUID], syntax.uuid.as_slice(), &syntax.major.to_le_bytes()].concat();
        floor(&left, &syntax.minor.to_le_bytes());
    }
    floor(&[CONNECTION_ORIENTED], &[0, 0]);
    floor(&[TCP], &135_u16.to_be_bytes());
    floor(&[IP], &[0; 4]);
    out
}

/// Decodes the answer to the `ept_map` with this call number.
///
/// # Errors
/// The bytes are no such answer, are a fragment of one, or hold more than [`MAX_TOWERS`] towers.
pub fn decode_map(bytes: &[u8], call: u32) -> Result<Mapping, Error> {
    let (kind, mut reader) = open(bytes, call)?;
    // Allocation hint, context, cancel count, reserved.
    reader.u64_le()?;
    match kind {
        FAULT => Ok(Mapping::Fault(reader.u32_le()?)),
        RESPONSE => towers(reader),
        _ => Err(Error::Malformed(WHAT)),
    }
}

fn towers(mut reader: Reader<'_>) -> Result<Mapping, Error> {
    reader.array::<20>()?;
    let count = reader.u32_le()?;
    let (_conformance, offset, actual) = (reader.u32_le()?, reader.u32_le()?, reader.u32_le()?);
    if count > MAX_TOWERS || actual > MAX_TOWERS || offset != 0 {
        return Err(Error::Limit(WHAT));
    }
    let mut present: u32 = 0;
    for _ in 0..actual {
        present = present.saturating_add(u32::from(reader.u32_le()? != 0));
    }
    let mut towers = Vec::new();
    for _ in 0..present {
        reader.align(4)?;
        let (conformance, length) = (reader.u32_le()?, reader.u32_le()?);
        if conformance != length {
            return Err(Error::Malformed(WHAT));
        }
        let length = usize::try_from(length).map_err(|_| Error::Limit(WHAT))?;
        towers.push(tower(reader.take(length)?)?);
    }
    reader.align(4)?;
    Ok(Mapping::Towers { towers, status: reader.u32_le()? })
}

fn tower(octets: &[u8]) -> Result<Tower, Error> {
    let mut reader = Reader::new(octets, "a protocol tower");
    let mut tower = Tower::default();
    let floors = reader.u16_le()?;
    if floors > 8 {
        return Err(Error::Limit("a protocol tower"));
    }
    for number in 0..floors {
        let (left, right) = (side(&mut reader)?, side(&mut reader)?);
        match (left, right) {
            ([UUID, uuid @ ..], _) if number == 0 => {
                let (uuid, _version) =
                    uuid.split_first_chunk().ok_or(Error::Malformed("a protocol tower"))?;
                tower.uuid = *uuid;
            }
            ([TCP], [high, low]) => tower.port = Some(u16::from_be_bytes([*high, *low])),
            ([IP], [a, b, c, d]) => tower.address = Some([*a, *b, *c, *d]),
            _ => {}
        }
    }
    Ok(tower)
}

fn side<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = reader.u16_le()?;
    if length > MAX_FLOOR {
        return Err(Error::Limit("a protocol tower"));
    }
    reader.take(usize::from(length))
}
