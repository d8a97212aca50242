//! What the system grants this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files that the process needs besides its attempts.
const OTHER_FILES: u64 = 64;

/// Raises the soft limit of open files to the hard one. Gives the limit before and after.
pub fn raise_open_files() -> (u64, u64) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return (256, 256) };
    // Enough for the largest concurrency that can be asked for, and no more.
    let wanted = hard.min(65_536).max(soft);
    match setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) {
        Ok(()) => (soft, wanted),
        Err(_) => (soft, soft),
    }
}

/// Attempts that fit into a number of open files. A flow may hold several attempts.
#[must_use]
pub fn attempts_within(files: u64) -> u32 {
    u32::try_from(files.saturating_sub(OTHER_FILES)).unwrap_or(u32::MAX).max(1)
}
