//! One question to a domain controller, asked as often as loss makes it necessary: each time from another port.

mod kerberos;
mod stream;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use sekisho_checks::wire;
use sekisho_model::Transport;
use tokio::time::{Instant, timeout, timeout_at};

use super::Means;
use crate::net::{
    self,
    path::{self, Sizing, TooBig},
};

pub(super) use kerberos::{as_exchange, nobody, realm};
pub(super) use stream::{Measure, Stream};

/// How long each try is waited for before the next one begins; an answer to an earlier one still counts. The second begins
/// before, the third when the kernel repeats a lost SYN.
const PATIENCE: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(1_500),
];
/// Refusals that are believed: a domain controller that closes idle sessions may reset a fresh one (Microsoft Learn, "LDAP
/// and Kerberos Server may not respond to UDP requests or may reset TCP sessions immediately after creation").
const REFUSALS: u32 = 2;
/// The other way is tried when the preferred one takes this long.
const PREFERENCE: Duration = Duration::from_millis(1_000);
/// Largest datagram taken; of a larger one the rest is cut off, and it is not understood.
const DATAGRAM: usize = 16 * 1024;

/// How a message is cut out of what comes back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carrier {
    /// It is a datagram.
    Datagram,
    /// The same, with a say in its size.
    Sized(Sizing),
    /// It is the first in a stream.
    Stream {
        /// Where it ends.
        measure: Measure,
        /// The octets of framing before it.
        header: usize,
    },
}

impl Carrier {
    pub(super) const LDAP: Self = Self::Stream { measure: wire::ldap::measure, header: 0 };
    pub(super) const KERBEROS: Self = Self::Stream { measure: wire::kerberos::measure, header: 4 };
    pub(super) const SMB: Self = Self::Stream { measure: wire::smb::measure, header: 4 };

    const fn transport(self) -> Transport {
        match self {
            Self::Datagram | Self::Sized(_) => Transport::Udp,
            Self::Stream { .. } => Transport::Tcp,
        }
    }
}

/// What to ask, and where.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) address: IpAddr,
    pub(super) port: u16,
    pub(super) carrier: Carrier,
    /// The octets to send, with their framing.
    pub(super) request: Vec<u8>,
}

/// A reply that was understood.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) value: T,
    /// When the request was handed to the kernel, by this host's clock.
    pub(super) sent: Timestamp,
    /// From then until the whole reply was here.
    pub(super) took: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    Silent,
    /// The port is closed, or somebody says so.
    Refused,
    Reset,
    /// The connection ended before the reply.
    Closed,
    /// No route, or a device prohibits it.
    Unreachable,
    /// A reply of another protocol.
    Strange,
    TooBig(TooBig),
    /// The local scope forbids it.
    OutOfScope,
    /// This host cannot ask.
    Failed(String),
}

impl Trouble {
    /// The word for facts.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed-without-reply",
            Self::Unreachable => "unreachable",
            Self::Strange => "not-understood",
            Self::TooBig(_) => "too-big",
            Self::OutOfScope => "out-of-scope",
            Self::Failed(_) => "failed",
        }
    }

    pub(super) fn of(error: &io::Error) -> Self {
        #[allow(clippy::wildcard_enum_match_arm, reason = "every other error is this machine's own trouble")]
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::UnexpectedEof => Self::Closed,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unreachable,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Asks until there is an answer, with the usual patience.
pub(super) async fn ask<T>(
    means: &Means,
    question: &Question,
    understand: impl Fn(&[u8]) -> Option<T>,
) -> Result<Answer<T>, Trouble> {
    ask_for(means, question, &PATIENCE, understand).await
}

/// Asks until there is an answer, once for each member of `patience`, and waits that long before the next time. A refusal
/// is believed when it is repeated.
pub(super) async fn ask_for<T>(
    means: &Means,
    question: &Question,
    patience: &[Duration],
    understand: impl Fn(&[u8]) -> Option<T>,
) -> Result<Answer<T>, Trouble> {
    let (mut tries, mut so_far) = (FuturesUnordered::new(), SoFar { refusals: 0, trouble: Trouble::Silent });
    let admitted = means.admit(question.address, question.carrier.transport(), question.port).await;
    let mut admitted = Some(admitted.map_err(|_| Trouble::OutOfScope)?);
    let life = means.engine.syn_life(question.address);
    for patience in patience {
        let permit = match admitted.take() {
            Some(first) => first,
            None => {
                // While this one waits for its turn, those before it go on.
                let mut turn = pin!(means.engine.admit_again(question.address));
                loop {
                    tokio::select! {
                        biased;
                        Some(ended) = tries.next(), if !tries.is_empty() => {
                            if let Some(told) = so_far.hear(ended) {
                                return told;
                            }
                        }
                        permit = &mut turn => break permit,
                    }
                }
            }
        };
        let understand = &understand;
        tries.push(async move {
            let _permit = permit;
            once(question, life, understand).await
        });
        let over = Instant::now() + *patience;
        while let Ok(Some(ended)) = timeout_at(over, tries.next()).await {
            if let Some(told) = so_far.hear(ended) {
                return told;
            }
        }
        if so_far.refusals >= REFUSALS {
            break;
        }
    }
    Err(so_far.trouble)
}

/// What the tries of a question came to.
struct SoFar {
    refusals: u32,
    trouble: Trouble,
}

impl SoFar {
    /// What ends the question, if this try does.
    fn hear<T>(&mut self, ended: Result<Answer<T>, Trouble>) -> Option<Result<Answer<T>, Trouble>> {
        match ended {
            Ok(_) | Err(Trouble::TooBig(_)) => return Some(ended),
            // A try that nobody answered is a lost packet, and not a word.
            Err(Trouble::Silent) => {}
            Err(other) => {
                self.refusals += 1;
                self.trouble = other;
            }
        }
        None
    }
}

/// The answer of the preferred way, or of the other where the preferred one fails or takes long.
///
/// # Errors
/// The trouble of the preferred way.
pub(super) async fn either<T>(
    preferred: impl Future<Output = Result<T, Trouble>>,
    other: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    let (mut preferred, mut other) = (pin!(preferred), pin!(other));
    if let Ok(ended) = timeout(PREFERENCE, preferred.as_mut()).await {
        return match ended {
            Ok(answer) => Ok(answer),
            Err(trouble) => other.await.map_err(|_| trouble),
        };
    }
    tokio::select! {
        ended = preferred.as_mut() => match ended {
            Ok(answer) => Ok(answer),
            Err(trouble) => other.await.map_err(|_| trouble),
        },
        ended = other.as_mut() => match ended {
            Ok(answer) => Ok(answer),
            Err(_) => preferred.await,
        },
    }
}

/// One try. Does not time out.
async fn once<T>(
    question: &Question,
    life: Option<Duration>,
    understand: &impl Fn(&[u8]) -> Option<T>,
) -> Result<Answer<T>, Trouble> {
    let to = SocketAddr::new(question.address, question.port);
    match question.carrier {
        Carrier::Datagram => by_datagram(to, None, &question.request, understand).await,
        Carrier::Sized(sizing) => by_datagram(to, Some(sizing), &question.request, understand).await,
        Carrier::Stream { measure, header } => {
            let mut stream = Stream::connect(to, None, life).await?;
            let (sent, began) = (Timestamp::now(), Instant::now());
            stream.send(&question.request).await?;
            let message = stream.message(measure).await?;
            let value = understand(message.get(header..).unwrap_or_default()).ok_or(Trouble::Strange)?;
            Ok(Answer { value, sent, took: began.elapsed() })
        }
    }
}

async fn by_datagram<T>(
    to: SocketAddr,
    sizing: Option<Sizing>,
    request: &[u8],
    understand: &impl Fn(&[u8]) -> Option<T>,
) -> Result<Answer<T>, Trouble> {
    let socket = net::datagrams(to, None).map_err(|error| Trouble::of(&error))?;
    if let Some(sizing) = sizing {
        path::set_sizing(&socket, to.ip(), sizing).map_err(|error| Trouble::of(&error))?;
    }
    let trouble = |error| path::too_big(&socket).map_or_else(|| Trouble::of(&error), Trouble::TooBig);
    let (sent, began) = (Timestamp::now(), Instant::now());
    socket.send(request).await.map_err(trouble)?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let count = socket.recv(&mut buffer).await.map_err(trouble)?;
        let took = began.elapsed();
        // Another reply than the one that was asked for may be late or forged: the right one may still come.
        if let Some(value) = understand(buffer.get(..count).unwrap_or_default()) {
            return Ok(Answer { value, sent, took });
        }
    }
}

#[cfg(test)]
mod tests;
