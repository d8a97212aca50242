//! Security identifiers and the owner of a security descriptor (MS-DTYP 2.4.2, 2.4.6).

use std::fmt;

use super::reader::{Error, Reader};

/// A security identifier has at most this many sub-authorities, MS-DTYP 2.4.2.2.
pub const MAX_PARTS: usize = 15;
/// A longer security descriptor is refused; those of Windows are below 64 KiB.
pub const MAX_DESCRIPTOR: usize = 64 * 1024;

const SID: &str = "a security identifier";
const DESCRIPTOR: &str = "a security descriptor";
/// Octets of the header of a self-relative security descriptor.
const HEADER: usize = 20;
/// SE_SELF_RELATIVE, MS-DTYP 2.4.6: offsets, not pointers.
const SELF_RELATIVE: u16 = 0x8000;

/// BUILTIN\Administrators, S-1-5-32-544 (MS-DTYP 2.4.2.4).
pub const BUILTIN_ADMINISTRATORS: [u32; 2] = [32, 544];
/// Relative identifier of Domain Admins in each domain (MS-DTYP 2.4.2.4).
pub const DOMAIN_ADMINS: u32 = 512;
/// Relative identifier of Enterprise Admins in the root domain of the forest (MS-DTYP 2.4.2.4).
pub const ENTERPRISE_ADMINS: u32 = 519;

/// A security identifier.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid {
    /// 48 bits; 5 is NT.
    authority: u64,
    /// At most [`MAX_PARTS`].
    parts: Vec<u32>,
}

impl Sid {
    /// S-1-5-32-544.
    #[must_use]
    pub fn builtin_administrators() -> Self {
        Self { authority: 5, parts: BUILTIN_ADMINISTRATORS.to_vec() }
    }

    /// Decodes one of exactly these octets.
    ///
    /// # Errors
    /// Another revision than 1, more than [`MAX_PARTS`] parts, octets that are missing or left over.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes, SID);
        let sid = Self::read(&mut reader)?;
        if reader.is_empty() { Ok(sid) } else { Err(Error::Malformed(SID)) }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        if reader.u8()? != 1 {
            return Err(Error::Malformed(SID));
        }
        let count = usize::from(reader.u8()?);
        if count > MAX_PARTS {
            return Err(Error::Limit(SID));
        }
        let authority = reader.array::<6>()?.iter().fold(0, |sum, octet| (sum << 8) | u64::from(*octet));
        let parts = (0..count).map(|_| reader.u32_le()).collect::<Result<_, _>>()?;
        Ok(Self { authority, parts })
    }

    /// The octets, as a directory stores and compares them.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        let mut out = vec![1, u8::try_from(self.parts.len()).unwrap_or(u8::MAX)];
        out.extend(self.authority.to_be_bytes().iter().skip(2));
        out.extend(self.parts.iter().flat_map(|part| part.to_le_bytes()));
        out
    }

    /// Whether this is the account or group of that relative identifier in a domain.
    #[must_use]
    pub fn is_in(&self, domain: &Self, rid: u32) -> bool {
        self.authority == domain.authority
            && self.parts.split_last().is_some_and(|(last, rest)| *last == rid && rest == domain.parts)
    }
}

impl fmt::Display for Sid {
    /// The form of MS-DTYP 2.4.2.1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authority >> 32 == 0 {
            write!(f, "S-1-{}", self.authority)?;
        } else {
            write!(f, "S-1-0x{:012x}", self.authority)?;
        }
        self.parts.iter().try_for_each(|part| write!(f, "-{part}"))
    }
}

/// The owner in a self-relative security descriptor; `None` if it has none.
///
/// # Errors
/// Bytes that are no such descriptor, an owner that lies outside of it or in its header.
pub fn owner(bytes: &[u8]) -> Result<Option<Sid>, Error> {
    if bytes.len() > MAX_DESCRIPTOR {
        return Err(Error::Limit(DESCRIPTOR));
    }
    let mut reader = Reader::new(bytes, DESCRIPTOR);
    let (revision, _padding, control) = (reader.u8()?, reader.u8()?, reader.u16_le()?);
    let offset = usize::try_from(reader.u32_le()?).map_err(|_| Error::Limit(DESCRIPTOR))?;
    reader.take(12)?;
    if revision != 1 || control & SELF_RELATIVE == 0 {
        return Err(Error::Malformed(DESCRIPTOR));
    }
    if offset == 0 {
        return Ok(None);
    }
    let passed = offset.checked_sub(HEADER).ok_or(Error::Malformed(DESCRIPTOR))?;
    reader.take(passed)?;
    Sid::read(&mut reader).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sid(authority: u64, parts: &[u32]) -> Sid {
        Sid { authority, parts: parts.to_vec() }
    }

    #[test]
    fn identifiers_are_read_and_shown() {
        // Of a lab's Administrator.
        let mut bytes = vec![1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0];
        bytes.extend([0x62, 0x0c, 0x48, 0xb9, 0xc1, 0xdb, 0xa3, 0xdc, 0xbd, 0x1c, 0x3e, 0x1e, 0xf4, 1, 0, 0]);
        let read = Sid::decode(&bytes).unwrap();
        assert_eq!(read.to_string(), "S-1-5-21-3108506722-3701726145-507387069-500");
        let domain = sid(5, &[21, 3_108_506_722, 3_701_726_145, 507_387_069]);
        assert!(read.is_in(&domain, 500));
        assert!(!read.is_in(&domain, 501) && !read.is_in(&sid(5, &[21, 1, 2, 3]), 500));
        assert!(!domain.is_in(&domain, 500));
        assert_eq!(Sid::builtin_administrators().to_string(), "S-1-5-32-544");
        assert_eq!(sid(0x1_0000_0000, &[]).to_string(), "S-1-0x000100000000");
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        assert_eq!(Sid::decode(&[2, 0, 0, 0, 0, 0, 0, 5]), Err(Error::Malformed(SID)));
        assert_eq!(Sid::decode(&[1, 16, 0, 0, 0, 0, 0, 5]), Err(Error::Limit(SID)));
        assert_eq!(Sid::decode(&[1, 1, 0, 0, 0, 0, 0, 5, 1, 0]), Err(Error::Truncated(SID)));
        assert_eq!(Sid::decode(&[1, 0, 0, 0, 0, 0, 0, 5, 9]), Err(Error::Malformed(SID)));
    }

    fn descriptor(control: u16, offset: u32, rest: &[u8]) -> Vec<u8> {
        let mut out = vec![1, 0];
        out.extend(control.to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend([0; 12]);
        out.extend(rest);
        out
    }

    #[test]
    fn the_owner_is_found_where_the_header_says() {
        let admins = Sid::builtin_administrators();
        let rest = [&[7; 4][..], &admins.octets()].concat();
        assert_eq!(owner(&descriptor(SELF_RELATIVE, 24, &rest)), Ok(Some(admins)));
        assert_eq!(owner(&descriptor(SELF_RELATIVE, 0, &rest)), Ok(None));
        for (control, offset) in [(0, 24), (SELF_RELATIVE, 4), (SELF_RELATIVE, 22), (SELF_RELATIVE, u32::MAX)]
        {
            assert!(owner(&descriptor(control, offset, &rest)).is_err(), "{control:x} {offset}");
        }
        assert!(owner(&[1; 10]).is_err());
        assert_eq!(owner(&vec![1; MAX_DESCRIPTOR + 1]), Err(Error::Limit(DESCRIPTOR)));
    }

    proptest! {
        #[test]
        fn identifiers_round_trip(authority in 0_u64..1 << 48, parts in proptest::collection::vec(any::<u32>(), 0..=MAX_PARTS)) {
            let sid = sid(authority, &parts);
            prop_assert_eq!(Sid::decode(&sid.octets()), Ok(sid));
        }

        #[test]
        fn strange_octets_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), offset in 0_u32..300) {
            let _decoded = (Sid::decode(&bytes), owner(&bytes), owner(&descriptor(SELF_RELATIVE, offset, &bytes)));
        }
    }
}
