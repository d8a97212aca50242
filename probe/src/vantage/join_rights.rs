//! To be written.

use super::{Means, Request, Verdict};

/// An account and its password.
#[derive(Debug)]
pub struct Credentials {}

pub(super) async fn check(_means: &Means, _request: &Request, _credentials: Option<&Credentials>) -> Verdict {
    Verdict::unknown("unwritten", "")
}
