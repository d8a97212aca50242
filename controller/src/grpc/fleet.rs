//! The Fleet service.

use std::time::Duration;

use sekisho_proto::{PROTOCOL, v1};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{convert, enrolment::check_csr, peer, session, status::status};
use crate::service::{Ring, Services};

/// How long a probe may take to greet.
const GREETING: Duration = Duration::from_secs(10);
/// Messages to a probe that wait for the network. When full, the session waits; a probe that does not read loses it.
const OUTGOING: usize = 16;

type Messages = ReceiverStream<Result<v1::ControllerMessage, Status>>;

/// Renewals and sessions.
pub(super) struct Fleet {
    services: Services,
    shutdown: watch::Receiver<bool>,
}

impl Fleet {
    pub(super) fn new(services: Services, shutdown: watch::Receiver<bool>) -> Self {
        Self { services, shutdown }
    }
}

fn caller<T>(request: &Request<T>) -> Result<uuid::Uuid, Status> {
    peer::caller(request).map_err(|error| Status::unauthenticated(error.to_string()))
}

#[tonic::async_trait]
impl v1::fleet_server::Fleet for Fleet {
    type SessionStream = Messages;

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Certificate>, Status> {
        let answer = self.certify(request).await;
        self.services.counters().called("Renew", &answer);
        answer
    }

    async fn session(
        &self,
        request: Request<Streaming<v1::ProbeMessage>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let answer = self.open(request).await;
        self.services.counters().called("Session", &answer);
        answer
    }
}

impl Fleet {
    async fn certify(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::Certificate>, Status> {
        let probe = caller(&request)?;
        let v1::RenewRequest { csr } = request.into_inner();
        check_csr(&csr)?;
        let renewed = self.services.renew(probe, &csr).await.map_err(|error| status(&error))?;
        tracing::info!(%probe, "a probe renewed its certificate");
        Ok(Response::new(v1::Certificate { chain: renewed.chain, trust: renewed.trust }))
    }

    async fn open(
        &self,
        request: Request<Streaming<v1::ProbeMessage>>,
    ) -> Result<Response<Messages>, Status> {
        let probe = caller(&request)?;
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(GREETING, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("a session begins with Hello"))??;
        let Some(v1::probe_message::Message::Hello(hello)) = first.and_then(|first| first.message) else {
            return Err(Status::invalid_argument("a session begins with Hello"));
        };
        let protocol = hello.protocol.min(PROTOCOL);
        if protocol == 0 {
            return Err(Status::failed_precondition("the probe speaks no version of the contract"));
        }
        let (hello, held, planned) = convert::hello(hello).map_err(Status::invalid_argument)?;
        let turn = self.services.turn_to_look().await;
        let session = self.services.open_session(probe, &hello).await.map_err(|error| status(&error))?;
        tracing::info!(%probe, host = hello.host, version = hello.version, "a session began");
        self.services.take_over(&session, &held).await.map_err(|error| status(&error))?;
        drop(turn);
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        let link = session::Link {
            services: self.services.clone(),
            session,
            open: held.clone(),
            held,
            plans: session::Plans::of(planned),
            heartbeat: 0,
            protocol,
            incoming,
            outgoing,
            seat: self.services.enter(session),
            owed: Ring::default(),
            shutdown: self.shutdown.clone(),
            progressed: false,
        };
        tokio::spawn(link.run());
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
