//! A second opinion: the truth against what nmap and ping see.

use crate::Lab;

pub(crate) fn verify(_lab: &Lab) -> anyhow::Result<Vec<String>> {
    anyhow::bail!("not yet")
}
