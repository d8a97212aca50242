//! Enrolment tokens: `sks1.SECRET.PIN[.PIN…]`.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

const VERSION: &str = "sks1";
/// Longest token taken, characters.
const LENGTH: usize = 8_192;

/// A single-use token of `sekisho probe token`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What the controller asks for.
    pub(crate) secret: String,
    /// SHA-256 of the CA certificates that the controller may show.
    pub(crate) pins: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// A token that cannot be understood. Says nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an enrolment token: {0}; take the whole line that `sekisho probe token` printed")]
pub struct BadToken(&'static str);

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        if text.len() > LENGTH {
            return Err(BadToken("it is too long"));
        }
        let mut parts = text.trim().split('.');
        if parts.next() != Some(VERSION) {
            return Err(BadToken("it does not begin with \"sks1.\""));
        }
        let secret = parts.next().filter(|s| !s.is_empty()).ok_or(BadToken("its secret is missing"))?;
        let pin = |text: &str| URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        let pins: Option<Vec<[u8; 32]>> = parts.map(pin).collect();
        let pins = pins.filter(|pins| !pins.is_empty()).ok_or(BadToken("its end is missing or damaged"))?;
        Ok(Self { secret: secret.to_owned(), pins })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_token_is_taken_and_a_damaged_one_is_not() {
        let pin = URL_SAFE_NO_PAD.encode([7; 32]);
        let token: Token = format!("sks1.c2VjcmV0.{pin}.{pin}\n").parse().unwrap();
        assert_eq!((token.secret.as_str(), token.pins.len()), ("c2VjcmV0", 2));
        for bad in
            ["", "sks1", "sks1.abc", "sks1..", &format!("sks2.a.{pin}"), &format!("sks1.a.{}", &pin[1..])]
        {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
        assert!(!format!("{token:?}").contains("c2VjcmV0"));
    }
}
