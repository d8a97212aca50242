//! The Enrolment service.

use sekisho_proto::{limits, v1};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::status::status;
use crate::service::{EnrolRequest, Services};

/// Enrolments in progress; others wait. Strangers can ask, and must not have all the connections to the database.
const AT_A_TIME: usize = 4;
/// Largest request on the wire: a signing request and three short texts.
pub(super) const REQUEST_BYTES: usize = 16 << 10;

/// Turns tokens into certificates.
pub(super) struct Enrolment {
    services: Services,
    places: Semaphore,
}

impl Enrolment {
    pub(super) fn new(services: Services) -> Self {
        Self { services, places: Semaphore::new(AT_A_TIME) }
    }
}

#[tonic::async_trait]
impl v1::enrolment_server::Enrolment for Enrolment {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let answer = self.admit(request).await;
        self.services.counters().called("Enrol", &answer);
        answer
    }
}

impl Enrolment {
    async fn admit(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let v1::EnrolRequest { secret, csr, host, version } = request.into_inner();
        check_csr(&csr)?;
        let request = EnrolRequest { secret, csr, host, version };
        // Nobody closes the semaphore.
        let _place =
            self.places.acquire().await.map_err(|_| Status::unavailable("the controller is stopping"))?;
        let enrolled = self.services.enrol(request).await.map_err(|error| status(&error))?;
        tracing::info!(probe = %enrolled.probe, vantage = enrolled.vantage, "a probe enrolled");
        Ok(Response::new(v1::EnrolResponse {
            probe_id: enrolled.probe.to_string(),
            vantage: enrolled.vantage,
            certificate: Some(v1::Certificate { chain: enrolled.chain, trust: enrolled.trust }),
        }))
    }
}

/// Refuses signing requests that are too large to be one.
pub(super) fn check_csr(csr: &[u8]) -> Result<(), Status> {
    if csr.len() > limits::CSR_BYTES {
        return Err(Status::invalid_argument(format!(
            "the certificate signing request has {} bytes; at most {} are allowed",
            csr.len(),
            limits::CSR_BYTES
        )));
    }
    Ok(())
}
