//! Requests of an exact size, that a domain controller answers as it answers small ones.

use crate::wire::{
    ber::{self, Decoder, INTEGER, OCTET_STRING, SEQUENCE, Writer},
    kerberos, ldap,
};

/// Type of a pre-authentication datum that nobody has registered: a KDC passes over what it does not know (RFC 4120 5.2.7).
const UNKNOWN_PADATA: i64 = 2_000;

/// A search of the rootDSE of exactly `size` octets, from 400 on: after `currentTime` it asks for an attribute that nobody
/// has. Below that some sizes cannot be made, and the request is a little smaller, or the smallest there is.
#[must_use]
pub fn root_dse(id: u32, size: usize) -> Vec<u8> {
    ldap::padded_root_dse_request(id, &["currentTime"], size)
}

/// An AS-REQ with so many octets of pre-authentication data that nobody knows, and some 200 for everything else.
#[must_use]
pub fn as_request(principal: &str, realm: &str, nonce: u32, padding: usize) -> Vec<u8> {
    let plain = kerberos::as_request(principal, realm, nonce);
    if padding == 0 { plain } else { padded(&plain, padding).unwrap_or(plain) }
}

/// The request with the field `padata [3]`, which stands between `msg-type [2]` and `req-body [4]` (RFC 4120 5.4.1).
fn padded(request: &[u8], padding: usize) -> Option<Vec<u8>> {
    let (tag, contents) = Decoder::new(request, "an AS-REQ").element().ok()?;
    let mut fields = Decoder::new(contents, "an AS-REQ").constructed(SEQUENCE).ok()?;
    let mut elements = Vec::new();
    while !fields.is_empty() {
        elements.push(fields.element().ok()?);
    }
    let mut out = Writer::new();
    out.constructed(tag, |request| {
        request.constructed(SEQUENCE, |fields| {
            for (tag, contents) in elements {
                if tag == ber::context(4) {
                    fields.constructed(ber::context(3), |field| padata(field, padding));
                }
                fields.primitive(tag, contents);
            }
        });
    });
    Some(out.finish())
}

fn padata(out: &mut Writer, padding: usize) {
    out.constructed(SEQUENCE, |list| {
        list.constructed(SEQUENCE, |padata| {
            padata.constructed(ber::context(1), |kind| {
                kind.integer(INTEGER, UNKNOWN_PADATA);
            });
            padata.constructed(ber::context(2), |value| {
                value.primitive(OCTET_STRING, &vec![0; padding]);
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_has_exactly_the_size() {
        for size in (400..2_100).chain([4_000, 65_000]) {
            assert_eq!(root_dse(1, size).len(), size);
        }
        assert_eq!(ldap::measure(&root_dse(1, 1_472)), Ok(Some(1_472)));
    }

    #[test]
    fn a_padded_as_request_is_the_plain_one_with_padata() {
        let plain = kerberos::as_request("probe-x", "CORP.EXAMPLE", 7);
        assert_eq!(as_request("probe-x", "CORP.EXAMPLE", 7, 0), plain);
        let padded = as_request("probe-x", "CORP.EXAMPLE", 7, 5_000);
        assert!((5_000 + plain.len()..5_040 + plain.len()).contains(&padded.len()));
        let fields = |bytes: &[u8]| {
            let mut decoder = Decoder::new(bytes, "t");
            let mut fields =
                decoder.constructed(ber::application(10)).unwrap().constructed(SEQUENCE).unwrap();
            assert!(decoder.is_empty());
            let mut all = Vec::new();
            while !fields.is_empty() {
                let (tag, contents) = fields.element().unwrap();
                all.push((tag, contents.to_vec()));
            }
            all
        };
        let mut with = fields(&padded);
        let (tag, contents) = with.remove(2);
        assert_eq!(with, fields(&plain));
        assert_eq!(tag, ber::context(3));
        let mut datum =
            Decoder::new(&contents, "t").constructed(SEQUENCE).unwrap().constructed(SEQUENCE).unwrap();
        assert_eq!(datum.constructed(ber::context(1)).unwrap().integer(INTEGER), Ok(2_000));
        assert_eq!(datum.constructed(ber::context(2)).unwrap().expect(OCTET_STRING).unwrap().len(), 5_000);
    }
}
