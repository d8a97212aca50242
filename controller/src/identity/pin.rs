//! The text of an enrolment token: the secret, and which controllers may be given it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Most controllers that a token names: the newest ones.
const PINS: usize = 16;

/// What a pin is: SHA-256 of the DER of a controller's CA certificate, base64url without padding.
#[must_use]
pub fn pin(certificate: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, certificate))
}

/// An enrolment token as it is printed: `sks1.<secret>.<pin>[.<pin>…]`.
pub struct TokenText(String);

impl TokenText {
    /// The token with that secret for the controllers of those CA certificates, oldest first. `own` is always named.
    #[must_use]
    pub fn new(secret: &str, own: &[u8], trusted: &[Vec<u8>]) -> Self {
        let mut text = format!("sks1.{secret}.{}", pin(own));
        for certificate in trusted.iter().rev().filter(|der| der.as_slice() != own).take(PINS - 1) {
            text.push('.');
            text.push_str(&pin(certificate));
        }
        Self(text)
    }

    /// The text itself. Whoever has it can enrol a probe.
    #[must_use]
    pub fn secret(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_own_controller_first_and_each_once() {
        let text = TokenText::new("c2VjcmV0", b"b", &[b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]).secret();
        assert_eq!(text, format!("sks1.c2VjcmV0.{}.{}.{}", pin(b"b"), pin(b"c"), pin(b"a")));
        assert_eq!(pin(b"abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }

    #[test]
    fn a_token_stays_short_however_many_controllers_there_were() {
        let many: Vec<Vec<u8>> = (0..100_u8).map(|n| vec![n]).collect();
        assert_eq!(TokenText::new("s", b"own", &many).secret().split('.').count(), 2 + PINS);
    }
}
