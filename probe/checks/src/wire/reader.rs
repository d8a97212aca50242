//! A cursor over bytes that a stranger wrote: every read returns a `Result`, nothing is indexed.

/// Why bytes could not be decoded. The text names the structure in which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end before the structure does.
    #[error("the bytes end inside {0}")]
    Truncated(&'static str),
    /// A value that the structure does not allow.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// More, longer or deeper than any honest peer sends.
    #[error("{0} is over the limit")]
    Limit(&'static str),
}

/// A cursor. Positions are octets from the beginning of the bytes that it was made of.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
    what: &'static str,
}

macro_rules! integers {
    ($($name:ident $kind:ty, $from:ident, $doc:literal;)*) => {$(
        #[doc = $doc]
        ///
        /// # Errors
        /// [`Error::Truncated`] if too few octets are left; nothing is consumed then.
        pub fn $name(&mut self) -> Result<$kind, Error> {
            self.array().map(<$kind>::$from)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// A cursor at the beginning of `bytes`. `what` names the structure in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, length: bytes.len(), what }
    }

    /// How many octets are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// How many octets were consumed.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.length.saturating_sub(self.rest.len())
    }

    /// The next octet, not consumed.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Everything that is left, not consumed.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` octets.
    ///
    /// # Errors
    /// [`Error::Truncated`] if fewer are left; nothing is consumed then.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.rest.split_at_checked(count).ok_or(Error::Truncated(self.what))?;
        self.rest = tail;
        Ok(head)
    }

    /// The next `N` octets as an array.
    ///
    /// # Errors
    /// [`Error::Truncated`] if fewer are left; nothing is consumed then.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (head, tail) = self.rest.split_first_chunk().ok_or(Error::Truncated(self.what))?;
        self.rest = tail;
        Ok(*head)
    }

    /// Passes over octets up to the next position that is a multiple of `alignment`; 0 and 1 pass over none.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the bytes end before.
    pub fn align(&mut self, alignment: usize) -> Result<(), Error> {
        let past = self.position().checked_rem(alignment).unwrap_or(0);
        let padding = if past == 0 { 0 } else { alignment.saturating_sub(past) };
        self.take(padding).map(drop)
    }

    integers! {
        u8 u8, from_be_bytes, "The next octet.";
        u16_be u16, from_be_bytes, "The next 16-bit number, most significant octet first.";
        u16_le u16, from_le_bytes, "The next 16-bit number, least significant octet first.";
        u32_be u32, from_be_bytes, "The next 32-bit number, most significant octet first.";
        u32_le u32, from_le_bytes, "The next 32-bit number, least significant octet first.";
        u64_le u64, from_le_bytes, "The next 64-bit number, least significant octet first.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_both_orders() {
        let mut reader = Reader::new(&[1, 2, 1, 2, 1, 2, 3, 4, 1, 2, 3, 4], "test");
        assert_eq!(reader.u16_be(), Ok(0x0102));
        assert_eq!(reader.u16_le(), Ok(0x0201));
        assert_eq!(reader.u32_be(), Ok(0x0102_0304));
        assert_eq!(reader.u32_le(), Ok(0x0403_0201));
        assert_eq!(reader.position(), 12);
        assert_eq!(reader.u8(), Err(Error::Truncated("test")));
    }

    #[test]
    fn a_short_read_consumes_nothing() {
        let mut reader = Reader::new(&[1, 2, 3], "test");
        assert!(reader.u32_be().is_err());
        assert!(reader.take(4).is_err());
        assert_eq!(reader.remaining(), 3);
    }

    #[test]
    fn alignment_counts_from_the_beginning() {
        let mut reader = Reader::new(&[0; 9], "test");
        for (taken, aligned) in [(1, 4), (0, 4), (4, 8)] {
            reader.take(taken).unwrap();
            reader.align(4).unwrap();
            assert_eq!(reader.position(), aligned);
        }
        reader.take(1).unwrap();
        assert!(reader.align(4).is_err());
        assert_eq!(reader.align(0), Ok(()));
    }
}
