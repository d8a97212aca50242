//! Waiting for a condition, never for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(25);

/// Waits until the condition gives something.
///
/// # Errors
/// The deadline passes first; the message says what was waited for and what was last seen.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    let mut last = String::new();
    loop {
        match condition() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = format!("; last: {error:#}"),
        }
        if began.elapsed() > within {
            bail!("{what} did not come within {} s{last}", within.as_secs());
        }
        thread::sleep(EVERY);
    }
}
