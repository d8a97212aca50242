//! The ground that strangers stand on.

use std::{net::Ipv4Addr, sync::Arc, thread};

use anyhow::{Context, anyhow, ensure};
use nix::sched::{CloneFlags, unshare};

use super::{Behaviour, datagrams, streams};

/// Strangers that one address range holds.
const MOST: usize = 60_000;

/// Address of the n-th stranger.
#[must_use]
pub fn address_of(number: usize) -> Ipv4Addr {
    let number = u16::try_from(number + 1).unwrap_or(u16::MAX);
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 77, high, low)
}

/// The stranger at an address.
pub(super) fn at(strangers: &[Behaviour], address: Ipv4Addr) -> Option<&Behaviour> {
    let [_, _, high, low] = address.octets();
    let number = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
    strangers.get(number)
}

/// Does something where these strangers serve every port. Child processes see them too, and nothing else.
///
/// # Errors
/// There is no ground (root is needed), a port cannot be had, or the work fails.
pub fn on_ground<T: Send>(
    strangers: Vec<Behaviour>,
    work: impl FnOnce() -> anyhow::Result<T> + Send,
) -> anyhow::Result<T> {
    ensure!(strangers.len() <= MOST, "{} strangers and more have no address", strangers.len());
    // A thread of its own: the way back is to end it. The servers' threads inherit the namespace, and end with the test.
    thread::scope(|scope| {
        let inside = scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).context("a network namespace (this needs root)")?;
            let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
            ensure!(up.success(), "ip link set lo up: {up}");
            let strangers: Arc<[Behaviour]> = strangers.into();
            streams::serve(&strangers)?;
            datagrams::serve(&strangers)?;
            work()
        });
        inside.join().map_err(|_| anyhow!("work among strangers panicked"))?
    })
}
