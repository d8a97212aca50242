//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng): one section, one interface, packets from the IP header on.

use std::time::{SystemTime, UNIX_EPOCH};

/// Section Header Block, section 4.1.
const SECTION: u32 = 0x0A0D_0D0A;
/// Interface Description Block, section 4.2.
const INTERFACE: u32 = 1;
/// Enhanced Packet Block, section 4.3.
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// LINKTYPE_RAW: IPv4 or IPv6, told apart by the first four bits.
const RAW: u16 = 101;
/// Options: end, name of the program (section 4.1), resolution of times (section 4.2).
const END: u16 = 0;
const PROGRAM: u16 = 4;
const RESOLUTION: u16 = 9;
/// Times count in units of 10^-9 s.
const NANOSECONDS: u8 = 9;

/// The beginning of a file.
pub(super) fn head() -> Vec<u8> {
    let program = concat!("sekisho-probe ", env!("CARGO_PKG_VERSION"));
    let mut section = Vec::new();
    section.extend(BYTE_ORDER.to_le_bytes());
    section.extend(1_u16.to_le_bytes());
    section.extend(0_u16.to_le_bytes());
    // The length of the section is not told.
    section.extend(u64::MAX.to_le_bytes());
    option(&mut section, PROGRAM, program.as_bytes());
    option(&mut section, END, &[]);
    let mut interface = Vec::new();
    interface.extend(RAW.to_le_bytes());
    interface.extend(0_u16.to_le_bytes());
    interface.extend(0_u32.to_le_bytes());
    option(&mut interface, RESOLUTION, &[NANOSECONDS]);
    option(&mut interface, END, &[]);
    [block(SECTION, &section), block(INTERFACE, &interface)].concat()
}

/// One packet.
pub(super) fn packet(at: SystemTime, bytes: &[u8]) -> Vec<u8> {
    let nanos = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX).to_be_bytes();
    let half = |octets: &[u8]| octets.iter().fold(0_u32, |sum, octet| sum << 8 | u32::from(*octet));
    let (high, low) = nanos.split_at(4);
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(bytes.len() + 24);
    for number in [0, half(high), half(low), length, length] {
        body.extend(number.to_le_bytes());
    }
    padded(&mut body, bytes);
    block(PACKET, &body)
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A block has its length before and after its body.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_le_bytes();
    [kind.to_le_bytes().as_slice(), &length, body, &length].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn blocks_are_whole_and_can_be_walked_from_both_ends() {
        let at = UNIX_EPOCH + Duration::from_nanos(0x1234_5678_9abc_def0);
        let file = [head(), packet(at, &[0x45, 1, 2, 3, 4])].concat();
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let mut kinds = Vec::new();
        let mut place = 0;
        while place < file.len() {
            let length = usize::try_from(word(place + 4)).unwrap();
            assert_eq!(length % 4, 0);
            assert_eq!(word(place + length - 4), word(place + 4));
            kinds.push(word(place));
            place += length;
        }
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET]);
        let packet = file.len() - 12 - 28;
        assert_eq!((word(packet + 12), word(packet + 16)), (0x1234_5678, 0x9abc_def0));
        assert_eq!((word(packet + 20), word(packet + 24)), (5, 5));
    }
}
