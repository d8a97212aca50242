//! The Enrolment service.

use sekisho_proto::{limits, v1};
use tonic::{Request, Response, Status};

use super::status::status;
use crate::service::{EnrolRequest, Services};

/// Turns tokens into certificates.
pub(super) struct Enrolment {
    services: Services,
}

impl Enrolment {
    pub(super) fn new(services: Services) -> Self {
        Self { services }
    }
}

#[tonic::async_trait]
impl v1::enrolment_server::Enrolment for Enrolment {
    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        let v1::EnrolRequest { secret, csr, host, version } = request.into_inner();
        check_csr(&csr)?;
        let request = EnrolRequest { secret, csr, host, version };
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
