//! LDAP of somebody who has bound (RFC 4511): simple bind, searches, and the messages that answer them.
//!
//! Filters are built as BER and never as text, so nothing in a value can be taken for a part of the filter, and nothing
//! needs the escapes of RFC 4515.

use super::super::ber::{self, BOOLEAN, Decoder, ENUMERATED, INTEGER, OCTET_STRING, SEQUENCE, Writer};
use super::super::reader::Error;
use super::{
    EXTENDED_RESPONSE, Entry, Outcome, PRESENT, SEARCH_REQUEST, SEARCH_RESULT_DONE, SEARCH_RESULT_ENTRY, WHAT,
};

/// Result code `success`, RFC 4511 A.1.
pub const SUCCESS: i64 = 0;
/// Result code `sizeLimitExceeded`: there is more than the entries that came.
pub const SIZE_LIMIT_EXCEEDED: i64 = 4;
/// Result code `strongerAuthRequired`.
pub const STRONGER_AUTH_REQUIRED: i64 = 8;
/// Result code `referral`: another server holds it.
pub const REFERRAL: i64 = 10;
/// Result code `noSuchObject`.
pub const NO_SUCH_OBJECT: i64 = 32;
/// Result code `invalidDNSyntax`.
pub const INVALID_DN_SYNTAX: i64 = 34;
/// Result code `invalidCredentials`.
pub const INVALID_CREDENTIALS: i64 = 49;

const BIND_REQUEST: u8 = ber::application(0);
const BIND_RESPONSE: u8 = ber::application(1);
const SEARCH_RESULT_REFERENCE: u8 = ber::application(19);
/// `simple [0]` of AuthenticationChoice, RFC 4511 4.2.
const SIMPLE: u8 = 0x80;
/// LDAP_SERVER_SD_FLAGS_OID (MS-ADTS 3.1.1.3.4.1.11), with OWNER_SECURITY_INFORMATION alone.
const SD_FLAGS: &[u8] = b"1.2.840.113556.1.4.801";
const OWNER_ONLY: [u8; 5] = [0x30, 3, 2, 1, 1];
/// LDAP_MATCHING_RULE_BIT_AND (MS-ADTS 3.1.1.3.4.4.1).
const BIT_AND: &[u8] = b"1.2.840.113556.1.4.803";

/// How far a search goes, RFC 4511 4.5.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The base itself.
    Base,
    /// What stands directly below the base.
    Children,
    /// The base and everything below it.
    Subtree,
}

/// Which entries are wanted, RFC 4511 4.5.1.7.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// Those that have the attribute.
    Present(&'static str),
    /// Those whose attribute has this value.
    Equals(&'static str, Vec<u8>),
    /// Those whose attribute has all of these bits.
    Bits(&'static str, u32),
    /// Those that fulfil all.
    All(Vec<Filter>),
    /// Those that fulfil one or more.
    Any(Vec<Filter>),
}

impl Filter {
    /// Those whose attribute has this text.
    #[must_use]
    pub fn text(attribute: &'static str, value: &str) -> Self {
        Self::Equals(attribute, value.as_bytes().to_vec())
    }

    fn write(&self, out: &mut Writer) {
        let all = |out: &mut Writer, tag, filters: &[Self]| {
            out.constructed(tag, |set| filters.iter().for_each(|filter| filter.write(set)));
        };
        match self {
            Self::Present(attribute) => {
                out.primitive(PRESENT, attribute.as_bytes());
            }
            Self::Equals(attribute, value) => {
                out.constructed(ber::context(3), |assertion| {
                    assertion.primitive(OCTET_STRING, attribute.as_bytes()).primitive(OCTET_STRING, value);
                });
            }
            Self::Bits(attribute, bits) => {
                out.constructed(ber::context(9), |assertion| {
                    assertion.primitive(0x81, BIT_AND).primitive(0x82, attribute.as_bytes());
                    assertion.primitive(0x83, bits.to_string().as_bytes());
                });
            }
            Self::All(filters) => all(out, ber::context(0), filters),
            Self::Any(filters) => all(out, ber::context(1), filters),
        }
    }
}

/// A search.
#[derive(Debug, Clone)]
pub struct Search<'a> {
    /// Distinguished name where it begins, as text (RFC 4514).
    pub base: &'a str,
    /// How far it goes.
    pub scope: Scope,
    /// Which entries.
    pub filter: Filter,
    /// Which attributes of them; `1.1` for none (RFC 4511 4.5.1.8).
    pub attributes: &'a [&'a str],
    /// The server is to give at most so many entries.
    pub entries: u32,
    /// The server is to take at most so many seconds.
    pub seconds: u32,
    /// Of a security descriptor only the owner is wanted: the other parts need rights that few accounts have.
    pub owner_only: bool,
}

/// A message of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The request that it answers; 0 for an unsolicited notification.
    pub id: i64,
    /// What it says.
    pub body: Body<'a>,
}

/// What a message of a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body<'a> {
    /// `BindResponse`, RFC 4511 4.2.2.
    Bound(Outcome<'a>),
    /// `SearchResultEntry`, RFC 4511 4.5.2.
    Entry(Entry<'a>),
    /// `SearchResultReference`, RFC 4511 4.5.3: more is found elsewhere. Where is not looked at.
    Reference,
    /// `SearchResultDone`, RFC 4511 4.5.2.
    Done(Outcome<'a>),
    /// `ExtendedResponse`, RFC 4511 4.12; also the notice of disconnection, 4.4.1.
    Extended(Outcome<'a>),
    /// Another operation, by its tag.
    Other(u8),
}

/// A simple bind (RFC 4511 4.2) up to the password, whose `octets` follow as they are.
///
/// The password itself never comes here: who holds it can wipe every copy. It must not be empty: with a name and no
/// password a server takes a bind for anonymous, and says yes (RFC 4513 5.1.2).
#[must_use]
pub fn bind_head(id: u32, name: &str, octets: usize) -> Vec<u8> {
    let mut whole = message(id, |out| {
        out.constructed(BIND_REQUEST, |bind| {
            bind.integer(INTEGER, 3).primitive(OCTET_STRING, name.as_bytes());
            bind.primitive(SIMPLE, &vec![0; octets]);
        });
    });
    whole.truncate(whole.len().saturating_sub(octets));
    whole
}

/// A search. Aliases are not followed.
#[must_use]
pub fn search(id: u32, search: &Search<'_>) -> Vec<u8> {
    let scope = match search.scope {
        Scope::Base => 0,
        Scope::Children => 1,
        Scope::Subtree => 2,
    };
    message(id, |out| {
        out.constructed(SEARCH_REQUEST, |request| {
            request.primitive(OCTET_STRING, search.base.as_bytes());
            request.integer(ENUMERATED, scope).integer(ENUMERATED, 0);
            request.integer(INTEGER, search.entries.into()).integer(INTEGER, search.seconds.into());
            request.primitive(BOOLEAN, &[0]);
            search.filter.write(request);
            request.constructed(SEQUENCE, |list| {
                for attribute in search.attributes {
                    list.primitive(OCTET_STRING, attribute.as_bytes());
                }
            });
        });
        if search.owner_only {
            out.constructed(ber::context(0), |controls| {
                controls.constructed(SEQUENCE, |control| {
                    control.primitive(OCTET_STRING, SD_FLAGS).primitive(OCTET_STRING, &OWNER_ONLY);
                });
            });
        }
    })
}

fn message(id: u32, write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(SEQUENCE, |message| {
        message.integer(INTEGER, i64::from(id));
        write(message);
    });
    out.finish()
}

/// Decodes one message of exactly these octets. Controls are not looked at.
///
/// # Errors
/// The bytes are not an LDAP message, or have something after it.
pub fn decode(bytes: &[u8]) -> Result<Reply<'_>, Error> {
    let mut outer = Decoder::new(bytes, WHAT);
    let (id, tag, inside) = super::opened(outer.constructed(SEQUENCE)?)?;
    if !outer.is_empty() {
        return Err(Error::Malformed(WHAT));
    }
    let body = match tag {
        BIND_RESPONSE => Body::Bound(super::outcome(inside)?),
        SEARCH_RESULT_ENTRY => Body::Entry(super::entry(inside)?),
        SEARCH_RESULT_REFERENCE => Body::Reference,
        SEARCH_RESULT_DONE => Body::Done(super::outcome(inside)?),
        EXTENDED_RESPONSE => Body::Extended(super::outcome(inside)?),
        other => Body::Other(other),
    };
    Ok(Reply { id, body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn start_tls_is_what_servers_take() {
        let wire = "301d 020101 7718 8016 312e332e362e312e342e312e313436362e3230303337";
        assert_eq!(super::super::starttls_request(1), hex(wire));
        let reply =
            hex("3024 020101 781f 0a0100 0400 0400 8a16 312e332e362e312e342e312e313436362e3230303337");
        let body = Body::Extended(Outcome { code: SUCCESS, message: b"" });
        assert_eq!(decode(&reply), Ok(Reply { id: 1, body }));
    }

    #[test]
    fn the_head_of_a_bind_counts_the_password_that_follows() {
        for octets in [1, 100, 127, 128, 300] {
            let head = bind_head(7, "user@corp.example", octets);
            let whole = [head.clone(), vec![b'x'; octets]].concat();
            assert_eq!(super::super::measure(&head), Ok(Some(whole.len())));
            let mut bind = Decoder::new(&whole, "test").constructed(SEQUENCE).unwrap();
            assert_eq!(bind.integer(INTEGER), Ok(7));
            let mut bind = bind.constructed(BIND_REQUEST).unwrap();
            assert_eq!(bind.integer(INTEGER), Ok(3));
            assert_eq!(bind.expect(OCTET_STRING), Ok(&b"user@corp.example"[..]));
            assert_eq!(bind.expect(SIMPLE).unwrap(), vec![b'x'; octets]);
        }
    }

    #[test]
    fn values_stay_values_whatever_is_in_them() {
        let strange = "*)(objectClass=\0*";
        let mut out = Writer::new();
        Filter::All(vec![Filter::text("sAMAccountName", strange), Filter::Bits("systemFlags", 3)])
            .write(&mut out);
        let bytes = out.finish();
        let mut all = Decoder::new(&bytes, "test").constructed(ber::context(0)).unwrap();
        let mut equals = all.constructed(ber::context(3)).unwrap();
        assert_eq!(equals.expect(OCTET_STRING), Ok(&b"sAMAccountName"[..]));
        assert_eq!(equals.expect(OCTET_STRING), Ok(strange.as_bytes()));
        assert!(equals.is_empty());
        let mut bits = all.constructed(ber::context(9)).unwrap();
        assert_eq!(bits.expect(0x81), Ok(BIT_AND));
        assert_eq!(bits.expect(0x82), Ok(&b"systemFlags"[..]));
        assert_eq!(bits.expect(0x83), Ok(&b"3"[..]));
        assert!(bits.is_empty() && all.is_empty());
    }

    #[test]
    fn the_owner_is_asked_for_with_a_control() {
        let mut question = Search {
            base: "",
            scope: Scope::Base,
            filter: Filter::Present("objectClass"),
            attributes: &["nTSecurityDescriptor"],
            entries: 1,
            seconds: 5,
            owner_only: true,
        };
        let with = search(1, &question);
        assert!(with.ends_with(&hex("0405 3003020101")));
        question.owner_only = false;
        let without = search(1, &question);
        assert!(without.ends_with(b"nTSecurityDescriptor"));
        assert_eq!(with[2..].iter().position(|o| *o == SEARCH_REQUEST), Some(3));
    }

    #[test]
    fn replies_are_told_apart() {
        let refused = "300c 020102 6107 0a0131 0400 0400";
        let bound = Body::Bound(Outcome { code: INVALID_CREDENTIALS, message: b"" });
        assert_eq!(decode(&hex(refused)), Ok(Reply { id: 2, body: bound }));
        let reference = [&hex("300d 020102 7308 0406")[..], b"ldap:/"].concat();
        assert_eq!(decode(&reference), Ok(Reply { id: 2, body: Body::Reference }));
        assert!(decode(&[hex(refused), vec![0]].concat()).is_err());
        assert!(decode(b"").is_err());
    }
}
