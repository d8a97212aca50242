//! Kerberos (RFC 4120): a request for a ticket without pre-authentication, and what a KDC says to it.

use super::ber::{
    self, BIT_STRING, Decoder, GENERAL_STRING, GENERALIZED_TIME, INTEGER, OCTET_STRING, SEQUENCE,
};
use super::ber::{Writer, application, context};
use super::reader::{Error, Reader};
use super::time::Moment;

mod errors;

pub use errors::error_name;

/// A message may have this many octets.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// A METHOD-DATA may have this many elements. Samba sends 7.
pub const MAX_PADATA: usize = 64;

const AS_REQ: u8 = application(10);
const AS_REP: u8 = application(11);
const KRB_ERROR: u8 = application(30);
const WHAT: &str = "a Kerberos message";

/// Forwardable, renewable, canonicalize and renewable-ok (RFC 4120 5.4.1, RFC 6806 7), as Windows asks.
const OPTIONS: [u8; 5] = [0, 0x40, 0x81, 0x00, 0x10];
/// The end that Windows asks for.
const TILL: &[u8] = b"20370913024805Z";
/// AES-256, AES-128 and RC4 (RFC 3962 7, RFC 4757 3), strongest first.
const ENCRYPTION_TYPES: [i64; 3] = [18, 17, 23];
const NT_PRINCIPAL: i64 = 1;
pub(super) const NT_SRV_INST: i64 = 2;

/// What a KDC says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// KRB-ERROR, RFC 4120 5.9.1.
    Error(Box<KrbError>),
    /// AS-REP, RFC 4120 5.4.2: the principal exists and needs no pre-authentication.
    Ticket {
        /// Realm of the client.
        realm: String,
    },
}

/// KRB-ERROR, RFC 4120 5.9.1. Texts are as the KDC writes them, invalid UTF-8 replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KrbError {
    /// The KDC's time, to the microsecond.
    pub server_time: Moment,
    /// The error code, RFC 4120 7.5.9.
    pub code: i64,
    /// Realm of the service.
    pub realm: String,
    /// Realm of the client, which Windows omits.
    pub client_realm: Option<String>,
    /// The KDC's words, which Windows omits.
    pub text: Option<String>,
    /// More, in a form that depends on the code.
    pub data: Option<Vec<u8>>,
    /// Pre-authentication types of the data, for the codes 24 and 25; empty if it cannot be read.
    pub padata: Vec<i64>,
}

/// An AS-REQ without pre-authentication, for a ticket-granting ticket. Nonces are 0 to 2^31 - 1.
#[must_use]
pub fn as_request(principal: &str, realm: &str, nonce: u32) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(AS_REQ, |request| {
        request.constructed(SEQUENCE, |fields| {
            fields.constructed(context(1), |pvno| {
                pvno.integer(INTEGER, 5);
            });
            fields.constructed(context(2), |kind| {
                kind.integer(INTEGER, 10);
            });
            fields.constructed(context(4), |body| {
                body.constructed(SEQUENCE, |body| request_body(body, principal, realm, nonce));
            });
        });
    });
    out.finish()
}

fn request_body(body: &mut Writer, principal: &str, realm: &str, nonce: u32) {
    body.constructed(context(0), |options| {
        options.primitive(BIT_STRING, &OPTIONS);
    });
    body.constructed(context(1), |client| principal_name(client, NT_PRINCIPAL, &[principal]));
    body.constructed(context(2), |field| {
        field.primitive(GENERAL_STRING, realm.as_bytes());
    });
    body.constructed(context(3), |server| principal_name(server, NT_SRV_INST, &["krbtgt", realm]));
    body.constructed(context(5), |till| {
        till.primitive(GENERALIZED_TIME, TILL);
    });
    body.constructed(context(7), |field| {
        field.integer(INTEGER, i64::from(nonce));
    });
    body.constructed(context(8), |types| {
        types.constructed(SEQUENCE, |list| {
            for number in ENCRYPTION_TYPES {
                list.integer(INTEGER, number);
            }
        });
    });
}

/// `PrincipalName`, RFC 4120 5.2.2.
pub(super) fn principal_name(out: &mut Writer, kind: i64, parts: &[&str]) {
    out.constructed(SEQUENCE, |name| {
        name.constructed(context(0), |field| {
            field.integer(INTEGER, kind);
        });
        name.constructed(context(1), |field| {
            field.constructed(SEQUENCE, |list| {
                for part in parts {
                    list.primitive(GENERAL_STRING, part.as_bytes());
                }
            });
        });
    });
}

/// The message with its length before it, as TCP needs it (RFC 4120 7.2.2).
#[must_use]
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), message].concat()
}

/// The octets of the framed message at the beginning of `bytes`, its length of 4 octets included; `None` while that
/// is not known.
///
/// # Errors
/// An empty message, or one over [`MAX_MESSAGE`]; also the reserved highest bit.
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let Ok(length) = Reader::new(bytes, WHAT).u32_be() else { return Ok(None) };
    match usize::try_from(length) {
        Ok(0) => Err(Error::Malformed(WHAT)),
        Ok(length) if length <= MAX_MESSAGE => Ok(Some(length.saturating_add(4))),
        Ok(_) | Err(_) => Err(Error::Limit(WHAT)),
    }
}

/// Decodes one message of exactly these octets, without a length before it.
///
/// # Errors
/// The bytes are neither a KRB-ERROR nor an AS-REP, or lack a field that every KDC sends.
pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
    let mut outer = Decoder::new(bytes, WHAT);
    let reply = if outer.next_is(KRB_ERROR) {
        let fields = outer.constructed(KRB_ERROR)?.constructed(SEQUENCE)?;
        Reply::Error(Box::new(krb_error(fields)?))
    } else {
        let fields = outer.constructed(AS_REP)?.constructed(SEQUENCE)?;
        Reply::Ticket { realm: ticket_realm(fields)? }
    };
    if outer.is_empty() { Ok(reply) } else { Err(Error::Malformed(WHAT)) }
}

/// The explicitly tagged fields of a message; those that nobody asks for are passed over.
#[derive(Default)]
struct Fields {
    version: Option<i64>,
    kind: Option<i64>,
    server_time: Option<Moment>,
    server_micros: Option<u32>,
    code: Option<i64>,
    client_realm: Option<String>,
    realm: Option<String>,
    text: Option<String>,
    data: Option<Vec<u8>>,
}

fn krb_error(mut decoder: Decoder<'_>) -> Result<KrbError, Error> {
    let mut fields = Fields::default();
    while !decoder.is_empty() {
        let (tag, contents) = decoder.element()?;
        let field = decoder.inside(contents)?;
        read_field(&mut fields, tag, field)?;
    }
    let malformed = Error::Malformed(WHAT);
    if fields.version != Some(5) || fields.kind != Some(30) {
        return Err(malformed);
    }
    let code = fields.code.ok_or(malformed)?;
    let micros = fields.server_micros.ok_or(malformed)?;
    let server_time = fields.server_time.and_then(|time| time.plus_micros(micros)).ok_or(malformed)?;
    let padata = match &fields.data {
        Some(data) if code == 24 || code == 25 => method_data(data).unwrap_or_default(),
        Some(_) | None => Vec::new(),
    };
    let realm = fields.realm.ok_or(malformed)?;
    Ok(KrbError {
        server_time,
        code,
        realm,
        client_realm: fields.client_realm,
        text: fields.text,
        data: fields.data,
        padata,
    })
}

fn read_field(fields: &mut Fields, tag: u8, mut field: Decoder<'_>) -> Result<(), Error> {
    match tag & 0x1f {
        _ if tag & 0xe0 != context(0) => return Err(Error::Malformed(WHAT)),
        0 => fields.version = Some(field.integer(INTEGER)?),
        1 => fields.kind = Some(field.integer(INTEGER)?),
        4 => {
            let time = Moment::from_generalized(field.expect(GENERALIZED_TIME)?);
            fields.server_time = Some(time.ok_or(Error::Malformed(WHAT))?);
        }
        5 => {
            let micros = u32::try_from(field.integer(INTEGER)?).ok().filter(|micros| *micros < 1_000_000);
            fields.server_micros = Some(micros.ok_or(Error::Malformed(WHAT))?);
        }
        6 => fields.code = Some(field.integer(INTEGER)?),
        7 => fields.client_realm = Some(general_string(&mut field)?),
        9 => fields.realm = Some(general_string(&mut field)?),
        11 => fields.text = Some(general_string(&mut field)?),
        12 => fields.data = Some(field.expect(OCTET_STRING)?.to_vec()),
        _ => {}
    }
    Ok(())
}

fn general_string(decoder: &mut Decoder<'_>) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(decoder.expect(GENERAL_STRING)?).into_owned())
}

/// The types of a METHOD-DATA, RFC 4120 5.2.7 and 5.9.1.
fn method_data(data: &[u8]) -> Result<Vec<i64>, Error> {
    let mut list = Decoder::new(data, WHAT).constructed(SEQUENCE)?;
    let mut types = Vec::new();
    while !list.is_empty() && types.len() < MAX_PADATA {
        let mut padata = list.constructed(SEQUENCE)?;
        types.push(padata.constructed(context(1))?.integer(INTEGER)?);
    }
    Ok(types)
}

/// The client's realm of an AS-REP, RFC 4120 5.4.2. The ticket and the encrypted part must be there, unread.
fn ticket_realm(mut decoder: Decoder<'_>) -> Result<String, Error> {
    let (mut version, mut kind, mut realm, mut parts) = (None, None, None, 0_u8);
    while !decoder.is_empty() {
        let (tag, contents) = decoder.element()?;
        let mut field = decoder.inside(contents)?;
        match tag {
            _ if tag == context(0) => version = Some(field.integer(INTEGER)?),
            _ if tag == context(1) => kind = Some(field.integer(INTEGER)?),
            _ if tag == context(3) => realm = Some(general_string(&mut field)?),
            _ if tag == context(5) => parts |= u8::from(field.next_is(application(1))),
            _ if tag == context(6) => parts |= u8::from(field.next_is(ber::SEQUENCE)) << 1,
            _ => {}
        }
    }
    match realm {
        Some(realm) if version == Some(5) && kind == Some(11) && parts == 3 => Ok(realm),
        Some(_) | None => Err(Error::Malformed(WHAT)),
    }
}
