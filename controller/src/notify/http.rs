//! POSTs to a place that the configuration names.

use std::{error::Error as _, time::Duration};

use anyhow::Context;
use reqwest::{Certificate, Client, RequestBuilder, Url, redirect::Policy};

use super::Endpoint;

const CONNECT: Duration = Duration::from_secs(5);
/// From the first byte out to the last one in.
const ANSWER: Duration = Duration::from_secs(15);
/// Most of an answer that is read, bytes. What it says is only shown where it is an error.
const READ: usize = 1_024;
/// Most of it that is shown, characters.
const SHOWN: usize = 160;

/// A client for one place.
pub(super) struct Http {
    client: Client,
    url: Url,
}

impl Http {
    pub(super) fn new(endpoint: &Endpoint, url: Url) -> anyhow::Result<Self> {
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

    pub(super) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// Sends a request; anything but a success is an error.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<(), String> {
        let mut response = request.send().await.map_err(said)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status.is_redirection() {
            return Err(format!(
                "it answered {status}: redirects are not followed; configure the place itself"
            ));
        }
        let mut body = Vec::new();
        while body.len() < READ
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend(chunk.iter().take(READ.saturating_sub(body.len())));
        }
        let text = String::from_utf8_lossy(&body);
        let text: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
        // Who repeats the address would put a secret into the database.
        let path = self.url.path().trim_matches('/');
        let is_repeated = !path.is_empty() && text.contains(path);
        let text = if text.is_empty() || is_repeated { String::new() } else { format!(": {text}") };
        Err(format!("it answered {status}{text}"))
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
