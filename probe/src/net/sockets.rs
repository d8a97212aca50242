//! The pairs of addresses and ports that this process uses, kept while packets are captured: what belongs to a check is told
//! by them.

use std::{
    collections::HashSet,
    net::SocketAddr,
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

/// `None` while nobody captures.
static USED: Mutex<Option<HashSet<Pair>>> = Mutex::new(None);

fn used() -> MutexGuard<'static, Option<HashSet<Pair>>> {
    USED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins to keep pairs.
pub(crate) fn keep() {
    used().get_or_insert_default();
}

/// The pairs so far.
pub(crate) fn kept() -> HashSet<Pair> {
    used().clone().unwrap_or_default()
}

/// Notes a pair that is about to be used, or just was.
pub(crate) fn note(transport: Transport, local: Option<SocketAddr>, remote: SocketAddr) {
    if let Some(pairs) = used().as_mut()
        && pairs.len() < MOST
    {
        pairs.insert(Pair { transport, local: local.map(|local| local.port()), remote });
    }
}
