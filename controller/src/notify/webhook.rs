//! Webhooks: the notice as JSON.
//!
//! The signature is HMAC-SHA-256 with the secret over the timestamp, a full stop, and the body, byte by byte as it was sent:
//! `Sekisho-Signature: v1=<hexadecimal>` beside `Sekisho-Timestamp: <seconds since 1970>`. A receiver refuses a timestamp that
//! is not of these minutes, so that nobody can play a notice to it once more.

use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use ring::hmac;

use super::{Endpoint, Secret, http::Http};
use crate::service::{Courier, Delivery, Notice};

pub(super) struct Webhook {
    http: Http,
    secret: Option<Secret>,
}

impl Webhook {
    pub(super) fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(&endpoint, endpoint.url.clone())?, secret: endpoint.secret })
    }
}

impl Courier for Webhook {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivery<'a> {
        Box::pin(async move {
            let body = serde_json::to_vec(notice).map_err(|error| error.to_string())?;
            let mut request = self
                .http
                .post()
                .header(CONTENT_TYPE, "application/json")
                .header("Idempotency-Key", notice.key.to_string());
            if let Some(secret) = &self.secret {
                let timestamp = Timestamp::now().as_second();
                request = request
                    .header("Sekisho-Timestamp", timestamp)
                    .header("Sekisho-Signature", signature(secret, timestamp, &body));
            }
            self.http.send(request.body(body)).await
        })
    }
}

pub(super) fn signature(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{timestamp}.").as_bytes());
    context.update(body);
    let hex: String = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v1={hex}")
}
