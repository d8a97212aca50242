//! Carries notices of alerts: to webhooks, Slack, Alertmanager, and by e-mail. One attempt each; services decide about others.

mod alertmanager;
mod http;
mod mail;
mod secret;
mod slack;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;

use reqwest::Url;
use sekisho_domain::alert::Filter;

use crate::service::{Channel, Courier};

pub(crate) use http::{Fault, Http, is_loopback};
pub use mail::{Mail, Tls};
pub use secret::Secret;

/// A channel, as the configuration has it. What it holds was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// Its name.
    pub name: String,
    /// What it wants to hear of.
    pub filter: Filter,
    /// How it is reached.
    pub how: How,
}

/// How a channel is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// A POST of the notice as JSON, signed where there is a secret.
    Webhook(Endpoint),
    /// An incoming webhook of Slack, or of something that understands the same.
    Slack(Endpoint),
    /// An Alertmanager, by its API version 2. The secret is a bearer token.
    Alertmanager(Endpoint),
    /// A mail server.
    Email(Box<Mail>),
}

/// A place that is reached by HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The address. Its path may be a secret.
    pub url: Url,
    /// A secret that is shared with it.
    pub secret: Option<Secret>,
    /// Certificates of authorities to trust besides those of the system, PEM.
    pub authorities: Option<Vec<u8>>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Endpoint({})", self.place())
    }
}

impl Endpoint {
    /// Scheme, host and port, for people.
    #[must_use]
    pub fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// The channel of a setup.
///
/// # Errors
/// When certificates or addresses of it cannot be used. Says which.
pub fn channel(setup: Setup) -> anyhow::Result<Channel> {
    let courier: Arc<dyn Courier> = match setup.how {
        How::Webhook(endpoint) => Arc::new(webhook::Webhook::new(endpoint)?),
        How::Slack(endpoint) => Arc::new(slack::Slack::new(endpoint)?),
        How::Alertmanager(endpoint) => Arc::new(alertmanager::Alertmanager::new(endpoint)?),
        How::Email(mail) => Arc::new(mail::Mailer::new(*mail)?),
    };
    Ok(Channel { name: setup.name, filter: setup.filter, courier })
}
