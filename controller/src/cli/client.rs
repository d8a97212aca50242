//! The operators' API, called.

use std::{
    fs::File,
    io::{Seek, Write},
    net::IpAddr,
    time::Duration,
};

use anyhow::{Context, anyhow};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::{Serialize, de::DeserializeOwned};

use super::connection::{Connection, Global};
use crate::http::ErrorBody;

const CONNECT: Duration = Duration::from_secs(5);
/// Longer than the controller gives itself, so that its own answer comes first.
const ANSWER: Duration = Duration::from_secs(40);

/// A controller that commands talk to.
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
    token_source: String,
}

/// Why a request had no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody answered.
    #[error("cannot {doing}: no answer from {server} ({said}); is `sekisho serve` running there?")]
    Unreachable { doing: String, server: Url, said: String },
    /// The token is not good.
    #[error(
        "cannot {doing}: {server} does not accept the token from {source_of_token}; a controller's own token is in admin.token in its data directory"
    )]
    Token { doing: String, server: Url, source_of_token: String },
    /// The controller said no.
    #[error("cannot {doing}: {message}")]
    Refused { doing: String, status: StatusCode, message: String },
    /// What came is no answer of a controller.
    #[error(
        "cannot {doing}: {server} answered {status} with something that is not from a Sekisho controller; is the address right?"
    )]
    Strange { doing: String, server: Url, status: StatusCode },
}

impl ClientError {
    /// Whether the same request may well succeed in a moment.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status == StatusCode::SERVICE_UNAVAILABLE,
            Self::Token { .. } | Self::Strange { .. } => false,
        }
    }
}

impl Client {
    pub(super) fn new(global: &Global) -> anyhow::Result<Self> {
        let Connection { server, token, token_source } = global.connection()?;
        let base = address(&server)?;
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            // Of silence: a long answer may take its time.
            .read_timeout(ANSWER)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("sekisho/", env!("CARGO_PKG_VERSION")));
        if is_local(&base) {
            builder = builder.no_proxy();
        }
        let http = builder.build().context("cannot set the HTTP client up")?;
        Ok(Self { http, base, token, token_source })
    }

    /// `doing` completes "cannot ...".
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.send(doing, self.request(Method::GET, path).query(query)).await
    }

    /// An answer that may be too large for memory: in a file without a name, to be read from its beginning.
    pub(super) async fn download(
        &self,
        doing: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<File> {
        let mut response = self.answer(doing, self.request(Method::GET, path).query(query)).await?;
        let store =
            || format!("cannot {doing}: cannot keep the answer in {}", std::env::temp_dir().display());
        let mut file = tempfile::tempfile().with_context(store)?;
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(doing, &error))? {
            file.write_all(&piece).with_context(store)?;
        }
        file.rewind().with_context(store)?;
        Ok(file)
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.send(doing, self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn post_text<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &[&str],
        query: &impl Serialize,
        text: String,
    ) -> Result<T, ClientError> {
        self.send(doing, self.request(Method::POST, path).query(query).body(text)).await
    }

    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn send<T: DeserializeOwned>(
        &self,
        doing: &str,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.answer(doing, request).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(doing, &error))?;
        serde_json::from_slice(&body).map_err(|_| self.strange_with(doing, status))
    }

    /// An answer whose status says that all went well.
    async fn answer(&self, doing: &str, request: RequestBuilder) -> Result<Response, ClientError> {
        let unreachable = |error| self.unreachable(doing, &error);
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.map_err(unreachable)?;
        let doing = doing.to_owned();
        if status == StatusCode::UNAUTHORIZED {
            let server = self.base.clone();
            return Err(ClientError::Token { doing, server, source_of_token: self.token_source.clone() });
        }
        match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) if status.is_server_error() => {
                let message = format!("{} (request {})", error.message, error.request_id);
                Err(ClientError::Refused { doing, status, message })
            }
            Ok(ErrorBody { error }) => Err(ClientError::Refused { doing, status, message: error.message }),
            Err(_) => Err(self.strange_with(&doing, status)),
        }
    }

    fn unreachable(&self, doing: &str, error: &reqwest::Error) -> ClientError {
        let (doing, server) = (doing.to_owned(), self.base.clone());
        ClientError::Unreachable { doing, server, said: innermost(error) }
    }

    /// The answer came, and is not what a controller says.
    pub(super) fn strange(&self, doing: &str) -> ClientError {
        self.strange_with(doing, StatusCode::OK)
    }

    fn strange_with(&self, doing: &str, status: StatusCode) -> ClientError {
        ClientError::Strange { doing: doing.to_owned(), server: self.base.clone(), status }
    }
}

/// The address of a controller, without what would not be asked for and what must not be shown.
fn address(text: &str) -> anyhow::Result<Url> {
    const LOOKS: &str = "it looks like http://127.0.0.1:8080";
    let url: Option<Url> = text.trim().parse().ok();
    let is_web = |url: &Url| ["http", "https"].contains(&url.scheme()) && url.has_host();
    let Some(mut url) = url.filter(is_web) else {
        // What stands before an @ may be a password.
        let shown = text.rsplit('@').next().unwrap_or_default();
        return Err(anyhow!("\"{shown}\" is no address of a controller; {LOOKS}"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(anyhow!(
            "the address of a controller has no user and no password; {LOOKS}, and --token says who asks"
        ));
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// "Connection refused" and not all that was on the way to it.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if error.is_timeout() { "no reply in time".to_owned() } else { cause.to_string() }
}

/// A proxy cannot reach what is on this machine.
fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_as_it_is_meant() {
        for (text, taken) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            (" https://sekisho.example/base?x=1#y\n", "https://sekisho.example/base"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
        ] {
            assert_eq!(address(text).unwrap().as_str(), taken);
        }
        for text in
            ["", "127.0.0.1:8080", "ftp://x", "http://", "localhost", "u:hunter2@h", "http://u:hunter2@h:x"]
        {
            let refused = address(text).unwrap_err().to_string();
            assert!(refused.contains("http://127.0.0.1:8080"), "{refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
        let refused = address("http://u:hunter2@h").unwrap_err().to_string();
        assert!(refused.contains("--token") && !refused.contains("hunter2"), "{refused}");
    }
}
