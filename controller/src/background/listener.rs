//! Hands the database's notifications to this controller's sessions.

use std::{io, time::Duration};

use sqlx::{Executor, postgres::PgListener};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{outage::Outage, stopping};
use crate::{
    service::{Event, Services},
    store,
};

/// Pause between attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// After so long a silence the database is asked whether it is still there, and has as long to answer: a connection that some
/// device on the way has forgotten is silent for ever.
const QUIET: Duration = Duration::from_secs(10);

pub(super) async fn run(services: &Services, mut shutdown: watch::Receiver<bool>) {
    let mut outage = Outage::new("listening for events");
    loop {
        tokio::select! {
            () = stopping(&mut shutdown) => break,
            result = listen(services, &mut outage) => if let Err(error) = result {
                outage.failed(&error);
            }
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
    loop {
        match timeout(QUIET, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => {
                if let Some(event) = store::event::read(notification.channel(), notification.payload()) {
                    services.publish(event);
                }
            }
            Ok(Ok(None)) => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_) => is_there(&mut listener).await?,
        }
    }
}

async fn is_there(listener: &mut PgListener) -> Result<(), sqlx::Error> {
    let Ok(answer) = timeout(QUIET, listener.execute(store::event::STILL)).await else {
        return Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    };
    answer.map(drop)
}
