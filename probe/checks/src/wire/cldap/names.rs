//! Names inside netlogon answers: RFC 1035 labels with compression, and UTF-16.

use crate::wire::reader::{Error, Reader};

/// A name may have this many octets, as in RFC 1035 2.3.4.
pub const MAX_NAME: usize = 255;

const WHAT: &str = "a name in a netlogon answer";

/// The next name of the reader: labels, ended by an empty one or by a pointer (RFC 1035 4.1.4; MS-ADTS 6.3.7).
///
/// Pointers count from the beginning of `blob`. A label may hold dots: account names are written so.
///
/// # Errors
/// A label or a name that is too long, a pointer that does not point backwards.
pub(super) fn compressed<'a>(blob: &'a [u8], reader: &mut Reader<'a>) -> Result<String, Error> {
    let mut labels: Vec<String> = Vec::new();
    let mut octets = 0_usize;
    // Each jump must go to before the run of labels that it ends: so there is an end, whatever the bytes.
    let mut run_start = reader.position();
    let mut jumped: Option<Reader<'a>> = None;
    loop {
        let cursor = jumped.as_mut().unwrap_or(&mut *reader);
        let length = cursor.u8()?;
        match length {
            0 => return Ok(labels.join(".")),
            1..=63 => {
                octets = octets.saturating_add(usize::from(length)).saturating_add(1);
                if octets > MAX_NAME {
                    return Err(Error::Limit(WHAT));
                }
                labels.push(String::from_utf8_lossy(cursor.take(usize::from(length))?).into_owned());
            }
            0xc0.. => {
                let target = (usize::from(length & 0x3f) << 8) | usize::from(cursor.u8()?);
                if target >= run_start {
                    return Err(Error::Malformed(WHAT));
                }
                run_start = target;
                jumped = Some(Reader::new(blob.get(target..).unwrap_or_default(), WHAT));
            }
            64..=0xbf => return Err(Error::Malformed(WHAT)),
        }
    }
}

/// The next UTF-16LE string, ended by a zero.
///
/// # Errors
/// No zero within [`MAX_NAME`] characters.
pub(super) fn utf16(reader: &mut Reader<'_>) -> Result<String, Error> {
    let mut units = Vec::new();
    loop {
        match reader.u16_le()? {
            0 => return Ok(String::from_utf16_lossy(&units)),
            unit if units.len() < MAX_NAME => units.push(unit),
            _ => return Err(Error::Limit(WHAT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(blob: &[u8], start: usize) -> Result<String, Error> {
        let mut reader = Reader::new(blob, WHAT);
        reader.take(start).unwrap();
        compressed(blob, &mut reader)
    }

    #[test]
    fn pointers_go_backwards_only() {
        let blob = b"\x04corp\x07example\x00\x03dc1\xc0\x00";
        assert_eq!(read(blob, 14).as_deref(), Ok("dc1.corp.example"));
        assert_eq!(read(b"\xc0\x00", 0), Err(Error::Malformed(WHAT)));
        assert_eq!(read(b"\x01a\xc0\x00", 0), Err(Error::Malformed(WHAT)));
        assert_eq!(read(b"\x01a\xc0\x04\xc0\x00", 4), Err(Error::Malformed(WHAT)));
        assert_eq!(read(b"\xc0\x10", 0), Err(Error::Malformed(WHAT)));
        // The first jump goes backwards, the second would stay where it is for ever.
        assert_eq!(read(b"\xc0\x00\xc0\x00", 2), Err(Error::Malformed(WHAT)));
    }

    #[test]
    fn the_reader_goes_on_after_the_pointer() {
        let blob = b"\x01a\x00\x01b\xc0\x00\x01c\x00";
        let mut reader = Reader::new(blob, WHAT);
        let names: Vec<String> = (0..3).map(|_| compressed(blob, &mut reader).unwrap()).collect();
        assert_eq!(names, ["a", "b.a", "c"]);
        assert!(reader.is_empty());
    }

    #[test]
    fn labels_and_names_are_limited() {
        assert_eq!(read(b"\x40a", 0), Err(Error::Malformed(WHAT)));
        let long: Vec<u8> = [vec![63; 64], vec![63; 64], vec![63; 64], vec![63; 64], vec![0]].concat();
        assert_eq!(read(&long, 0), Err(Error::Limit(WHAT)));
        assert!(matches!(read(b"\x05ab", 0), Err(Error::Truncated(_))));
    }

    #[test]
    fn labels_may_hold_dots_and_bad_utf8() {
        assert_eq!(read(b"\x03a.b\x01\xff\x00", 0).as_deref(), Ok("a.b.\u{fffd}"));
    }
}
