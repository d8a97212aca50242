// The decoders of the further services, as `targets.rs` has the others.

use sekisho_checks::wire::certificate::{self, MAX_LENGTH};
use sekisho_checks::wire::http::{self, MAX_BODY, MAX_HEAD, MAX_HEADERS};
use sekisho_checks::wire::netbios::{datagram, session, status};
use sekisho_checks::wire::spnego::MAX_MECHANISMS;
use sekisho_checks::wire::{kpasswd, nmf, ntlm, ntp, smb, spnego};

/// One certificate.
pub(crate) fn certificate(bytes: &[u8]) -> bool {
    certificate::decode(bytes).is_ok_and(|certificate| {
        let names: usize = certificate.names.iter().flatten().map(String::len).sum();
        // An invalid octet becomes three, and hexadecimal digits are twice the octets.
        assert!(names <= MAX_LENGTH && certificate.key.len() <= 256 && certificate.signature.len() <= 256);
        true
    })
}

/// One response, and how much is waited for.
pub(crate) fn http(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = http::measure(bytes) {
        assert!(total <= MAX_HEAD + MAX_BODY);
    }
    http::decode(bytes).is_ok_and(|response| {
        assert!((100..=999).contains(&response.status) && response.headers.len() <= MAX_HEADERS);
        true
    })
}

/// Without framing.
pub(crate) fn kpasswd(bytes: &[u8]) -> bool {
    kpasswd::decode(bytes).is_ok_and(|reply| {
        if let kpasswd::Reply::Error(error) = reply {
            let result = error.data.as_deref().and_then(kpasswd::result);
            assert!(result.is_none_or(|(code, _)| !kpasswd::result_name(code).is_empty()));
        }
        true
    })
}

/// All three services. The id is what the message says, so that the check of it does not stop the rest.
pub(crate) fn netbios(bytes: &[u8]) -> bool {
    let id = bytes.first_chunk().map_or(0, |octets| u16::from_be_bytes(*octets));
    if let Ok(Some(total)) = session::measure(bytes) {
        assert!((4..=10).contains(&total));
    }
    let status = status::decode(bytes, id);
    if let Ok(Some(status::Reply::Status(status))) = &status {
        assert!(status.names.len() <= 255);
    }
    let datagram = datagram::decode(bytes);
    if let Ok(datagram::Reply::Mailslot { name, data }) = &datagram {
        assert!(name.len() + data.len() <= 3 * bytes.len());
    }
    status.is_ok() || datagram.is_ok() || session::decode(bytes).is_ok()
}

/// One record.
pub(crate) fn nmf(bytes: &[u8]) -> bool {
    if let Ok(Some(total)) = nmf::measure(bytes) {
        assert!((1..=nmf::MAX_TEXT + 3).contains(&total));
    }
    nmf::decode(bytes).is_ok()
}

/// A challenge alone, and one in the answer to SESSION_SETUP, with and without framing.
pub(crate) fn ntlm(bytes: &[u8]) -> bool {
    let inside = |message| {
        let reply = smb::decode_session(message).ok()?;
        spnego::response(reply.token).ok()?
    };
    let framed = || inside(bytes.get(4..).unwrap_or_default());
    let challenge = inside(bytes).or_else(framed).unwrap_or(bytes);
    ntlm::decode(challenge).is_ok_and(|challenge| {
        assert!(challenge.dns_host.len() <= 3 * bytes.len());
        true
    })
}

/// The nonce is what the message says, so that the check of it does not stop the rest.
pub(crate) fn ntp(bytes: &[u8]) -> bool {
    let nonce = bytes.get(24..32).and_then(|octets| octets.try_into().ok()).map_or(1, u64::from_be_bytes);
    ntp::decode(bytes, nonce).is_ok_and(|reply| {
        assert!(reply.is_some_and(|reply| reply.reference_text().len() <= 15));
        true
    })
}

/// Offers and answers.
pub(crate) fn spnego(bytes: &[u8]) -> bool {
    let mechanisms = spnego::mechanisms(bytes);
    assert!(mechanisms.as_ref().is_ok_and(|found| found.len() <= MAX_MECHANISMS) || mechanisms.is_err());
    mechanisms.is_ok() || spnego::response(bytes).is_ok()
}
