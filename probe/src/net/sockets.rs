//! The pairs of addresses and ports that this process uses, kept while packets are captured: what belongs to a check is told
//! by them.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use sekisho_model::Transport;

/// Most pairs kept. Packets of further ones are not captured.
const MOST: usize = 200_000;

/// One pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    pub(crate) transport: Transport,
    /// Local port; `None` for ICMP.
    pub(crate) local: Option<u16>,
    pub(crate) remote: SocketAddr,
}

/// The pairs, and how many captures there are that need them.
#[derive(Debug, Default)]
struct Used {
    captures: usize,
    pairs: HashSet<Pair>,
    remotes: HashSet<IpAddr>,
}

/// `None` while nobody captures.
static USED: Mutex<Option<Used>> = Mutex::new(None);

fn used() -> MutexGuard<'static, Option<Used>> {
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has pairs kept as long as it lives.
#[derive(Debug)]
pub(crate) struct Keeper(());

impl Keeper {
    pub(crate) fn new() -> Self {
        used().get_or_insert_default().captures += 1;
        Self(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let mut used = used();
        let left = used.as_ref().map_or(0, |used| used.captures.saturating_sub(1));
        match used.as_mut() {
            Some(used) if left > 0 => used.captures = left,
            Some(_) | None => *used = None,
        }
    }
}

/// The pairs so far.
pub(crate) fn kept() -> HashSet<Pair> {
    used().as_ref().map(|used| used.pairs.clone()).unwrap_or_default()
}

/// Whether any pair goes to one of these addresses.
pub(crate) fn any_to(addresses: &[IpAddr]) -> bool {
    used().as_ref().is_some_and(|used| addresses.iter().any(|address| used.remotes.contains(address)))
}

/// Notes a pair that is about to be used, or just was.
pub(crate) fn note(transport: Transport, local: Option<SocketAddr>, remote: SocketAddr) {
    if let Some(used) = used().as_mut()
        && used.pairs.len() < MOST
    {
        used.remotes.insert(remote.ip());
        used.pairs.insert(Pair { transport, local: local.map(|local| local.port()), remote });
    }
}
