//! Why a domain controller refuses a bind.

use sekisho_model::{CheckStatus, Facts};

use super::tally::{Tally, WindowsError};
use crate::wire::ldap::session::{INVALID_CREDENTIALS, STRONGER_AUTH_REQUIRED};

/// "The user name or password is incorrect." What a join shows for either.
const LOGON_FAILURE: WindowsError = (1326, "ERROR_LOGON_FAILURE");

/// One meaning of `invalidCredentials`: the hexadecimal number after `data` in the server's words.
struct Meaning {
    data: &'static str,
    status: CheckStatus,
    word: &'static str,
    error: Option<WindowsError>,
    detail: &'static str,
}

const fn problem(data: &'static str, word: &'static str, detail: &'static str) -> Meaning {
    Meaning { data, status: CheckStatus::Problem, word, error: None, detail }
}

/// What keeps this bind out but need not keep a join out.
const fn unknown(data: &'static str, word: &'static str, detail: &'static str) -> Meaning {
    Meaning { data, status: CheckStatus::Unknown, word, error: None, detail }
}

/// Errors are named only where it is documented that a join shows them.
const MEANINGS: [Meaning; 12] = [
    Meaning {
        error: Some(LOGON_FAILURE),
        ..problem("52e", "logon-failure", "the domain controller refuses user name or password")
    },
    Meaning {
        error: Some(LOGON_FAILURE),
        ..problem("525", "no-such-user", "the domain controller knows no such user")
    },
    problem("530", "logon-hours", "the account may not log on at this time"),
    problem("532", "password-expired", "the password of the account has expired"),
    problem("533", "account-disabled", "the account is disabled"),
    problem("701", "account-expired", "the account has expired"),
    problem("773", "password-must-change", "the account must change its password first"),
    problem("775", "account-locked", "the account is locked out"),
    unknown(
        "52f",
        "account-restriction",
        "the account may not log on in this way (a simple bind inside TLS); a join may use another",
    ),
    unknown(
        "531",
        "workstation-not-allowed",
        "the account may log on at certain computers only, and the domain controller that was asked is none of them",
    ),
    unknown(
        "534",
        "logon-type-not-granted",
        "the account may not log on to the domain controller in this way",
    ),
    unknown("80090346", "channel-binding-required", "the domain controller requires channel binding"),
];

/// What a refused bind comes to. `code` is the result code (RFC 4511 4.1.9), `message` the server's words.
#[must_use]
pub fn refused(code: i64, message: &[u8]) -> (CheckStatus, Facts) {
    let mut tally = Tally::default();
    tally.fact("result-code", code);
    let words = String::from_utf8_lossy(message);
    tally.text("result-message", &words);
    if code == STRONGER_AUTH_REQUIRED {
        let detail = "the domain controller requires stronger authentication than a simple bind inside TLS";
        tally.because(CheckStatus::Unknown, "stronger-auth-required", detail);
    } else if code != INVALID_CREDENTIALS {
        let detail = format!("the domain controller refuses the bind with result code {code}");
        tally.because(CheckStatus::Unknown, "bind-refused", detail);
    } else {
        invalid_credentials(&words, &mut tally);
    }
    tally.finish()
}

fn invalid_credentials(words: &str, tally: &mut Tally) {
    let data = data(words);
    if let Some(data) = data {
        tally.text("ldap-data", data);
    }
    let meaning =
        MEANINGS.iter().find(|meaning| data.is_some_and(|data| data.eq_ignore_ascii_case(meaning.data)));
    match meaning {
        Some(Meaning { word, error: Some(error), detail, .. }) => tally.fails_with(*error, word, *detail),
        Some(Meaning { status, word, detail, .. }) => tally.because(*status, word, *detail),
        None => {
            let detail = "the domain controller refuses the credentials";
            tally.because(CheckStatus::Problem, "logon-refused", detail);
        }
    }
}

/// The number after `data`. Windows may also put an SSPI status before it, which says more where it is 80090346.
fn data(words: &str) -> Option<&str> {
    if let Some(status) = words.get(..8).filter(|status| *status == "80090346") {
        return Some(status);
    }
    let (_, after) = words.split_once("data ")?;
    let end = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
    after.get(..end.min(8)).filter(|data| !data.is_empty())
}
