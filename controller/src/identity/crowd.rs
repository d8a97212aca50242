//! How many connections one client may have. A new one is never refused: the client's oldest makes room for it, so that
//! nobody can keep others out by holding on.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Sleep, sleep},
};

/// Connections of one probe: its session, the one that this replaces, and a renewal.
const OF_A_PROBE: usize = 8;
/// Connections of all clients without certificate together.
const OF_STRANGERS: usize = 256;
/// How long a client without certificate may stay: it can enrol, and there is nothing else for it to do.
const VISIT: Duration = Duration::from_secs(30);

/// Whose connections are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    /// Everybody without certificate.
    Strangers,
    /// The subject of a verified certificate, DER.
    Probe(Vec<u8>),
}

impl Client {
    const fn most(&self) -> usize {
        match self {
            Self::Strangers => OF_STRANGERS,
            Self::Probe(_) => OF_A_PROBE,
        }
    }
}

/// The open connections of every client.
#[derive(Debug)]
pub(super) struct Crowd {
    /// How long strangers may stay.
    visit: Duration,
    clients: Mutex<HashMap<Client, Members>>,
}

/// From the oldest to the newest. Who drops a sender ends the connection.
#[derive(Debug, Default)]
struct Members {
    next: u64,
    open: VecDeque<(u64, oneshot::Sender<()>)>,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { visit: VISIT, clients: Mutex::default() }
    }
}

impl Crowd {
    /// A place for one more connection. Where there are too many, the client's oldest one is told to end.
    pub(super) fn enter(self: &Arc<Self>, client: Client) -> Place {
        let (stay, over) = oneshot::channel();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let members = clients.entry(client.clone()).or_default();
        while members.open.len() >= client.most() {
            members.open.pop_front();
        }
        let number = members.next;
        members.next += 1;
        members.open.push_back((number, stay));
        drop(clients);
        let visit = match client {
            Client::Strangers => Some(Box::pin(sleep(self.visit))),
            Client::Probe(_) => None,
        };
        Place { crowd: self.clone(), client, number, over, visit }
    }

    fn leave(&self, client: &Client, number: u64) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut members) = clients.entry(client.clone()) {
            members.get_mut().open.retain(|(other, _)| *other != number);
            if members.get().open.is_empty() {
                members.remove();
            }
        }
    }
}

/// The place of one connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    client: Client,
    number: u64,
    over: oneshot::Receiver<()>,
    visit: Option<Pin<Box<Sleep>>>,
}

impl Place {
    /// Whether the connection has to end. Where it has not, its task is woken when that changes.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        let visit = self.visit.as_mut().is_some_and(|visit| visit.as_mut().poll(context).is_ready());
        visit || matches!(Pin::new(&mut self.over).poll(context), Poll::Ready(_))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.leave(&self.client, self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    fn over(place: &mut Place) -> bool {
        place.is_over(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn the_oldest_connection_of_a_probe_makes_room_and_other_probes_keep_theirs() {
        let crowd = Arc::new(Crowd::default());
        let mut other = crowd.enter(Client::Probe(vec![2]));
        let mut places: Vec<Place> =
            (0..OF_A_PROBE + 3).map(|_| crowd.enter(Client::Probe(vec![1]))).collect();
        let ended: Vec<bool> = places.iter_mut().map(over).collect();
        assert_eq!(ended.iter().filter(|over| **over).count(), 3);
        assert!(ended[..3].iter().all(|over| *over));
        assert!(!over(&mut other));
        places.drain(3..5);
        let mut more: Vec<Place> = (0..2).map(|_| crowd.enter(Client::Probe(vec![1]))).collect();
        assert!(!places[3..].iter_mut().chain(&mut more).any(over), "places that were left are free");
    }

    #[tokio::test]
    async fn nothing_is_kept_of_clients_that_are_gone() {
        let crowd = Arc::new(Crowd::default());
        for number in 0..2_000_u16 {
            drop(crowd.enter(Client::Probe(number.to_be_bytes().to_vec())));
        }
        let strangers: Vec<Place> = (0..2_000).map(|_| crowd.enter(Client::Strangers)).collect();
        assert_eq!(crowd.clients.lock().unwrap()[&Client::Strangers].open.len(), OF_STRANGERS);
        drop(strangers);
        assert!(crowd.clients.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn strangers_stay_for_a_moment_and_probes_as_long_as_they_like() {
        let crowd = Arc::new(Crowd { visit: Duration::from_millis(300), clients: Mutex::default() });
        let (mut stranger, mut probe) = (crowd.enter(Client::Strangers), crowd.enter(Client::Probe(vec![1])));
        assert!(!over(&mut stranger));
        let end = std::future::poll_fn(|context| match stranger.is_over(context) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        });
        tokio::time::timeout(Duration::from_secs(10), end).await.expect("a stranger's visit ends");
        assert!(!over(&mut probe));
    }
}
