//! Kerberos change password (RFC 3244): a request that no server can accept, and the refusal.
//!
//! The request has the form of one, so a server answers it; its ticket is noise, so nobody's password is touched.

use super::ber::{self, BIT_STRING, Decoder, GENERAL_STRING, INTEGER, OCTET_STRING, SEQUENCE, Writer};
use super::ber::{application, context};
use super::kerberos::{self, KrbError};
use super::reader::{Error, Reader};

const WHAT: &str = "a change-password message";
/// Protocol version of a request that changes the asker's own password (RFC 3244 2, and its predecessor).
const CHANGE: u16 = 1;
/// Protocol version of a request that sets a password (RFC 3244 2).
const SET: u16 = 0xff80;
/// AP-REQ, RFC 4120 5.5.1.
const AP_REQ: u8 = application(14);
/// AP-REP, RFC 4120 5.5.2.
const AP_REP: u8 = application(15);
/// KRB-ERROR, RFC 4120 5.9.1.
const KRB_ERROR: u8 = application(30);
/// KRB-PRIV, RFC 4120 5.7.1.
const KRB_PRIV: u8 = application(21);
/// AES-256 (RFC 3962 7).
const ENCRYPTION_TYPE: i64 = 18;

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// KRB-ERROR, with or without the header of the protocol before it.
    Error(Box<KrbError>),
    /// AP-REP and KRB-PRIV: it took the ticket to be real.
    Accepted,
}

/// A request for the password of nobody in a realm. The noise fills everything that would be encrypted.
#[must_use]
pub fn request(realm: &str, noise: [u8; 32]) -> Vec<u8> {
    let (ticket, private) = (ap_request(realm, &noise), krb_private(&noise));
    let word = |octets: usize| u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = Vec::new();
    out.extend(word(ticket.len().saturating_add(private.len()).saturating_add(6)));
    out.extend(CHANGE.to_be_bytes());
    out.extend(word(ticket.len()));
    out.extend(ticket);
    out.extend(private);
    out
}

fn ap_request(realm: &str, noise: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(AP_REQ, |request| {
        request.constructed(SEQUENCE, |fields| {
            numbers(fields, [(0, 5), (1, 14)]);
            fields.constructed(context(2), |options| {
                options.primitive(BIT_STRING, &[0; 5]);
            });
            fields.constructed(context(3), |field| ticket(field, realm, noise));
            fields.constructed(context(4), |authenticator| encrypted(authenticator, noise));
        });
    });
    out.finish()
}

/// A ticket for `kadmin/changepw`, RFC 4120 5.3.
fn ticket(out: &mut Writer, realm: &str, noise: &[u8]) {
    out.constructed(application(1), |ticket| {
        ticket.constructed(SEQUENCE, |fields| {
            numbers(fields, [(0, 5)]);
            fields.constructed(context(1), |field| {
                field.primitive(GENERAL_STRING, realm.as_bytes());
            });
            fields.constructed(context(2), |server| {
                kerberos::principal_name(server, kerberos::NT_SRV_INST, &["kadmin", "changepw"]);
            });
            fields.constructed(context(3), |part| encrypted(part, noise));
        });
    });
}

fn krb_private(noise: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(KRB_PRIV, |message| {
        message.constructed(SEQUENCE, |fields| {
            numbers(fields, [(0, 5), (1, 21)]);
            fields.constructed(context(3), |part| encrypted(part, noise));
        });
    });
    out.finish()
}

fn numbers<const N: usize>(fields: &mut Writer, numbers: [(u8, i64); N]) {
    for (field, number) in numbers {
        fields.constructed(context(field), |inner| {
            inner.integer(INTEGER, number);
        });
    }
}

/// `EncryptedData`, RFC 4120 5.2.9.
fn encrypted(out: &mut Writer, noise: &[u8]) {
    out.constructed(SEQUENCE, |data| {
        numbers(data, [(0, ENCRYPTION_TYPE)]);
        data.constructed(context(2), |cipher| {
            cipher.primitive(OCTET_STRING, noise);
        });
    });
}

/// Decodes one message of exactly these octets, without the length that TCP has before it.
///
/// # Errors
/// The bytes are no reply of the protocol.
pub fn decode(bytes: &[u8]) -> Result<Reply, Error> {
    if bytes.first() == Some(&KRB_ERROR) {
        return krb_error(bytes);
    }
    let mut reader = Reader::new(bytes, WHAT);
    let (length, version, ticket_length) = (reader.u16_be()?, reader.u16_be()?, reader.u16_be()?);
    if usize::from(length) != bytes.len() || !matches!(version, CHANGE | SET) {
        return Err(Error::Malformed(WHAT));
    }
    if ticket_length == 0 {
        return krb_error(reader.rest());
    }
    let mut ticket = Decoder::new(reader.take(usize::from(ticket_length))?, WHAT);
    let mut private = Decoder::new(reader.rest(), WHAT);
    for (decoder, tag) in [(&mut ticket, AP_REP), (&mut private, KRB_PRIV)] {
        decoder.constructed(tag)?.expect(ber::SEQUENCE)?;
    }
    if ticket.is_empty() && private.is_empty() { Ok(Reply::Accepted) } else { Err(Error::Malformed(WHAT)) }
}

fn krb_error(bytes: &[u8]) -> Result<Reply, Error> {
    match kerberos::decode(bytes)? {
        kerberos::Reply::Error(error) => Ok(Reply::Error(error)),
        kerberos::Reply::Ticket { .. } => Err(Error::Malformed(WHAT)),
    }
}

/// Result code and words in the data of an error, RFC 3244 2. None where the data is too short for them.
#[must_use]
pub fn result(data: &[u8]) -> Option<(u16, &[u8])> {
    let (code, text) = data.split_first_chunk()?;
    Some((u16::from_be_bytes(*code), text))
}

/// The name of a result code, RFC 3244 2.
#[must_use]
pub const fn result_name(code: u16) -> &'static str {
    match code {
        0 => "KRB5_KPASSWD_SUCCESS",
        1 => "KRB5_KPASSWD_MALFORMED",
        2 => "KRB5_KPASSWD_HARDERROR",
        3 => "KRB5_KPASSWD_AUTHERROR",
        4 => "KRB5_KPASSWD_SOFTERROR",
        5 => "KRB5_KPASSWD_ACCESSDENIED",
        6 => "KRB5_KPASSWD_BAD_VERSION",
        7 => "KRB5_KPASSWD_INITIAL_FLAG_NEEDED",
        _ => "KRB5_KPASSWD",
    }
}
