//! The one DNS client, for discovery and for checks of the vantage: UDP, and TCP when an answer does not fit (RFC 7766) or
//! when it is asked for.

mod configuration;
#[cfg(test)]
pub(crate) mod strangers;
#[cfg(test)]
mod tests;
mod tries;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use sekisho_checks::wire::dns::{self, Question, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

pub(crate) use configuration::{Configuration, is_stub};
pub(crate) use tries::{DATAGRAMS, until_answered};

use crate::{
    net::{self, Failure, Received},
    runner::Engine,
};
use tries::CONNECTIONS;

/// Where DNS servers listen.
pub(crate) const PORT: u16 = 53;

/// A response, with what was measured on the way.
pub(crate) type Answer = Received<Response>;

/// Asks DNS servers. Each question counts as the flows do towards the rates of its server.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    engine: Arc<Engine>,
}

impl Client {
    /// Asks within the rates of an engine.
    pub(crate) const fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Asks over UDP, and over TCP what was cut. Where TCP fails then, the failure is that of TCP.
    ///
    /// # Errors
    /// No response; why.
    pub(crate) async fn ask(&self, server: SocketAddr, question: &Question) -> Result<Answer, Failure> {
        let answer = self.over_udp(server, question).await?;
        if answer.reply.truncated { self.over_tcp(server, question).await } else { Ok(answer) }
    }

    /// Asks over UDP. The response may be a cut one.
    ///
    /// # Errors
    /// No response; why.
    pub(crate) async fn over_udp(&self, server: SocketAddr, question: &Question) -> Result<Answer, Failure> {
        until_answered(&self.engine, server.ip(), &DATAGRAMS, || datagram(server, question)).await
    }

    /// Asks over TCP.
    ///
    /// # Errors
    /// No response; why.
    pub(crate) async fn over_tcp(&self, server: SocketAddr, question: &Question) -> Result<Answer, Failure> {
        let life = self.engine.syn_life(server.ip());
        until_answered(&self.engine, server.ip(), &CONNECTIONS, || connection(server, question, life)).await
    }
}

/// A query under an id that nobody can guess.
fn query(question: &Question) -> Result<(u16, Vec<u8>), Failure> {
    let [high, low, ..] = *uuid::Uuid::new_v4().as_bytes();
    let id = u16::from_be_bytes([high, low]);
    let query = dns::query(id, question, true).map_err(|error| Failure::Local(error.to_string()))?;
    Ok((id, query))
}

async fn datagram(server: SocketAddr, question: &Question) -> Result<Answer, Failure> {
    let (id, query) = query(question)?;
    // Anything else is late or forged: whoever sent it does not know the id.
    net::converse(server, &query, |bytes| dns::decode(bytes, id, question).ok().flatten()).await
}

async fn connection(
    server: SocketAddr,
    question: &Question,
    life: Option<Duration>,
) -> Result<Answer, Failure> {
    let (id, query) = query(question)?;
    let began = Instant::now();
    let message = match exchange(server, &dns::framed(&query), life).await {
        Ok(message) => message,
        Err(error) => return Err(Failure::of_error(&error)),
    };
    let response = dns::decode(&message, id, question).ok().flatten().ok_or(Failure::Garbage)?;
    Ok(Received { reply: response, took: began.elapsed(), ttl: None })
}

/// One message there and one back. What follows it is not read; a message has at most 65535 octets (RFC 1035 4.2.2).
async fn exchange(server: SocketAddr, query: &[u8], life: Option<Duration>) -> io::Result<Vec<u8>> {
    let mut stream = net::connect(server, None, life).await?;
    stream.write_all(query).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// The DNS server of an address.
pub(crate) const fn server(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}
