//! What a controller does unasked. Every step may be done by any controller, at any time, more than once.

mod alerts;
mod listener;
mod outage;
mod rounds;

use tokio::sync::watch;

use crate::service::Services;

/// Works until `shutdown` turns true. Never fails: an outage of the database is logged once and waited out.
pub async fn run(services: Services, shutdown: watch::Receiver<bool>) {
    tokio::join!(
        listener::run(&services, shutdown.clone()),
        rounds::run(&services, shutdown.clone()),
        alerts::run(&services, shutdown)
    );
}

/// Returns when the controller stops.
async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the controller.
    drop(shutdown.wait_for(|stop| *stop).await);
}
