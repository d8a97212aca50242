//! SPNEGO (RFC 4178, MS-SPNG): which mechanisms a server offers, and a token for NTLM.

use super::ber::{Decoder, ENUMERATED, OCTET_STRING, SEQUENCE, Writer, application, context};
use super::reader::Error;

const WHAT: &str = "an SPNEGO token";
const OBJECT_IDENTIFIER: u8 = 0x06;
/// 1.3.6.1.5.5.2, RFC 4178 3.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.3.6.1.4.1.311.2.2.10, MS-NLMP 1.9.
pub const NTLMSSP: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// 1.3.6.1.4.1.311.2.2.30, MS-NEGOEX 2.2.1.
pub const NEGOEX: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x1e];
/// A server may offer this many mechanisms. Windows offers five.
pub const MAX_MECHANISMS: usize = 32;

/// The mechanisms of a `NegTokenInit` (RFC 4178 4.2.1) or `NegTokenInit2` (MS-SPNG 2.2.1): object identifiers without
/// their tags and lengths, the preferred one first.
///
/// # Errors
/// The bytes are no such token, or offer more than [`MAX_MECHANISMS`].
pub fn mechanisms(token: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut outer = Decoder::new(token, WHAT).constructed(application(0))?;
    if outer.expect(OBJECT_IDENTIFIER)? != SPNEGO {
        return Err(Error::Malformed(WHAT));
    }
    let mut fields = outer.constructed(context(0))?.constructed(SEQUENCE)?;
    let mut list = fields.constructed(context(0))?.constructed(SEQUENCE)?;
    let mut mechanisms = Vec::new();
    while !list.is_empty() {
        if mechanisms.len() >= MAX_MECHANISMS {
            return Err(Error::Limit(WHAT));
        }
        mechanisms.push(list.expect(OBJECT_IDENTIFIER)?);
    }
    Ok(mechanisms)
}

/// A `NegTokenInit` that offers NTLM alone, with its first message.
#[must_use]
pub fn ntlm_token(message: &[u8]) -> Vec<u8> {
    let mut out = Writer::new();
    out.constructed(application(0), |outer| {
        outer.primitive(OBJECT_IDENTIFIER, SPNEGO).constructed(context(0), |choice| {
            choice.constructed(SEQUENCE, |fields| {
                fields.constructed(context(0), |list| {
                    list.constructed(SEQUENCE, |list| {
                        list.primitive(OBJECT_IDENTIFIER, NTLMSSP);
                    });
                });
                fields.constructed(context(2), |token| {
                    token.primitive(OCTET_STRING, message);
                });
            });
        });
    });
    out.finish()
}

/// The message of the mechanism in a `NegTokenResp`, RFC 4178 4.2.2; `None` if there is none.
///
/// # Errors
/// The bytes are no such token.
pub fn response(token: &[u8]) -> Result<Option<&[u8]>, Error> {
    let mut fields = Decoder::new(token, WHAT).constructed(context(1))?.constructed(SEQUENCE)?;
    let mut message = None;
    while !fields.is_empty() {
        let (tag, contents) = fields.element()?;
        let mut field = fields.inside(contents)?;
        match tag {
            _ if tag == context(0) => drop(field.integer(ENUMERATED)?),
            _ if tag == context(2) => message = Some(field.expect(OCTET_STRING)?),
            _ => {}
        }
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_read_back() {
        assert_eq!(mechanisms(&ntlm_token(b"x")), Ok(vec![NTLMSSP]));
        assert!(response(&ntlm_token(b"x")).is_err());
        let answer = [0xa1, 0x0c, 0x30, 0x0a, 0xa0, 3, 0x0a, 1, 1, 0xa2, 3, 4, 1, b'y'];
        assert_eq!(response(&answer), Ok(Some(&b"y"[..])));
        assert_eq!(response(&[0xa1, 7, 0x30, 5, 0xa0, 3, 0x0a, 1, 2]), Ok(None));
    }

    #[test]
    fn mechanisms_are_limited() {
        let mut out = Writer::new();
        out.constructed(application(0), |outer| {
            outer.primitive(OBJECT_IDENTIFIER, SPNEGO).constructed(context(0), |choice| {
                choice.constructed(SEQUENCE, |fields| {
                    fields.constructed(context(0), |list| {
                        list.primitive(SEQUENCE, &[6, 1, 9].repeat(MAX_MECHANISMS + 1));
                    });
                });
            });
        });
        assert_eq!(mechanisms(&out.finish()), Err(Error::Limit(WHAT)));
    }
}
