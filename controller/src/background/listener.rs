//! Hands the database's notifications to this controller's sessions.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::{sync::watch, time::sleep};

use super::{outage::Outage, stopping};
use crate::{
    service::{Event, Services},
    store,
};

/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn run(services: &Services, mut shutdown: watch::Receiver<bool>) {
    let mut outage = Outage::new("listening for events");
    loop {
        tokio::select! {
            () = stopping(&mut shutdown) => break,
            result = listen(services, &mut outage) => if let Err(error) = result {
                outage.failed(&error);
            },
            // The connection may be to a server that is silent for ever.
            () = services.moved() => tracing::debug!("listening for events where the database is"),
        }
        services.note_listening(false);
        tokio::select! {
            () = stopping(&mut shutdown) => break,
            () = sleep(PAUSE) => {}
        }
    }
}

/// Listens until the connection is lost.
async fn listen(services: &Services, outage: &mut Outage) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(services.pool()).await?;
    listener.listen_all(store::event::CHANNELS).await?;
    outage.worked();
    services.note_listening(true);
    // Whatever was sent before the connection stood was missed.
    services.publish(Event::Resync);
    while let Some(notification) = listener.try_recv().await? {
        if let Some(event) = store::event::read(notification.channel(), notification.payload()) {
            services.publish(event);
        }
    }
    Ok(())
}
