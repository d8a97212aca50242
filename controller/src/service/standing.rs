//! Where the database is, and what becomes of work when that changes.

use std::time::Duration;

use tokio::sync::watch;

use super::{Error, Services};
use crate::{database::Standing, store};

/// How long work may go on after the database moved: what has begun at the new place ends well, and what still waits for an
/// answer of the old one never gets it.
const GRACE: Duration = Duration::from_secs(2);

impl Services {
    /// Says where the database is, for a controller that follows it. Once.
    pub fn set_standing(&self, standing: watch::Receiver<Standing>) {
        if self.inner.standing.set(standing).is_err() {
            tracing::debug!("where the database is was told before");
        }
    }

    /// Where the database is, if that is followed.
    pub(super) fn standing(&self) -> Option<Standing> {
        self.inner.standing.get().map(|standing| standing.borrow().clone())
    }

    /// Returns when connections from before are of no use any more.
    pub(crate) async fn moved(&self) {
        let Some(mut standing) = self.inner.standing.get().cloned() else {
            return std::future::pending().await;
        };
        let now = standing.borrow_and_update().moves;
        if standing.wait_for(|standing| standing.moves != now).await.is_err() {
            // Nobody follows it any more: the controller stops.
            std::future::pending().await
        }
    }

    /// Does work, but does not wait for a server that has vanished without a word: a query may hang for ever there.
    pub(crate) async fn unless_moved<T, E: From<Error>>(
        &self,
        work: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let left_behind = async {
            self.moved().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            biased;
            done = work => done,
            () = left_behind => Err(Error::from(store::Error::moved()).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_never_comes_counts_as_an_outage() {
        assert!(matches!(Error::from(store::Error::moved()), Error::Unavailable(_)));
    }
}
