//! Whether a time service keeps the clock right: the kernel's word for it, and who runs.

use std::{io, path::Path};

use nix::libc;
use sekisho_checks::vantage::host::Clock;

/// What time services leave behind while they run or once they have synchronised.
const SERVICES: [(&str, &str); 5] = [
    ("systemd-timesyncd", "/run/systemd/timesync/synchronized"),
    ("chrony", "/run/chrony/chronyd.pid"),
    ("ntpd", "/run/ntpd.pid"),
    ("ntpsec", "/run/ntpsec/ntpd.pid"),
    ("ntpd-rs", "/run/ntpd-rs/observe"),
];

/// Asks the kernel. Without a mode nothing is set, so no permission is needed (adjtimex(2)).
pub(super) fn read() -> Clock {
    #[allow(unsafe_code, reason = "no library of this project reads the state of the kernel's clock")]
    // SAFETY: a `timex` of zeroes is a valid one, whose mode 0 sets nothing; the kernel writes into it and it outlives
    // the call.
    let (result, timex) = unsafe {
        let mut timex: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut timex), timex)
    };
    if result < 0 {
        return Clock::Unreadable(format!("adjtimex: {}", io::Error::last_os_error()));
    }
    if timex.status & libc::STA_UNSYNC != 0 || result == libc::TIME_ERROR {
        return Clock::Unsynchronised;
    }
    #[allow(clippy::useless_conversion, reason = "its width differs from platform to platform")]
    let max_error_us = i64::from(timex.maxerror);
    Clock::Synchronised { max_error_us }
}

/// The time services that left a trace.
pub(super) fn services() -> Vec<String> {
    let found = SERVICES.iter().filter(|(_, trace)| Path::new(trace).exists());
    found.map(|(name, _)| (*name).to_owned()).collect()
}
