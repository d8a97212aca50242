//! To be written.

use super::{Means, Request, Verdict};

pub(super) async fn check(_means: &Means, _request: &Request) -> Verdict {
    Verdict::unknown("unwritten", "")
}
