//! Definite-length BER and DER (ITU-T X.690), as LDAP, CLDAP and Kerberos use it.
//!
//! The decoder accepts lengths that are longer than necessary (`84 00 00 00 0c`), because Windows writes all LDAP
//! lengths so. The encoder writes the shortest form. Tags are single octets: none of the three protocols has tag
//! numbers above 30.

use super::reader::{Error, Reader};

/// BOOLEAN, X.690 8.2.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER, X.690 8.3.
pub const INTEGER: u8 = 0x02;
/// BIT STRING, X.690 8.6.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING, X.690 8.7.
pub const OCTET_STRING: u8 = 0x04;
/// ENUMERATED, X.690 8.4.
pub const ENUMERATED: u8 = 0x0a;
/// `GeneralizedTime`, X.690 8.25.
pub const GENERALIZED_TIME: u8 = 0x18;
/// `GeneralString`, X.690 8.23.
pub const GENERAL_STRING: u8 = 0x1b;
/// SEQUENCE and SEQUENCE OF, X.690 8.9.
pub const SEQUENCE: u8 = 0x30;
/// SET and SET OF, X.690 8.11.
pub const SET: u8 = 0x31;

/// Constructions may be nested this deep. Kerberos needs 7, LDAP 5.
pub const MAX_DEPTH: u8 = 16;

/// The tag `[number]`, context-specific and constructed. Numbers are 0 to 30.
#[must_use]
pub const fn context(number: u8) -> u8 {
    0xa0 | (number & 0x1f)
}

/// The tag `[APPLICATION number]`, constructed. Numbers are 0 to 30.
#[must_use]
pub const fn application(number: u8) -> u8 {
    0x60 | (number & 0x1f)
}

/// Reads elements one after the other.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    reader: Reader<'a>,
    what: &'static str,
    depth: u8,
}

impl<'a> Decoder<'a> {
    /// A decoder at the beginning of `bytes`. `what` names the structure in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { reader: Reader::new(bytes, what), what, depth: 0 }
    }

    /// Whether no element is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.reader.is_empty()
    }

    /// Whether the next element has the tag.
    #[must_use]
    pub fn next_is(&self, tag: u8) -> bool {
        self.reader.peek() == Some(tag)
    }

    /// The next element: its tag and its contents.
    ///
    /// # Errors
    /// Truncated bytes, an indefinite length, a length of more than four octets, a tag number above 30.
    pub fn element(&mut self) -> Result<(u8, &'a [u8]), Error> {
        let tag = self.reader.u8()?;
        if tag & 0x1f == 0x1f {
            return Err(Error::Malformed(self.what));
        }
        let length = length(&mut self.reader, self.what)?;
        Ok((tag, self.reader.take(length)?))
    }

    /// The contents of the next element, which must have the tag.
    ///
    /// # Errors
    /// As [`Self::element`], and [`Error::Malformed`] if the tag is another.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        let (found, contents) = self.element()?;
        if found == tag { Ok(contents) } else { Err(Error::Malformed(self.what)) }
    }

    /// A decoder of the contents of the next element, which must have the tag.
    ///
    /// # Errors
    /// As [`Self::expect`], and [`Error::Limit`] beyond [`MAX_DEPTH`].
    pub fn constructed(&mut self, tag: u8) -> Result<Self, Error> {
        let contents = self.expect(tag)?;
        self.inside(contents)
    }

    /// A decoder of `contents`, one level below this one.
    ///
    /// # Errors
    /// [`Error::Limit`] beyond [`MAX_DEPTH`].
    pub fn inside(&self, contents: &'a [u8]) -> Result<Self, Error> {
        let depth = self.depth.saturating_add(1);
        if depth > MAX_DEPTH {
            return Err(Error::Limit(self.what));
        }
        Ok(Self { reader: Reader::new(contents, self.what), what: self.what, depth })
    }

    /// The value of the next element, which must have the tag and hold an integer of 1 to 8 octets.
    ///
    /// # Errors
    /// As [`Self::expect`], and [`Error::Malformed`] if it does not fit.
    pub fn integer(&mut self, tag: u8) -> Result<i64, Error> {
        integer(self.expect(tag)?).ok_or(Error::Malformed(self.what))
    }
}

/// The value of an INTEGER or ENUMERATED of 1 to 8 octets, two's complement; `None` if it has none or more.
#[must_use]
pub fn integer(contents: &[u8]) -> Option<i64> {
    let first = contents.first()?;
    let mut octets = if first & 0x80 == 0 { [0; 8] } else { [0xff; 8] };
    let start = octets.len().checked_sub(contents.len())?;
    octets.get_mut(start..)?.copy_from_slice(contents);
    Some(i64::from_be_bytes(octets))
}

/// The octets of the element at the beginning of `bytes`, header included; `None` while the header is incomplete.
///
/// # Errors
/// An indefinite length, a length of more than four octets, or [`Error::Limit`] for an element over `limit` octets.
pub fn measure(bytes: &[u8], limit: usize, what: &'static str) -> Result<Option<usize>, Error> {
    let mut reader = Reader::new(bytes, what);
    let measured = reader.u8().and_then(|_tag| length(&mut reader, what));
    match measured {
        Ok(length) => {
            let total = reader.position().saturating_add(length);
            if total > limit { Err(Error::Limit(what)) } else { Ok(Some(total)) }
        }
        Err(Error::Truncated(_)) => Ok(None),
        Err(error @ (Error::Malformed(_) | Error::Limit(_))) => Err(error),
    }
}

/// A length, X.690 8.1.3: one octet below 128, or the number of the octets that follow.
fn length(reader: &mut Reader<'_>, what: &'static str) -> Result<usize, Error> {
    let first = reader.u8()?;
    if first < 0x80 {
        return Ok(usize::from(first));
    }
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 4 {
        return Err(Error::Malformed(what));
    }
    let mut length: u32 = 0;
    for octet in reader.take(octets)? {
        length = (length << 8) | u32::from(*octet);
    }
    usize::try_from(length).map_err(|_| Error::Limit(what))
}

/// Writes elements one after the other, with the shortest lengths.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// A writer that has written nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// Writes an element with these contents.
    pub fn primitive(&mut self, tag: u8, contents: &[u8]) -> &mut Self {
        self.out.push(tag);
        match u8::try_from(contents.len()) {
            Ok(short) if short < 0x80 => self.out.push(short),
            Ok(_) | Err(_) => self.long_length(contents.len()),
        }
        self.out.extend_from_slice(contents);
        self
    }

    /// Writes an element whose contents `write` writes.
    pub fn constructed(&mut self, tag: u8, write: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::new();
        write(&mut inner);
        self.primitive(tag, &inner.out)
    }

    /// Writes an INTEGER or ENUMERATED in the fewest octets.
    pub fn integer(&mut self, tag: u8, value: i64) -> &mut Self {
        let octets = value.to_be_bytes();
        let mut contents: &[u8] = &octets;
        while let [first, second, ..] = contents {
            let sign = if second & 0x80 == 0 { 0x00 } else { 0xff };
            if *first != sign {
                break;
            }
            contents = contents.get(1..).unwrap_or_default();
        }
        self.primitive(tag, contents)
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.out
    }

    fn long_length(&mut self, length: usize) {
        let octets: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|octet| *octet == 0).collect();
        self.out.push(0x80 | u8::try_from(octets.len()).unwrap_or(0));
        self.out.extend(octets);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_lengths_of_windows_are_accepted() {
        let bytes = [0x30, 0x84, 0, 0, 0, 3, 2, 1, 7];
        let mut sequence = Decoder::new(&bytes, "test").constructed(SEQUENCE).unwrap();
        assert_eq!(sequence.integer(INTEGER), Ok(7));
        assert!(sequence.is_empty());
        assert_eq!(measure(&bytes, 100, "test"), Ok(Some(9)));
        assert_eq!(measure(&bytes[..5], 100, "test"), Ok(None));
    }

    #[test]
    fn bad_lengths_and_tags_are_refused() {
        let malformed = Err(Error::Malformed("test"));
        for bytes in [&[0x30, 0x80, 0, 0][..], &[0x30, 0x85, 0, 0, 0, 0, 0], &[0x1f, 1, 0], &[0x30, 0xff]] {
            assert_eq!(Decoder::new(bytes, "test").element(), malformed, "{bytes:x?}");
        }
        assert_eq!(
            Decoder::new(&[4, 0x84, 0xff, 0xff, 0xff, 0xff], "t").element(),
            Err(Error::Truncated("t"))
        );
        assert_eq!(measure(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], 65536, "t"), Err(Error::Limit("t")));
    }

    #[test]
    fn depth_is_limited() {
        let mut bytes = Vec::new();
        for _ in 0..20 {
            let mut writer = Writer::new();
            writer.primitive(SEQUENCE, &bytes);
            bytes = writer.finish();
        }
        let mut decoder = Decoder::new(&bytes, "test");
        let mut depth = 0;
        let stopped = loop {
            match decoder.constructed(SEQUENCE) {
                Ok(inner) => decoder = inner,
                Err(error) => break error,
            }
            depth += 1;
        };
        assert_eq!((depth, stopped), (MAX_DEPTH, Error::Limit("test")));
    }

    proptest! {
        #[test]
        fn integers_round_trip(value: i64) {
            let mut writer = Writer::new();
            writer.integer(INTEGER, value);
            let bytes = writer.finish();
            prop_assert_eq!(Decoder::new(&bytes, "test").integer(INTEGER), Ok(value));
        }

        #[test]
        fn elements_round_trip(contents in proptest::collection::vec(any::<u8>(), 0..1000), after: u8) {
            let mut writer = Writer::new();
            writer.primitive(OCTET_STRING, &contents);
            let mut bytes = writer.finish();
            prop_assert_eq!(measure(&bytes, 65536, "test"), Ok(Some(bytes.len())));
            bytes.push(after);
            let mut decoder = Decoder::new(&bytes, "test");
            prop_assert_eq!(decoder.element(), Ok((OCTET_STRING, contents.as_slice())));
            prop_assert!(!decoder.is_empty());
        }
    }
}
