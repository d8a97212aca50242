//! Durations as people write them.

use std::time::Duration;

/// `1h`, `30m`, `1h 30m`, `90s`.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("\"{text}\" is no duration; write 30m, 1h or 90s");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| bad())?;
    let duration = Duration::try_from(duration).map_err(|_| bad())?;
    if duration.is_zero() { Err(bad()) } else { Ok(duration) }
}
