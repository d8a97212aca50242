//! Enrolment: a token for an identity.

use std::path::Path;

use anyhow::{Context, bail};
use sekisho_proto::v1::{self, enrolment_client::EnrolmentClient};

use super::{About, Identity, Token, connect, create_state, host, pinned, request};

/// Enrols this probe and writes its identity into the state directory.
pub(crate) async fn enrol(controllers: Vec<String>, token: &Token, state: &Path) -> anyhow::Result<About> {
    create_state(state)?;
    let (key, csr) = request()?;
    let mut problems = Vec::new();
    for controller in &controllers {
        let channel = match connect(controller, pinned(&token.pins)?).await {
            Ok(channel) => channel,
            Err(error) => {
                problems.push(format!("{error:#}"));
                continue;
            }
        };
        let request = v1::EnrolRequest {
            secret: token.secret.clone(),
            csr: csr.clone(),
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let given = EnrolmentClient::new(channel).enrol(request).await;
        let given = given
            .map_err(|status| anyhow::anyhow!("{controller} refuses the enrolment: {}", status.message()))?;
        let given = given.into_inner();
        let about = About {
            id: given.probe_id.parse().context("the controller gave no probe number")?,
            vantage: given.vantage,
            controllers,
        };
        let certificate = given.certificate.context("the controller gave no certificate")?;
        Identity::create(state, &about, &key, &certificate)?;
        return Ok(about);
    }
    bail!("{}", problems.join("; "))
}
