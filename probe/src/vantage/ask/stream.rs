//! A connection on which messages come one after the other.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use sekisho_checks::wire;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Trouble;
use crate::net::{
    self,
    path::{self, TcpPath},
};

/// Octets read at once. With the limit of a [`Measure`] it bounds what is held.
const READ: usize = 8 * 1024;

/// The octets of the first message with its framing; `None` while that is not known. Refuses what is too long.
pub(in crate::vantage) type Measure = fn(&[u8]) -> Result<Option<usize>, wire::Error>;

/// A connection, and what came over it and was not taken.
#[derive(Debug)]
pub(in crate::vantage) struct Stream {
    stream: TcpStream,
    peer: IpAddr,
    taken: Vec<u8>,
    /// Something was sent, and no message has come since.
    waiting: bool,
}

impl Drop for Stream {
    /// What is not answered is ended at once, so that neither end repeats it for minutes.
    fn drop(&mut self) {
        if self.waiting
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection ends slowly");
        }
    }
}

impl Stream {
    /// Connects from a fresh port. `mss` makes both ends send segments of at most so many octets (tcp(7), TCP_MAXSEG).
    /// Times out where the life of a SYN is limited.
    pub(in crate::vantage) async fn connect(
        to: SocketAddr,
        mss: Option<u32>,
        life: Option<Duration>,
    ) -> Result<Self, Trouble> {
        let stream = net::connect(to, mss, life).await.map_err(|error| Trouble::of(&error))?;
        Ok(Self { stream, peer: to.ip(), taken: Vec::new(), waiting: false })
    }

    pub(in crate::vantage) async fn send(&mut self, request: &[u8]) -> Result<(), Trouble> {
        self.waiting = true;
        self.stream.write_all(request).await.map_err(|error| Trouble::of(&error))
    }

    /// The next message, with its framing. Does not time out; may be dropped meanwhile.
    pub(in crate::vantage) async fn message(&mut self, measure: Measure) -> Result<Vec<u8>, Trouble> {
        let mut buffer = vec![0; READ];
        loop {
            let total = measure(&self.taken).map_err(|_| Trouble::Strange)?;
            if let Some(total) = total.filter(|total| *total <= self.taken.len()) {
                self.waiting = false;
                let rest = self.taken.split_off(total);
                return Ok(std::mem::replace(&mut self.taken, rest));
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Err(Trouble::Closed),
                Ok(count) => self.taken.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) => return Err(Trouble::of(&error)),
            }
        }
    }

    /// Whether a part of a message came.
    pub(in crate::vantage) const fn has_part(&self) -> bool {
        !self.taken.is_empty()
    }

    /// What the kernel knows of the connection.
    pub(in crate::vantage) fn path(&self) -> Option<TcpPath> {
        path::tcp_path(&self.stream, self.peer)
    }
}
