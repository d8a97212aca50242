//! SMB2 NEGOTIATE (MS-SMB2 2.2.3 and 2.2.4) over direct TCP (MS-SMB2 2.1).

use super::reader::{Error, Reader};
use super::time::Moment;

mod session;

pub use session::{MORE_PROCESSING_REQUIRED, SessionReply, decode_session, session_request};

/// A response may have this many octets. Windows sends some 500.
pub const MAX_MESSAGE: usize = 64 * 1024;

const WHAT: &str = "an SMB2 message";
const PROTOCOL_ID: [u8; 4] = [0xfe, b'S', b'M', b'B'];
const HEADER: u16 = 64;
const NEGOTIATE: u16 = 0;
/// SMB2_FLAGS_SERVER_TO_REDIR: the message is a response.
const RESPONSE: u32 = 1;
/// SMB2_NEGOTIATE_SIGNING_ENABLED.
const SIGNING_ENABLED: u16 = 1;
/// SMB2_NEGOTIATE_SIGNING_REQUIRED.
const SIGNING_REQUIRED: u16 = 2;
/// SMB 2.0.2 to 3.0.2.
const DIALECTS: [u16; 4] = [0x0202, 0x0210, 0x0300, 0x0302];
/// SMB 3.1.1.
const DIALECT_311: u16 = 0x0311;
/// AES-256-GCM, AES-128-GCM, AES-128-CCM, AES-256-CCM (MS-SMB2 2.2.3.1.2).
const CIPHERS: [u16; 4] = [4, 2, 1, 3];
/// SHA-512 (MS-SMB2 2.2.3.1.1).
const SHA_512: u16 = 1;

/// What a server says to NEGOTIATE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It chose a dialect.
    Negotiated(Negotiated),
    /// It refused, with this NTSTATUS.
    Refused(u32),
}

/// SMB2 NEGOTIATE response, MS-SMB2 2.2.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// NTSTATUS; 0 is success.
    pub status: u32,
    /// SMB2_NEGOTIATE_SIGNING_ENABLED (1) and SMB2_NEGOTIATE_SIGNING_REQUIRED (2).
    pub security_mode: u16,
    /// Such as `0x0311`; `0x02ff` asks for another NEGOTIATE.
    pub dialect: u16,
    /// GUID of the server, as it is on the wire.
    pub server_guid: [u8; 16],
    /// SMB2_GLOBAL_CAP bits.
    pub capabilities: u32,
    /// The server's time.
    pub system_time: Option<Moment>,
    /// When the server started. Windows domain controllers often do not tell.
    pub start_time: Option<Moment>,
    /// The token that names the server's ways to authenticate.
    pub security: Vec<u8>,
}

impl Negotiated {
    /// Whether the server refuses unsigned sessions.
    #[must_use]
    pub const fn requires_signing(&self) -> bool {
        self.security_mode & SIGNING_REQUIRED != 0
    }

    /// The dialect as people write it: `3.1.1`.
    #[must_use]
    pub fn dialect_text(&self) -> String {
        match self.dialect {
            0x02ff => "2.???".to_owned(),
            dialect => {
                let (major, minor, patch) = (dialect >> 8, (dialect >> 4) & 0xf, dialect & 0xf);
                // 2.1 and 3.0 are written without a third number (MS-SMB2 1.7).
                if patch == 0 { format!("{major}.{minor}") } else { format!("{major}.{minor}.{patch}") }
            }
        }
    }
}

/// A GUID as people write it (MS-DTYP 2.3.4.2).
#[must_use]
pub fn guid_text(guid: &[u8; 16]) -> String {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *guid;
    let tail: Vec<String> = rest.iter().map(|octet| format!("{octet:02x}")).collect();
    let (two, six) = tail.split_at_checked(2).unwrap_or((&tail, &[]));
    format!(
        "{:08x}-{:04x}-{:04x}-{}-{}",
        u32::from_le_bytes([a, b, c, d]),
        u16::from_le_bytes([e, f]),
        u16::from_le_bytes([g, h]),
        two.concat(),
        six.concat()
    )
}

/// A NEGOTIATE of 2.0.2 to 3.0.2, and with a salt also of 3.1.1, which needs negotiate contexts.
#[must_use]
pub fn negotiate_request(client_guid: [u8; 16], salt: Option<[u8; 32]>) -> Vec<u8> {
    let mut message = header(NEGOTIATE, 0);
    let dialects: Vec<u16> = DIALECTS.into_iter().chain(salt.map(|_| DIALECT_311)).collect();
    message.extend(36_u16.to_le_bytes());
    message.extend(u16::try_from(dialects.len()).unwrap_or(0).to_le_bytes());
    message.extend(SIGNING_ENABLED.to_le_bytes());
    message.extend([0; 2]);
    message.extend([0; 4]);
    message.extend(client_guid);
    match salt {
        None => message.extend([0; 8]),
        Some(_) => {
            // The contexts begin at 112: 64 of header, 36 of structure, 10 of dialects, 2 to the next multiple of 8.
            message.extend(112_u32.to_le_bytes());
            message.extend(2_u16.to_le_bytes());
            message.extend([0; 2]);
        }
    }
    message.extend(dialects.into_iter().flat_map(u16::to_le_bytes));
    if let Some(salt) = salt {
        pad(&mut message);
        message.extend(contexts(salt));
    }
    framed(&message)
}

/// SMB2 header of a request before there is a session, MS-SMB2 2.2.1.2: one credit, and the number of the message.
fn header(command: u16, number: u64) -> Vec<u8> {
    let mut header = Vec::with_capacity(256);
    header.extend(PROTOCOL_ID);
    header.extend(HEADER.to_le_bytes());
    header.extend([0; 6]);
    header.extend(command.to_le_bytes());
    header.extend(1_u16.to_le_bytes());
    header.extend([0; 8]);
    header.extend(number.to_le_bytes());
    header.extend([0; 32]);
    header
}

/// SMB2_PREAUTH_INTEGRITY_CAPABILITIES and SMB2_ENCRYPTION_CAPABILITIES, MS-SMB2 2.2.3.1.
fn contexts(salt: [u8; 32]) -> Vec<u8> {
    let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // Type, length of the data, reserved; then one algorithm and a salt of 32 octets.
    let mut out = words(&[1, 38, 0, 0, 1, 32, SHA_512]);
    out.extend(salt);
    pad(&mut out);
    out.extend(words(&[2, 10, 0, 0, 4]));
    out.extend(words(&CIPHERS));
    out
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// The message with its length before it: a zero and 24 bits (MS-SMB2 2.1).
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(0) & 0x00ff_ffff;
    [length.to_be_bytes().as_slice(), message].concat()
}

/// The octets of the framed message at the beginning of `bytes`, its length of 4 octets included; `None` while that
/// is not known.
///
/// # Errors
/// The first octet is not zero, or the message has fewer octets than a header or more than [`MAX_MESSAGE`].
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    if bytes.first().is_some_and(|first| *first != 0) {
        return Err(Error::Malformed(WHAT));
    }
    let Ok(length) = Reader::new(bytes, WHAT).u32_be() else { return Ok(None) };
    match usize::try_from(length) {
        Ok(length) if length > MAX_MESSAGE => Err(Error::Limit(WHAT)),
        Ok(length) => Ok(Some(length.saturating_add(4))),
        Err(_) => Err(Error::Limit(WHAT)),
    }
}

/// Whether a message, without its length, has the header of SMB 1.
#[must_use]
pub fn is_smb1(message: &[u8]) -> bool {
    message.starts_with(&[0xff, b'S', b'M', b'B'])
}

/// Reads the header of a response to a command: its status, and a reader after the header.
fn open(message: &[u8], expected: u16) -> Result<(u32, Reader<'_>), Error> {
    let mut reader = Reader::new(message, WHAT);
    if reader.array()? != PROTOCOL_ID || reader.u16_le()? != HEADER {
        return Err(Error::Malformed(WHAT));
    }
    let _credit_charge = reader.u16_le()?;
    let status = reader.u32_le()?;
    let (command, _credits, flags) = (reader.u16_le()?, reader.u16_le()?, reader.u32_le()?);
    if command != expected || flags & RESPONSE == 0 {
        return Err(Error::Malformed(WHAT));
    }
    reader.take(44)?;
    Ok((status, reader))
}

/// Decodes the response to NEGOTIATE, without its length. Contexts are not looked at.
///
/// # Errors
/// The bytes are no such response.
pub fn decode(message: &[u8]) -> Result<Reply, Error> {
    let (status, mut reader) = open(message, NEGOTIATE)?;
    match reader.u16_le()? {
        65 => negotiated(status, message, reader).map(Reply::Negotiated),
        9 if status != 0 => {
            // Context count, reserved, and the count of the error data that must follow.
            reader.u16_le()?;
            let count = usize::try_from(reader.u32_le()?).map_err(|_| Error::Limit(WHAT))?;
            reader.take(count)?;
            Ok(Reply::Refused(status))
        }
        _ => Err(Error::Malformed(WHAT)),
    }
}

fn negotiated(status: u32, message: &[u8], mut reader: Reader<'_>) -> Result<Negotiated, Error> {
    let security_mode = reader.u16_le()?;
    let dialect = reader.u16_le()?;
    reader.u16_le()?;
    let server_guid = reader.array()?;
    let capabilities = reader.u32_le()?;
    let _largest_sizes: [u8; 12] = reader.array()?;
    let system_time = Moment::from_filetime(reader.u64_le()?);
    let start_time = Moment::from_filetime(reader.u64_le()?);
    let (offset, length) = (reader.u16_le()?, reader.u16_le()?);
    reader.u32_le()?;
    // The security buffer follows at once or a little later: it must lie within the message.
    let security = session::buffer(message, &reader, offset, length)?.to_vec();
    Ok(Negotiated {
        status,
        security_mode,
        dialect,
        server_guid,
        capabilities,
        system_time,
        start_time,
        security,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dialects_as_people_write_them() {
        for (dialect, text) in [
            (0x0202, "2.0.2"),
            (0x0210, "2.1"),
            (0x0300, "3.0"),
            (0x0302, "3.0.2"),
            (0x0311, "3.1.1"),
            (0x02ff, "2.???"),
        ] {
            let negotiated = Negotiated {
                status: 0,
                security_mode: 1,
                dialect,
                server_guid: [0; 16],
                capabilities: 0,
                system_time: None,
                start_time: None,
                security: Vec::new(),
            };
            assert_eq!(negotiated.dialect_text(), text);
        }
    }

    #[test]
    fn contexts_begin_where_the_request_says() {
        let request = negotiate_request([7; 16], Some([9; 32]));
        let message = &request[4..];
        assert_eq!(usize::from(request[3]), message.len());
        assert_eq!(&message[100..110], [0x02, 0x02, 0x10, 0x02, 0x00, 0x03, 0x02, 0x03, 0x11, 0x03]);
        assert_eq!(&message[112..126], [1, 0, 38, 0, 0, 0, 0, 0, 1, 0, 32, 0, 1, 0]);
        assert_eq!(&message[160..168], [2, 0, 10, 0, 0, 0, 0, 0]);
        assert_eq!(message.len(), 178);
    }

    #[test]
    fn what_is_not_smb_is_refused_early() {
        assert_eq!(measure(&[0, 0]), Ok(None));
        assert_eq!(measure(&[0, 0, 1, 0, 9]), Ok(Some(260)));
        assert!(measure(b"H").is_err());
        assert!(measure(&[0, 2, 0, 0]).is_err());
        assert!(is_smb1(b"\xffSMBr"));
    }
}
