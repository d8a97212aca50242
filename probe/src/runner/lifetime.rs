//! The time to live that a RST arrives with, where this process may see packets: a RST of a device has travelled less far, or
//! began with another number, than what the target itself sends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::flow::{self, Endpoint, Single, Subject};
use crate::net::tap::{Header, Next, RST, SYN_ACK, Tap};

/// Attempts until a RST and an answer of the target were both seen.
const TRIES: usize = 6;
/// Packets wait in the socket; this is for those that are about to come.
const DRAIN: Duration = Duration::from_millis(20);
/// Numbers that systems begin with.
const INITIAL: [u8; 3] = [64, 128, 255];

/// Times to live on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetimes {
    /// Of the RST.
    pub(super) rst: u8,
    /// Of the target's own SYN-ACK.
    pub(super) reply: u8,
}

impl Lifetimes {
    /// The hop that the RST comes from.
    pub(super) fn hop_of_rst(self) -> Option<usize> {
        hop(self.rst)
    }

    /// The hop that the target's answer comes from.
    pub(super) fn hop_of_reply(self) -> Option<usize> {
        hop(self.reply)
    }
}

/// The hop that a packet comes from, from 1: the least number that systems begin with decides.
fn hop(ttl: u8) -> Option<usize> {
    let initial = INITIAL.into_iter().find(|initial| *initial >= ttl)?;
    Some(usize::from(initial - ttl) + 1)
}

/// Sees both, from a flow that gets a RST and one that the target answers. `None` where packets cannot be seen, or one of the
/// two did not come.
pub(super) async fn measure(
    subject: &Arc<Subject>,
    reset: Endpoint,
    answered: Endpoint,
) -> Option<Lifetimes> {
    let mut tap = Tap::open().ok()?;
    let mut seen: HashMap<(u16, u8), u8> = HashMap::new();
    for _ in 0..TRIES {
        for endpoint in [reset, answered] {
            flow::once(subject, Single::bare(endpoint), subject.within()).await;
        }
        while let Ok(Ok(packet)) = timeout(DRAIN, tap.next()).await {
            let Some(header) = Header::of(&packet.bytes) else { continue };
            if let Next::Tcp { from, flags, .. } = header.next
                && header.from == subject.target.address
            {
                let kind = if flags & RST != 0 { RST } else { flags & SYN_ACK };
                seen.insert((from, kind), header.ttl);
            }
        }
        let found = (seen.get(&(reset.port, RST)), seen.get(&(answered.port, SYN_ACK)));
        if let (Some(rst), Some(reply)) = found {
            return Some(Lifetimes { rst: *rst, reply: *reply });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hop_follows_from_the_number_that_is_left() {
        for (ttl, expected) in [(64, 1), (63, 2), (62, 3), (126, 3), (128, 1), (255, 1), (253, 3)] {
            assert_eq!(hop(ttl), Some(expected), "{ttl}");
        }
    }
}
