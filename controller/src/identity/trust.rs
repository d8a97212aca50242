//! Keeps the fleet listener's view of trust and revocation up to date.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, watch},
    time::{MissedTickBehavior, interval},
};

use super::{Authority, ClientVerifier, IdentityError};
use crate::service::{Error, Event, Services, in_time};

/// How often the set of controllers is read when nobody says that it changed.
const TRUST: Duration = Duration::from_secs(5);
/// How often revoked certificates are read when nobody says that one was.
const REVOKED: Duration = Duration::from_secs(2);

/// The client verifier of the fleet listener, and what keeps it current.
pub struct Trust {
    services: Services,
    own: Vec<u8>,
    verifier: Arc<ClientVerifier>,
    /// An outage of the database is told once.
    away: bool,
}

impl Trust {
    /// Reads what is trusted and what is revoked. There is no listener before this is known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn load(services: Services, authority: &Authority) -> anyhow::Result<Self> {
        let own = authority.certificate().to_vec();
        let trusted = with_own(services.trust().await?, &own);
        let verifier = ClientVerifier::new(&trusted, services.revoked_certificates().await?)?;
        Ok(Self { services, own, verifier, away: false })
    }

    /// The verifier that this keeps current.
    #[must_use]
    pub fn verifier(&self) -> Arc<ClientVerifier> {
        self.verifier.clone()
    }

    /// Works until `shutdown` turns true.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) {
        let mut events = self.services.subscribe();
        let (mut trust, mut revoked) = (interval(TRUST), interval(REVOKED));
        trust.set_missed_tick_behavior(MissedTickBehavior::Delay);
        revoked.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let (read_trust, read_revoked) = tokio::select! {
                _ = shutdown.wait_for(|end| *end) => return,
                _ = trust.tick() => (true, false),
                _ = revoked.tick() => (false, true),
                event = events.recv() => match event {
                    Ok(Event::TrustChanged) => (true, false),
                    Ok(Event::ProbeRevoked { .. }) => (false, true),
                    Ok(Event::Resync) | Err(broadcast::error::RecvError::Lagged(_)) => (true, true),
                    Ok(
                        Event::JobQueued { .. }
                        | Event::JobsCancelled { .. }
                        | Event::SessionOpened { .. }
                        | Event::PlansChanged
                        | Event::SweepChanged { .. },
                    ) => continue,
                    Err(broadcast::error::RecvError::Closed) => return,
                },
            };
            // A revocation is heeded also where the connection by which it was asked for is silent for ever.
            let refreshed = in_time(async {
                self.refresh(read_trust, read_revoked).await;
                Ok(())
            });
            let refreshed = refreshed.await;
            if refreshed.is_err() {
                self.tell(&refreshed);
            }
        }
    }

    async fn refresh(&mut self, read_trust: bool, read_revoked: bool) {
        let mut result = Ok(());
        if read_revoked {
            result = self.services.revoked_certificates().await.map(|serials| self.verifier.revoke(serials));
        }
        if read_trust && result.is_ok() {
            result = self.services.trust().await.map(|trusted| self.replace(trusted));
        }
        self.tell(&result);
    }

    fn replace(&self, trusted: Vec<Vec<u8>>) {
        if let Err(error) = self.verifier.trust(&with_own(trusted, &self.own)) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot take over the trusted controllers"
            );
        }
    }

    fn tell(&mut self, result: &Result<(), Error>) {
        match result {
            Err(error) if !self.away => tracing::warn!(
                error = error as &dyn std::error::Error,
                "cannot read which certificates are trusted and revoked; going on with what is known"
            ),
            Ok(()) if self.away => tracing::info!("trusted and revoked certificates can be read again"),
            Ok(()) | Err(_) => {}
        }
        self.away = result.is_err();
    }
}

fn with_own(mut trusted: Vec<Vec<u8>>, own: &[u8]) -> Vec<Vec<u8>> {
    if !trusted.iter().any(|der| der == own) {
        trusted.push(own.to_vec());
    }
    trusted
}

/// Issues the server certificate anew, day by day, until `shutdown` turns true.
pub(crate) async fn keep_server_certificate(
    server: Arc<super::ServerIdentity>,
    authority: Arc<Authority>,
    mut shutdown: watch::Receiver<bool>,
) {
    const LOOK: Duration = Duration::from_secs(10 * 60);
    let mut tick = interval(LOOK);
    loop {
        tokio::select! {
            _ = shutdown.wait_for(|end| *end) => return,
            _ = tick.tick() => {}
        }
        let renewed: Result<bool, IdentityError> = server.renew_if_due(&authority, jiff::Timestamp::now());
        match renewed {
            Ok(true) => tracing::info!("issued a new server certificate"),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot issue a new server certificate"
                );
            }
        }
    }
}
