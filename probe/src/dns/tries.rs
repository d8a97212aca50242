//! Several tries of one question, each from a fresh port. An earlier one is listened to while the later ones go out.

use std::{net::IpAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use crate::{net::Failure, runner::Engine};

/// When the tries go out, and how long each is waited for: the pause after each of them, the last one before silence is
/// believed. Where 5 % of the packets are lost in each direction, all of them fail once in a million questions.
pub(crate) type Gaps = [Duration];

/// For one datagram there and one back.
pub(crate) const DATAGRAMS: [Duration; 6] = gaps([250, 350, 500, 700, 900, 1_100]);
/// For a connection: the kernel repeats its packets as well.
pub(crate) const CONNECTIONS: [Duration; 4] = gaps([1_000, 900, 900, 1_200]);
/// Errors that are believed: one may be a forgery or about something else.
const ERRORS: usize = 2;

const fn gaps<const N: usize>(millis: [u64; N]) -> [Duration; N] {
    let mut gaps = [Duration::ZERO; N];
    let mut n = 0;
    while n < N {
        gaps[n] = Duration::from_millis(millis[n]);
        n += 1;
    }
    gaps
}

/// Tries until there is a reply, two errors, or a silence through all tries. Each try waits for the rate limits of the
/// engine and holds its permit; no try's time is spent in waiting for them.
pub(crate) async fn until_answered<T, F>(
    engine: &Arc<Engine>,
    address: IpAddr,
    gaps: &Gaps,
    attempt: impl Fn() -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut under_way = FuturesUnordered::new();
    let mut errors = Vec::new();
    let mut waits = gaps.iter();
    let mut next: BoxFuture<'_, Option<OwnedSemaphorePermit>> = engine.admit(address).boxed();
    loop {
        tokio::select! {
            biased;
            Some(ended) = under_way.next(), if !under_way.is_empty() => match ended {
                Ok(reply) => return Ok(reply),
                // A try that nobody answered is a lost packet, and not a word.
                Err(Failure::Silent) => {}
                Err(error) => errors.push(error),
            },
            permit = &mut next => match waits.next() {
                Some(wait) => {
                    let trying = attempt();
                    under_way.push(async move {
                        let _held_while_trying = permit;
                        trying.await
                    });
                    // After the last one nothing more goes out, so nothing is admitted.
                    let engine = Some(engine).filter(|_| waits.len() > 0);
                    next = admitted_after(*wait, engine, address).boxed();
                }
                None => return Err(errors.pop().unwrap_or(Failure::Silent)),
            },
        }
        if errors.len() >= ERRORS {
            return Err(errors.pop().unwrap_or(Failure::Silent));
        }
    }
}

async fn admitted_after(
    wait: Duration,
    engine: Option<&Arc<Engine>>,
    address: IpAddr,
) -> Option<OwnedSemaphorePermit> {
    sleep(wait).await;
    match engine {
        Some(engine) => engine.admit_again(address).await,
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::time::Instant;

    use super::*;
    use crate::{net::IcmpAccess, runner::Rates};

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    async fn tried<T, F>(attempt: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        until_answered(&Engine::new(Rates::default(), IcmpAccess::None), ADDRESS, &DATAGRAMS, attempt).await
    }

    #[tokio::test]
    async fn silence_is_believed_after_all_tries() {
        let (tries, began) = (Cell::new(0), Instant::now());
        let told = tried(|| {
            tries.set(tries.get() + 1);
            pending::<Result<(), Failure>>()
        });
        assert_eq!(told.await, Err(Failure::Silent));
        assert_eq!(tries.get(), 6);
        assert!(began.elapsed() >= Duration::from_millis(3_800));
    }

    #[tokio::test]
    async fn an_early_try_may_answer_late() {
        let tries = Cell::new(0);
        let told = tried(|| {
            let number = tries.replace(tries.get() + 1);
            async move {
                let late = number == 0;
                if late {
                    sleep(Duration::from_millis(400)).await
                } else {
                    pending().await
                }
                Ok(number)
            }
        });
        assert_eq!(told.await, Ok(0));
        assert_eq!(tries.get(), 2);
    }

    #[tokio::test]
    async fn one_error_is_not_believed_and_two_are() {
        for (errors, expected) in [(1, Ok(())), (2, Err(Failure::Closed))] {
            let tries = Cell::new(0);
            let told = tried(|| {
                let failed = tries.replace(tries.get() + 1) < errors;
                async move { if failed { Err(Failure::Closed) } else { Ok(()) } }
            });
            assert_eq!(told.await, expected);
        }
    }
}
