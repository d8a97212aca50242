//! The place of something in a trace, as W3C Trace Context writes it in the header `traceparent`.

use std::{fmt, str::FromStr};

/// Length of what this version writes: `00-TRACE-SPAN-FLAGS`.
const LENGTH: usize = 55;
/// The flag that says: whoever began the trace records it.
const SAMPLED: u8 = 1;

/// Number of a trace. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// Number of a span in its trace. Never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

/// A span, named from outside: what belongs to it comes under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span in it.
    pub span: SpanId,
    /// Whether the trace is recorded. What is not is handed on all the same.
    pub sampled: bool,
}

/// A text that names no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no traceparent, such as 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
pub struct BadTraceParent;

impl TraceId {
    /// The trace of this number; `None` for zero.
    #[must_use]
    pub fn new(number: u128) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u128 {
        self.0
    }
}

impl SpanId {
    /// The span of this number; `None` for zero.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// Digits in lower case and nothing else: the parsers of numbers take signs and upper case as well.
fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl FromStr for SpanId {
    type Err = BadTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = Some(text).filter(|text| is_hex(text, 16));
        number.and_then(|text| u64::from_str_radix(text, 16).ok()).and_then(Self::new).ok_or(BadTraceParent)
    }
}

impl FromStr for TraceId {
    type Err = BadTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = Some(text).filter(|text| is_hex(text, 32));
        number.and_then(|text| u128::from_str_radix(text, 16).ok()).and_then(Self::new).ok_or(BadTraceParent)
    }
}

impl FromStr for TraceParent {
    type Err = BadTraceParent;

    /// Later versions may have more after a further `-`, and mean the same by what comes before.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (known, rest) = text.split_at_checked(LENGTH).ok_or(BadTraceParent)?;
        let mut parts = known.split('-');
        let mut part = || parts.next().ok_or(BadTraceParent);
        let (version, trace, span, flags) = (part()?, part()?, part()?, part()?);
        let is_whole = parts.next().is_none() && is_hex(version, 2) && is_hex(flags, 2);
        let fits = if version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        if !is_whole || !fits || version == "ff" {
            return Err(BadTraceParent);
        }
        let flags = u8::from_str_radix(flags, 16).map_err(|_| BadTraceParent)?;
        Ok(Self { trace: trace.parse()?, span: span.parse()?, sampled: flags & SAMPLED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_the_recommendation_shows_is_read_and_written() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert_eq!(parent.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((parent.span.number(), parent.sampled), (0xb7ad_6b71_6920_3331, true));
        assert_eq!(parent.to_string(), GOOD);
        for (text, sampled) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false),
            // Flags that are not known yet.
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true),
            // A later version, with and without more.
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes", true),
        ] {
            let read: TraceParent = text.parse().unwrap();
            assert_eq!(read, TraceParent { sampled, ..parent }, "{text}");
        }
    }

    #[test]
    fn what_names_no_span_is_refused() {
        for text in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-010",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-01",
        ] {
            assert_eq!(text.parse::<TraceParent>(), Err(BadTraceParent), "{text}");
        }
    }

    /// Whatever a stranger writes: no panic, and what is read means what it says.
    #[test]
    fn every_text_near_a_good_one_is_read_or_refused() {
        for place in 0..GOOD.len() {
            assert!(GOOD[..place].parse::<TraceParent>().is_err());
            for byte in 0..=u8::MAX {
                let mut bytes = GOOD.as_bytes().to_vec();
                bytes[place] = byte;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                if let Ok(parent) = text.parse::<TraceParent>() {
                    assert_eq!(parent.to_string().parse(), Ok(parent));
                    assert_eq!(parent.to_string()[3..52], text[3..52]);
                }
            }
        }
    }
}
