//! The packets of a check, and only those, in a file that Wireshark opens: pcapng
//! (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3).
//!
//! All packets of the machine pass by while the check runs; what is kept is what goes between this host and the addresses
//! under test, and of that only what has the check's own pairs of ports, and ICMP errors about it, is written.

mod pcapng;
mod shelf;

use std::{
    collections::{HashMap, HashSet},
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sekisho_model::Transport;
use tokio::task::JoinHandle;

pub(crate) use shelf::Shelf;

use crate::net::{
    sockets::{self, Keeper, Pair},
    tap::{Header, Next, Packet, Tap},
};

/// Most bytes of packets kept. What comes beyond is counted.
const MOST_BYTES: usize = 32 << 20;
/// After the check, packets that are still on their way are waited for.
const LINGER: Duration = Duration::from_millis(150);

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) packets: usize,
    /// Packets for which there was no room.
    pub(crate) left_out: usize,
}

/// A capture under way. It ends when this value goes.
#[derive(Debug)]
pub(crate) struct Capture {
    kept: Arc<Mutex<Kept>>,
    listening: JoinHandle<()>,
    _keeper: Keeper,
}

#[derive(Debug, Default)]
struct Kept {
    packets: Vec<(Header, Packet)>,
    bytes: usize,
    left_out: usize,
}

impl Capture {
    /// Begins.
    ///
    /// # Errors
    /// Mostly that this process may not see packets.
    pub(crate) fn begin() -> io::Result<Self> {
        let mut tap = Tap::open()?;
        let kept = Arc::new(Mutex::new(Kept::default()));
        let keeps = kept.clone();
        let listening = tokio::spawn(async move {
            loop {
                match tap.next().await {
                    Ok(packet) => lock(&keeps).take(packet),
                    Err(error) => return tracing::warn!(%error, "the capture ends early"),
                }
            }
        });
        Ok(Self { kept, listening, _keeper: Keeper::new() })
    }

    /// Writes what has been seen so far of the pairs that `wanted` names.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn write(&self, file: File, wanted: impl Fn(&Pair) -> bool) -> io::Result<Written> {
        tokio::time::sleep(LINGER).await;
        let ours = Ours::of(sockets::kept().into_iter().filter(wanted));
        let mut out = BufWriter::new(file);
        out.write_all(&pcapng::head())?;
        let kept = lock(&self.kept);
        let mut written = Written { packets: 0, left_out: kept.left_out };
        for (_, packet) in kept.packets.iter().filter(|(header, _)| ours.has(header)) {
            out.write_all(&pcapng::packet(packet.at, &packet.bytes))?;
            written.packets += 1;
        }
        out.flush()?;
        Ok(written)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates or empties a file for packets. Only its owner may read it.
///
/// # Errors
/// It cannot be written.
pub(crate) fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)
}

impl Kept {
    /// Keeps a packet to or from an address that this process talks to, or an error about one.
    fn take(&mut self, packet: Packet) {
        let Some(header) = Header::of(&packet.bytes) else { return };
        let quoted = match header.next {
            Next::Icmp { quoted: Some(quoted), .. } => [quoted.from, quoted.to],
            Next::Icmp { quoted: None, .. } | Next::Tcp { .. } | Next::Udp { .. } | Next::Other => {
                [header.from, header.to]
            }
        };
        if !sockets::any_to(&[header.from, header.to, quoted[0], quoted[1]]) {
            return;
        }
        if self.bytes.saturating_add(packet.bytes.len()) > MOST_BYTES {
            self.left_out += 1;
            return;
        }
        self.bytes += packet.bytes.len();
        self.packets.push((header, packet));
    }
}

/// The pairs of a check, for looking up.
#[derive(Debug, Default)]
struct Ours {
    ports: HashMap<(Transport, SocketAddr), HashSet<u16>>,
    echoes: HashSet<IpAddr>,
    addresses: HashSet<IpAddr>,
}

impl Ours {
    fn of(pairs: impl Iterator<Item = Pair>) -> Self {
        let mut ours = Self::default();
        for pair in pairs {
            ours.addresses.insert(pair.remote.ip());
            match pair.local {
                Some(local) => {
                    ours.ports.entry((pair.transport, pair.remote)).or_default().insert(local);
                }
                None => {
                    ours.echoes.insert(pair.remote.ip());
                }
            }
        }
        ours
    }

    fn is_pair(&self, transport: Transport, remote: IpAddr, port: u16, local: u16) -> bool {
        let locals = self.ports.get(&(transport, SocketAddr::new(remote, port)));
        locals.is_some_and(|locals| locals.contains(&local))
    }

    fn has(&self, header: &Header) -> bool {
        let pair = |transport, from: u16, to: u16| {
            self.is_pair(transport, header.to, to, from) || self.is_pair(transport, header.from, from, to)
        };
        match header.next {
            Next::Tcp { from, to, .. } => pair(Transport::Tcp, from, to),
            Next::Udp { from, to } => pair(Transport::Udp, from, to),
            Next::Icmp { quoted: Some(quoted), .. } => match quoted.ports {
                Some((transport, local, port)) => self.is_pair(transport, quoted.to, port, local),
                None => self.echoes.contains(&quoted.to),
            },
            Next::Icmp { quoted: None, .. } => {
                self.echoes.contains(&header.to) || self.echoes.contains(&header.from)
            }
            // Fragments have no ports: those to and from an address under test belong to the check as far as can be told.
            Next::Other => self.addresses.contains(&header.to) || self.addresses.contains(&header.from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tap::Quoted;

    fn header(from: &str, to: &str, next: Next) -> Header {
        Header { from: from.parse().unwrap(), to: to.parse().unwrap(), ttl: 64, next }
    }

    #[test]
    fn only_what_belongs_to_the_check_is_taken() {
        let remote = "10.77.1.10:445".parse().unwrap();
        let ours = Ours::of([Pair { transport: Transport::Tcp, local: Some(50_000), remote }].into_iter());
        let (here, there) = ("10.77.20.20", "10.77.1.10");
        let tcp = |from, to| Next::Tcp { from, to, flags: 0 };
        assert!(ours.has(&header(here, there, tcp(50_000, 445))));
        assert!(ours.has(&header(there, here, tcp(445, 50_000))));
        assert!(!ours.has(&header(here, there, tcp(50_001, 445))), "another program's connection");
        assert!(!ours.has(&header(here, there, tcp(50_000, 88))));
        assert!(!ours.has(&header(here, there, Next::Udp { from: 50_000, to: 445 })));
        let error = |ports| {
            let quoted = Some(Quoted { from: here.parse().unwrap(), to: there.parse().unwrap(), ports });
            header("10.77.20.1", here, Next::Icmp { identifier: 0, quoted })
        };
        assert!(ours.has(&error(Some((Transport::Tcp, 50_000, 445)))));
        assert!(!ours.has(&error(Some((Transport::Tcp, 50_001, 445)))), "an error about another connection");
        assert!(!ours.has(&error(None)), "an error about an echo");
        assert!(!ours.has(&header(there, here, Next::Icmp { identifier: 1, quoted: None })), "nobody pinged");
    }
}
