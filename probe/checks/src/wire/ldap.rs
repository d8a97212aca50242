//! LDAP messages (RFC 4511), as far as an anonymous read of the rootDSE needs them.

use super::ber::{self, BOOLEAN, Decoder, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, SET, Writer};
use super::reader::Error;

pub mod session;

/// A message may have this many octets. A rootDSE of Windows has some 3 kB.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// An entry may have this many attributes. A rootDSE of Windows has some 25.
pub const MAX_ATTRIBUTES: usize = 256;
/// An entry may have this many values. A rootDSE of Windows has some 100.
pub const MAX_VALUES: usize = 2048;

/// SearchRequest, RFC 4511 4.5.1.
pub(super) const SEARCH_REQUEST: u8 = ber::application(3);
const SEARCH_RESULT_ENTRY: u8 = ber::application(4);
const SEARCH_RESULT_DONE: u8 = ber::application(5);
/// ExtendedRequest and its `requestName [0]`, RFC 4511 4.12.
const EXTENDED_REQUEST: u8 = ber::application(23);
const REQUEST_NAME: u8 = 0x80;
/// The name of StartTLS, RFC 4511 4.14.1.
const STARTTLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
const EXTENDED_RESPONSE: u8 = ber::application(24);
/// Filter `present [7]`, RFC 4511 4.5.1.7.
const PRESENT: u8 = 0x87;
const WHAT: &str = "an LDAP message";

/// The attributes that Windows itself asks a rootDSE for, in its order. The answer of a Windows domain controller is
/// larger than one segment, so it also tells that full-sized packets arrive.
pub const WINDOWS_ROOT_DSE: [&str; 15] = [
    "subschemaSubentry",
    "dsServiceName",
    "namingContexts",
    "defaultNamingContext",
    "schemaNamingContext",
    "configurationNamingContext",
    "rootDomainNamingContext",
    "supportedControl",
    "supportedLDAPVersion",
    "supportedLDAPPolicies",
    "supportedSASLMechanisms",
    "dnsHostName",
    "ldapServiceName",
    "serverName",
    "supportedCapabilities",
];

/// A message from a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// The request that it answers; 0 for an unsolicited notification.
    pub id: i64,
    /// What it says.
    pub operation: Operation<'a>,
}

/// What a message from a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// `SearchResultEntry`, RFC 4511 4.5.2.
    Entry(Entry<'a>),
    /// `SearchResultDone`, RFC 4511 4.5.2.
    Done(Outcome<'a>),
    /// `ExtendedResponse`, RFC 4511 4.12; also the notice of disconnection, 4.4.1.
    Extended(Outcome<'a>),
    /// Another operation, by its tag.
    Other(u8),
}

/// An entry that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name; empty for the rootDSE.
    pub name: &'a [u8],
    /// Its attributes, in the order of the reply.
    pub attributes: Vec<Attribute<'a>>,
}

/// An attribute: its name, and its values in the order of the reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The name as the server writes it, which need not be the case in which it was asked for.
    pub name: &'a [u8],
    /// The values.
    pub values: Vec<&'a [u8]>,
}

/// `LDAPResult`, RFC 4511 4.1.9, without referrals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// The result code; 0 is success.
    pub code: i64,
    /// The server's words.
    pub message: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The values of an attribute; names are compared without case (RFC 4512 2.5). None for an absent attribute.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let found =
            self.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name.as_bytes()));
        found.into_iter().flat_map(|attribute| attribute.values.iter().copied())
    }

    /// The first value of an attribute.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

/// A search of the rootDSE (RFC 4512 5.1): base object, filter `(objectClass=*)`, no bind before it.
///
/// Message ids are 1 to 2^31 - 1.
#[must_use]
pub fn root_dse_request(id: u32, attributes: &[&str]) -> Vec<u8> {
    search_request(id, attributes, |filter| {
        filter.primitive(PRESENT, b"objectClass");
    })
}

/// The same, made as large as a test of the path needs it: with one more attribute, whose name exists nowhere, the
/// message has `size` octets, or up to four fewer, because lengths take more octets as they grow. A size that is smaller
/// than the request itself changes nothing.
///
/// A datagram of a Windows domain controller's `MaxDatagramRecv` is the largest that is answered over UDP.
#[must_use]
pub fn padded_root_dse_request(id: u32, attributes: &[&str], size: usize) -> Vec<u8> {
    let request = |padding: usize| {
        let name = "x".repeat(padding);
        root_dse_request(id, &attributes.iter().copied().chain([name.as_str()]).collect::<Vec<_>>())
    };
    let missing = size.saturating_sub(root_dse_request(id, attributes).len());
    // Tag and length of the padding, and the lengths of the three constructions around it that may grow by it.
    let padded = (1..missing).rev().take(16).map(request).find(|request| request.len() <= size);
    padded.unwrap_or_else(|| root_dse_request(id, attributes))
}

/// A search of the entry with the empty name and nothing below it.
pub(super) fn search_request(id: u32, attributes: &[&str], filter: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |message| {
        message.integer(INTEGER, i64::from(id));
        message.constructed(SEARCH_REQUEST, |search| {
            // Base "", scope base, never dereference, no limits of size and time, values too.
            search.primitive(OCTET_STRING, b"").integer(ENUMERATED, 0).integer(ENUMERATED, 0);
            search.integer(INTEGER, 0).integer(INTEGER, 0).primitive(BOOLEAN, &[0]);
            filter(search);
            search.constructed(SEQUENCE, |list| {
                for attribute in attributes {
                    list.primitive(OCTET_STRING, attribute.as_bytes());
                }
            });
        });
    });
    out.finish()
}

/// A request to begin TLS on the connection (RFC 4511 4.14.1): an extended request with the name of StartTLS.
///
/// Message ids are 1 to 2^31 - 1.
#[must_use]
pub fn starttls_request(id: u32) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |message| {
        message.integer(INTEGER, i64::from(id)).constructed(EXTENDED_REQUEST, |request| {
            request.primitive(REQUEST_NAME, STARTTLS);
        });
    });
    out.finish()
}

/// The octets of the message at the beginning of `bytes`; `None` while that is not known.
///
/// # Errors
/// The bytes are not an LDAP message, or it is longer than [`MAX_MESSAGE`].
pub fn measure(bytes: &[u8]) -> Result<Option<usize>, Error> {
    match bytes.first() {
        None => Ok(None),
        Some(&SEQUENCE) => ber::measure(bytes, MAX_MESSAGE, WHAT),
        Some(_) => Err(Error::Malformed(WHAT)),
    }
}

/// Decodes one message of exactly these octets. Controls are not looked at.
///
/// # Errors
/// The bytes are not an LDAP message, or have something after it.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, Error> {
    let mut messages = decode_all(bytes)?.into_iter();
    match (messages.next(), messages.next()) {
        (Some(message), None) => Ok(message),
        _ => Err(Error::Malformed(WHAT)),
    }
}

/// Decodes messages that stand one after the other in a datagram (MS-ADTS 3.1.1.3.1.11); at most 16.
///
/// # Errors
/// Something in the bytes is not an LDAP message.
pub fn decode_all(bytes: &[u8]) -> Result<Vec<Message<'_>>, Error> {
    let mut messages = Vec::new();
    let mut decoder = Decoder::new(bytes, WHAT);
    while !decoder.is_empty() {
        if messages.len() >= 16 {
            return Err(Error::Limit(WHAT));
        }
        messages.push(message(decoder.constructed(SEQUENCE)?)?);
    }
    Ok(messages)
}

/// Message id, tag of the operation, and what is inside. Controls are not looked at.
fn opened(mut message: Decoder<'_>) -> Result<(i64, u8, Decoder<'_>), Error> {
    let id = message.integer(INTEGER)?;
    let (tag, contents) = message.element()?;
    Ok((id, tag, message.inside(contents)?))
}

fn message(decoder: Decoder<'_>) -> Result<Message<'_>, Error> {
    let (id, tag, inside) = opened(decoder)?;
    let operation = match tag {
        SEARCH_RESULT_ENTRY => Operation::Entry(entry(inside)?),
        SEARCH_RESULT_DONE => Operation::Done(outcome(inside)?),
        EXTENDED_RESPONSE => Operation::Extended(outcome(inside)?),
        other => Operation::Other(other),
    };
    Ok(Message { id, operation })
}

fn entry(mut decoder: Decoder<'_>) -> Result<Entry<'_>, Error> {
    let name = decoder.expect(OCTET_STRING)?;
    let mut list = decoder.constructed(SEQUENCE)?;
    let mut attributes = Vec::new();
    let mut values_left = MAX_VALUES;
    while !list.is_empty() {
        if attributes.len() >= MAX_ATTRIBUTES {
            return Err(Error::Limit(WHAT));
        }
        let mut partial = list.constructed(SEQUENCE)?;
        let name = partial.expect(OCTET_STRING)?;
        let mut set = partial.constructed(SET)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values_left = values_left.checked_sub(1).ok_or(Error::Limit(WHAT))?;
            values.push(set.expect(OCTET_STRING)?);
        }
        attributes.push(Attribute { name, values });
    }
    Ok(Entry { name, attributes })
}

fn outcome(mut decoder: Decoder<'_>) -> Result<Outcome<'_>, Error> {
    let code = decoder.integer(ENUMERATED)?;
    let _matched = decoder.expect(OCTET_STRING)?;
    Ok(Outcome { code, message: decoder.expect(OCTET_STRING)? })
}

/// The DNS domain of a naming context: `DC=corp,DC=example` is `corp.example`. `None` for every other form, also
/// for escaped characters, which no host name has.
#[must_use]
pub fn domain_of(naming_context: &str) -> Option<String> {
    let labels: Option<Vec<&str>> = naming_context
        .split(',')
        .map(|component| {
            let (kind, label) = component.split_once('=')?;
            let plain = !label.trim().is_empty() && !label.contains(['\\', '"', '+', '.']);
            (kind.trim().eq_ignore_ascii_case("DC") && plain).then(|| label.trim())
        })
        .collect();
    Some(labels?.join(".").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn naming_contexts_are_domains_or_not() {
        assert_eq!(domain_of("DC=Corp,DC=example").as_deref(), Some("corp.example"));
        assert_eq!(domain_of("dc=a, dc=b").as_deref(), Some("a.b"));
        for other in ["", "O=Example", "DC=a,O=b", "DC=", "DC=a\\2Cb,DC=c", "DC", "DC=a.b"] {
            assert_eq!(domain_of(other), None, "{other}");
        }
    }

    #[test]
    fn measuring_waits_for_the_header_and_refuses_what_is_not_ldap() {
        assert_eq!(measure(b""), Ok(None));
        assert_eq!(measure(&[0x30, 0x84, 0]), Ok(None));
        assert_eq!(measure(&[0x30, 3]), Ok(Some(5)));
        assert!(measure(b"HTTP/1.1").is_err());
        assert!(measure(&[0x30, 0x83, 1, 0, 0]).is_err());
    }

    #[test]
    fn starttls_is_asked_for_as_servers_know_it() {
        let request = starttls_request(1);
        assert_eq!(request[..9], [0x30, 0x1d, 2, 1, 1, 0x77, 0x18, 0x80, 0x16]);
        assert_eq!(&request[9..], STARTTLS);
    }

    #[test]
    fn padding_fills_a_request_to_its_size() {
        let plain = root_dse_request(1, &["currentTime"]);
        for size in [0, plain.len(), plain.len() + 2] {
            assert_eq!(padded_root_dse_request(1, &["currentTime"], size), plain);
        }
        for size in (plain.len() + 8..600).chain([1472, 2028, 3348, 65_500]) {
            let padded = padded_root_dse_request(1, &["currentTime"], size);
            assert!((size - 4..=size).contains(&padded.len()), "{} for {size}", padded.len());
            assert_eq!(measure(&padded), Ok(Some(padded.len())));
        }
    }

    #[test]
    fn counts_are_limited() {
        let mut out = Writer::new();
        out.constructed(SEQUENCE, |message| {
            message.integer(INTEGER, 1).constructed(SEARCH_RESULT_ENTRY, |entry| {
                entry.primitive(OCTET_STRING, b"").constructed(SEQUENCE, |list| {
                    for _ in 0..=MAX_ATTRIBUTES {
                        list.constructed(SEQUENCE, |partial| {
                            partial.primitive(OCTET_STRING, b"a").primitive(SET, b"");
                        });
                    }
                });
            });
        });
        assert_eq!(decode(&out.finish()), Err(Error::Limit(WHAT)));
    }
}
