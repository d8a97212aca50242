//! SNTP (RFC 4330, RFC 5905 7.3): one request, and the server's time.
//!
//! A request has 48 octets and no more: MS-SNTP answers longer ones with a digest that is made of an account's secret.

use super::reader::{Error, Reader};
use super::time::Moment;

const WHAT: &str = "an NTP message";
/// Octets of a message without extensions.
const LENGTH: usize = 48;
/// Version 3, which Windows itself speaks (MS-SNTP 1.3), and mode 3: a client.
const CLIENT: u8 = 3 << 3 | 3;
/// Mode 4: the answer of a server.
const SERVER: u8 = 4;
/// Seconds from 1900-01-01 to 1970-01-01.
const EPOCH: i64 = 2_208_988_800;
/// Seconds in one era of 32 bits.
const ERA: i64 = 1 << 32;

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Leap indicator, 0 to 3; 3: the server's clock is not synchronised.
    pub leap: u8,
    /// Distance from the reference clock; 0 is a kiss-o'-death, 1 has the clock itself, 16 is not synchronised.
    pub stratum: u8,
    /// Where the time comes from; for stratum 0 why no time is told (RFC 5905 7.4).
    pub reference: [u8; 4],
    /// When the request came in, by the server's clock; `None` if it does not tell.
    pub receive: Option<Moment>,
    /// When the answer went out, by the server's clock; `None` if it does not tell.
    pub transmit: Option<Moment>,
}

impl Reply {
    /// The leap indicator as a word.
    #[must_use]
    pub const fn leap_word(&self) -> &'static str {
        match self.leap {
            0 => "none",
            1 => "insert",
            2 => "delete",
            _ => "unsynchronised",
        }
    }

    /// The reference: a name for strata 0 and 1, an address below (RFC 5905 7.3).
    #[must_use]
    pub fn reference_text(&self) -> String {
        if self.stratum > 1 {
            return std::net::Ipv4Addr::from(self.reference).to_string();
        }
        let name: Vec<u8> = self.reference.into_iter().filter(|octet| *octet != 0).collect();
        String::from_utf8_lossy(&name).into_owned()
    }
}

/// A request. The nonce stands where a client's time may stand: the server repeats it, and learns nothing from it.
#[must_use]
pub fn request(nonce: u64) -> Vec<u8> {
    let mut out = vec![0; LENGTH.saturating_sub(8)];
    if let Some(first) = out.first_mut() {
        *first = CLIENT;
    }
    out.extend(nonce.to_be_bytes());
    out
}

/// Decodes the answer to the request with this nonce. `None`: it answers another one.
///
/// # Errors
/// The bytes are not the answer of an NTP server.
pub fn decode(bytes: &[u8], nonce: u64) -> Result<Option<Reply>, Error> {
    let mut reader = Reader::new(bytes, WHAT);
    let first = reader.u8()?;
    let (leap, version, mode) = (first >> 6, (first >> 3) & 7, first & 7);
    if mode != SERVER || !(1..=4).contains(&version) {
        return Err(Error::Malformed(WHAT));
    }
    let stratum = reader.u8()?;
    // Poll interval, precision, root delay and root dispersion.
    reader.take(10)?;
    let reference = reader.array()?;
    // When the server's clock was last set.
    reader.take(8)?;
    let originate = u64::from_be_bytes(reader.array()?);
    let (receive, transmit) = (timestamp(&mut reader)?, timestamp(&mut reader)?);
    let reply = Reply { leap, stratum, reference, receive, transmit };
    Ok((originate == nonce).then_some(reply))
}

/// Seconds since 1900 and their fraction. Without the highest bit they are of the era that begins in 2036 (RFC 4330 3).
fn timestamp(reader: &mut Reader<'_>) -> Result<Option<Moment>, Error> {
    let (seconds, fraction) = (reader.u32_be()?, reader.u32_be()?);
    if (seconds, fraction) == (0, 0) {
        return Ok(None);
    }
    let era = if seconds & 0x8000_0000 == 0 { ERA } else { 0 };
    let micros = (u64::from(fraction).saturating_mul(1_000_000)) >> 32;
    let unix = i64::from(seconds).saturating_add(era).saturating_sub(EPOCH);
    let whole = unix.saturating_mul(1_000_000);
    Ok(Moment::from_unix_micros(whole.saturating_add(i64::try_from(micros).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_eras_are_understood() {
        let read = |seconds: u32, fraction: u32| {
            let octets = [seconds.to_be_bytes(), fraction.to_be_bytes()].concat();
            timestamp(&mut Reader::new(&octets, WHAT)).unwrap().map(Moment::rfc3339_micros)
        };
        assert_eq!(read(0, 0), None);
        assert_eq!(read(2_208_988_800, 1 << 31).as_deref(), Some("1970-01-01T00:00:00.500000Z"));
        assert_eq!(read(u32::MAX, u32::MAX).as_deref(), Some("2036-02-07T06:28:15.999999Z"));
        assert_eq!(read(0, 1 << 31).as_deref(), Some("2036-02-07T06:28:16.500000Z"));
    }

    #[test]
    fn a_request_is_short_and_holds_no_time() {
        let request = request(0x0102_0304_0506_0708);
        assert_eq!(request.len(), 48);
        assert_eq!((request[0], &request[40..]), (0x1b, &[1, 2, 3, 4, 5, 6, 7, 8][..]));
        assert!(request[1..40].iter().all(|octet| *octet == 0));
    }
}
