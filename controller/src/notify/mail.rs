//! E-mail.

use std::time::Duration;

use anyhow::Context;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls as Security, TlsParameters},
    },
};

use super::Secret;
use crate::service::{Courier, Delivery, Notice};

/// How long the server may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// Longest subject, characters.
const SUBJECT: usize = 150;

/// How a mail server is talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// TLS from the first byte.
    Implicit,
    /// TLS after STARTTLS, and nothing without it.
    Starttls,
    /// In clear: on this machine only.
    None,
}

/// A mail server, who writes, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Host name of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How it is talked to.
    pub tls: Tls,
    /// Certificates of authorities to trust besides those of the system, PEM.
    pub authorities: Option<Vec<u8>>,
    /// Name and password.
    pub login: Option<(String, Secret)>,
    /// Who writes.
    pub from: Mailbox,
    /// To whom.
    pub to: Vec<Mailbox>,
}

pub(super) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mailer {
    pub(super) fn new(mail: Mail) -> anyhow::Result<Self> {
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
            .port(mail.port)
            .timeout(Some(ANSWER))
            .tls(security(&mail)?);
        if let Some((name, password)) = mail.login {
            builder = builder.credentials(Credentials::new(name, password.reveal().to_owned()));
        }
        Ok(Self { transport: builder.build(), from: mail.from, to: mail.to })
    }
}

fn security(mail: &Mail) -> anyhow::Result<Security> {
    let mut parameters = TlsParameters::builder(mail.host.clone());
    if let Some(pem) = &mail.authorities {
        let pem = Certificate::from_pem(pem).context("ca_file has no certificate")?;
        parameters = parameters.add_root_certificate(pem);
    }
    let built = || parameters.build().context("cannot set TLS up");
    Ok(match mail.tls {
        Tls::Implicit => Security::Wrapper(built()?),
        Tls::Starttls => Security::Required(built()?),
        Tls::None => Security::None,
    })
}

impl Courier for Mailer {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivery<'a> {
        Box::pin(async move {
            let message = message(notice, &self.from, &self.to)?;
            self.transport.send(message).await.map(drop).map_err(|error| said(&error))
        })
    }
}

/// The message. A repetition has the same Message-ID, by which mail programs know it.
pub(super) fn message(notice: &Notice, from: &Mailbox, to: &[Mailbox]) -> Result<Message, String> {
    let subject = format!("[sekisho] {}", notice.summary).replace(['\r', '\n'], " ");
    let subject: String = subject.chars().take(SUBJECT).collect();
    let id = format!("<{}@{}>", notice.key, from.email.domain());
    let mut builder = Message::builder()
        .from(from.clone())
        .subject(sekisho_model::table::plain(&subject))
        .message_id(Some(id))
        .date_now()
        .header(ContentType::TEXT_PLAIN);
    for mailbox in to {
        builder = builder.to(mailbox.clone());
    }
    let mut text = format!("{}\n\n", notice.summary);
    for line in notice.lines(usize::MAX) {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!("\n{}\nkey {}\n", notice.place(), notice.key));
    builder.body(text).map_err(|error| format!("cannot write the message: {error}"))
}

fn said(error: &lettre::transport::smtp::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}
