//! When to stop.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Turns true on SIGTERM or SIGINT. From here on these signals do not end the process by themselves.
pub(super) fn requested() -> std::io::Result<watch::Receiver<bool>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    Ok(stopped)
}

/// Waits until it is true, or until nobody can make it true any more.
pub(super) async fn wait(mut stop: watch::Receiver<bool>) {
    // A closed channel means the same: its owner is gone.
    _ = stop.wait_for(|stop| *stop).await;
}
