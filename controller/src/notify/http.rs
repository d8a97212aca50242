//! POSTs to a place that the configuration names.

use std::{error::Error as _, time::Duration};

use anyhow::Context;
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url, redirect::Policy};

use super::Endpoint;

const CONNECT: Duration = Duration::from_secs(5);
/// From the first byte out to the last one in.
const ANSWER: Duration = Duration::from_secs(15);
/// Most of an answer that is read, bytes. Of an alert it is only shown where it is an error.
const READ: usize = 1_024;
/// Most of it that is shown, characters.
const SHOWN: usize = 160;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub(crate) struct Fault {
    said: String,
    /// What was answered; `None`: nothing.
    status: Option<StatusCode>,
}

impl Fault {
    /// Whether the same request may go well later.
    pub(crate) fn may_pass(&self) -> bool {
        match self.status {
            None => true,
            Some(status) => [429, 502, 503, 504].contains(&status.as_u16()),
        }
    }
}

/// A client for one place.
pub(crate) struct Http {
    client: Client,
    url: Url,
}

impl Http {
    pub(crate) fn new(endpoint: &Endpoint, url: Url) -> anyhow::Result<Self> {
        let mut builder = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            // A notice goes where the configuration says, and nowhere else.
            .redirect(Policy::none())
            .user_agent(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &endpoint.authorities {
            let certificates = Certificate::from_pem_bundle(pem).context("ca_file has no certificates")?;
            builder = builder.tls_certs_merge(certificates);
        }
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build().context("cannot set the HTTP client up")?, url })
    }

    pub(crate) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// Sends a request; anything but a success is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<(), String> {
        self.ask(request).await.map(drop).map_err(|fault| fault.said)
    }

    /// Sends a request, and gives the beginning of the answer.
    pub(crate) async fn ask(&self, request: RequestBuilder) -> Result<Vec<u8>, Fault> {
        let mut response = request.send().await.map_err(|error| Fault { said: said(error), status: None })?;
        let status = response.status();
        let fault =
            |said: String| Err(Fault { said: format!("it answered {status}{said}"), status: Some(status) });
        if status.is_redirection() {
            return fault(": redirects are not followed; configure the place itself".to_owned());
        }
        let mut body = Vec::new();
        while body.len() < READ
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend(chunk.iter().take(READ.saturating_sub(body.len())));
        }
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body);
        let text: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        // Who repeats the address would put a secret into the database.
        let path = self.url.path().trim_matches('/');
        let is_repeated = !path.is_empty() && text.contains(path);
        fault(if text.is_empty() || is_repeated { String::new() } else { format!(": {text}") })
    }
}

/// Why nothing came back, without the address, whose path may be a secret.
fn said(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Whether it is on this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
