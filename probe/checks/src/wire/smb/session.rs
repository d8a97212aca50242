//! SMB2 SESSION_SETUP (MS-SMB2 2.2.5 and 2.2.6): the first of its messages, and the answer.

use super::{HEADER, WHAT, framed, header, open};
use crate::wire::reader::{Error, Reader};

const SESSION_SETUP: u16 = 1;
/// STATUS_MORE_PROCESSING_REQUIRED: the server has answered with a token and waits for the next one.
pub const MORE_PROCESSING_REQUIRED: u32 = 0xc000_0016;
/// Octets of the request before its token.
const FIXED: u16 = 24;

/// What a server says to SESSION_SETUP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionReply<'a> {
    /// NTSTATUS, such as [`MORE_PROCESSING_REQUIRED`].
    pub status: u32,
    /// Its token; empty if it sent none.
    pub token: &'a [u8],
}

/// A SESSION_SETUP with a token, as the second message of a connection, its length before it.
#[must_use]
pub fn session_request(token: &[u8]) -> Vec<u8> {
    let mut message = header(SESSION_SETUP, 1);
    // The structure, no flags, signing enabled, no capabilities, no channel.
    message.extend(25_u16.to_le_bytes());
    message.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Where the token begins, its length, and no session before this one.
    message.extend(HEADER.saturating_add(FIXED).to_le_bytes());
    message.extend(u16::try_from(token.len()).unwrap_or(u16::MAX).to_le_bytes());
    message.extend([0; 8]);
    message.extend(token);
    framed(&message)
}

/// Decodes the response to SESSION_SETUP, without its length.
///
/// # Errors
/// The bytes are no such response, or its token lies outside of them.
pub fn decode_session(message: &[u8]) -> Result<SessionReply<'_>, Error> {
    let (status, mut reader) = open(message, SESSION_SETUP)?;
    if reader.u16_le()? != 9 {
        return Err(Error::Malformed(WHAT));
    }
    if !matches!(status, 0 | MORE_PROCESSING_REQUIRED) {
        return Ok(SessionReply { status, token: &[] });
    }
    let _flags = reader.u16_le()?;
    let (offset, length) = (reader.u16_le()?, reader.u16_le()?);
    Ok(SessionReply { status, token: buffer(message, &reader, offset, length)? })
}

/// A buffer behind the fixed part of a message, by its place and length.
pub(super) fn buffer<'a>(
    message: &'a [u8],
    fixed: &Reader<'_>,
    offset: u16,
    length: u16,
) -> Result<&'a [u8], Error> {
    if length == 0 {
        return Ok(&[]);
    }
    let start = usize::from(offset).max(fixed.position());
    let found = message.get(start..).and_then(|rest| rest.get(..usize::from(length)));
    found.ok_or(Error::Truncated(WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u32, body: &[u8]) -> Vec<u8> {
        let mut message = header(SESSION_SETUP, 1);
        message[8..12].copy_from_slice(&status.to_le_bytes());
        message[16] = 1;
        [message.as_slice(), body].concat()
    }

    #[test]
    fn a_token_lies_within_the_message() {
        let body = [9, 0, 0, 0, 72, 0, 2, 0, b'a', b'b'];
        let expected = SessionReply { status: MORE_PROCESSING_REQUIRED, token: b"ab" };
        let message = reply(MORE_PROCESSING_REQUIRED, &body);
        assert_eq!(decode_session(&message), Ok(expected));
        assert!(decode_session(&message[..message.len() - 1]).is_err());
    }

    #[test]
    fn of_a_refusal_only_the_status_is_read() {
        let refused = reply(0xc000_0022, &[9, 0]);
        assert_eq!(decode_session(&refused), Ok(SessionReply { status: 0xc000_0022, token: &[] }));
        assert!(decode_session(&reply(0xc000_0022, &[25, 0])).is_err());
    }
}
