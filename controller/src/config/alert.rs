//! `[[alert]]`: where notices of alerts go.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use lettre::message::Mailbox;
use reqwest::Url;
use sekisho_domain::alert::{AlertKind, Filter};
use serde::Deserialize;

use crate::notify::{Endpoint, How, Mail, Secret, Setup, Tls, is_loopback};

/// Most channels.
const CHANNELS: usize = 50;
/// Largest file with a secret or with certificates, bytes.
const FILE: u64 = 1 << 20;

/// A channel, as the file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertWish {
    name: String,
    kind: String,
    url: Option<Secret>,
    url_file: Option<PathBuf>,
    insecure: bool,
    secret_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    kinds: Vec<String>,
    sites: Vec<String>,
    min_flows: usize,
    smtp: Option<String>,
    tls: Option<String>,
    from: Option<String>,
    to: Vec<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
}

/// What is wrong with a field.
pub(super) type Checked<T> = Result<T, String>;

/// The channels of a configuration file in `directory`, to which the paths in it are relative.
///
/// # Errors
/// Says which channel and which field is wrong, and never what a secret is.
pub(super) fn channels(wishes: &[AlertWish], directory: &Path) -> Checked<Vec<Setup>> {
    if wishes.len() > CHANNELS {
        return Err(format!("alert: there are {} channels; at most {CHANNELS} are allowed", wishes.len()));
    }
    let mut names = BTreeSet::new();
    let mut setups = Vec::new();
    for (place, wish) in wishes.iter().enumerate() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if wish.name.is_empty() || wish.name.len() > 64 || !wish.name.chars().all(is_name) {
            return Err(format!(
                "alert number {}: name is needed: letters, digits, -, _ and . (at most 64), as in name = \"operators\"",
                place + 1
            ));
        }
        if !names.insert(&wish.name) {
            return Err(format!("alert \"{}\": there are two channels of this name", wish.name));
        }
        let setup = wish.setup(directory).map_err(|said| format!("alert \"{}\": {said}", wish.name))?;
        setups.push(setup);
    }
    Ok(setups)
}

impl AlertWish {
    fn setup(&self, directory: &Path) -> Checked<Setup> {
        let how = match self.kind.as_str() {
            "webhook" => How::Webhook(self.endpoint(directory, true)?),
            "slack" => How::Slack(self.endpoint(directory, false)?),
            "alertmanager" => How::Alertmanager(self.endpoint(directory, true)?),
            "email" => How::Email(Box::new(self.mail(directory)?)),
            other => {
                return Err(format!("kind is \"{other}\"; it is webhook, slack, alertmanager or email"));
            }
        };
        Ok(Setup { name: self.name.clone(), filter: self.filter()?, how })
    }

    fn filter(&self) -> Checked<Filter> {
        let words = || AlertKind::ALL.map(AlertKind::word).join(", ");
        let kind = |word: &String| {
            AlertKind::named(word).ok_or_else(|| format!("kinds has \"{word}\"; there are {}", words()))
        };
        let mut kinds: Vec<AlertKind> = self.kinds.iter().map(kind).collect::<Checked<_>>()?;
        if self.kind == "alertmanager" {
            if kinds.contains(&AlertKind::Fix) {
                return Err(
                    "kinds has \"fix\"; an alert that is over at once is nothing for Alertmanager".to_owned()
                );
            }
            if kinds.is_empty() {
                kinds = AlertKind::ALL.into_iter().filter(|kind| *kind != AlertKind::Fix).collect();
            }
        }
        Ok(Filter { kinds, sites: self.sites.clone(), min_flows: self.min_flows })
    }

    fn endpoint(&self, directory: &Path, takes_secret: bool) -> Checked<Endpoint> {
        self.without(&[
            ("smtp", self.smtp.is_some()),
            ("tls", self.tls.is_some()),
            ("from", self.from.is_some()),
            ("to", !self.to.is_empty()),
            ("user", self.user.is_some()),
            ("password_file", self.password_file.is_some()),
            ("secret_file", self.secret_file.is_some() && !takes_secret),
        ])?;
        let url = match (&self.url, &self.url_file) {
            (Some(url), None) => url.clone(),
            (None, Some(file)) => secret("url_file", directory, file)?,
            (Some(_), Some(_)) => return Err("url and url_file say the same: keep one of them".to_owned()),
            (None, None) => return Err("url is needed (or url_file, a file with it)".to_owned()),
        };
        let secret_file = self.secret_file.as_deref();
        Ok(Endpoint {
            url: address("url", url.reveal(), self.insecure)?,
            secret: secret_file.map(|file| secret("secret_file", directory, file)).transpose()?,
            authorities: self.authorities(directory)?,
        })
    }

    fn mail(&self, directory: &Path) -> Checked<Mail> {
        self.without(&[
            ("url", self.url.is_some()),
            ("url_file", self.url_file.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("insecure", self.insecure),
        ])?;
        let smtp = self.smtp.as_deref().ok_or("smtp is needed, as in smtp = \"mail.example:587\"")?;
        let (host, port) = server(smtp)
            .ok_or_else(|| format!("smtp is \"{smtp}\"; write host and port, as in \"mail.example:587\""))?;
        let tls = match self.tls.as_deref() {
            Some("implicit") => Tls::Implicit,
            Some("starttls") => Tls::Starttls,
            Some("none") if is_loopback_host(&host) => Tls::None,
            Some("none") => {
                return Err(format!(
                    "tls is \"none\", and {host} is not this machine: use \"starttls\" or \"implicit\""
                ));
            }
            Some(other) => return Err(format!("tls is \"{other}\"; it is implicit, starttls or none")),
            None => {
                return Err(
                    "tls is needed: implicit (often port 465) or starttls (often port 587)".to_owned()
                );
            }
        };
        let login = match (&self.user, &self.password_file) {
            (Some(user), Some(file)) => Some((user.clone(), secret("password_file", directory, file)?)),
            (None, None) => None,
            (Some(_), None) => return Err("user needs a password_file".to_owned()),
            (None, Some(_)) => return Err("password_file needs a user".to_owned()),
        };
        let from =
            self.from.as_deref().ok_or("from is needed, as in from = \"Sekisho <sekisho@example.com>\"")?;
        if self.to.is_empty() {
            return Err("to is needed, as in to = [\"network@example.com\"]".to_owned());
        }
        let to = self.to.iter().map(|text| mailbox("to", text)).collect::<Checked<_>>()?;
        let authorities = self.authorities(directory)?;
        Ok(Mail { host, port, tls, authorities, login, from: mailbox("from", from)?, to })
    }

    fn authorities(&self, directory: &Path) -> Checked<Option<Vec<u8>>> {
        let file = self.ca_file.as_deref();
        Ok(file.map(|file| secret("ca_file", directory, file)).transpose()?.map(|pem| pem.reveal().into()))
    }

    fn without(&self, fields: &[(&str, bool)]) -> Checked<()> {
        match fields.iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => Err(format!("{field} is no field of kind {}", self.kind)),
            None => Ok(()),
        }
    }
}

/// What is wrong with an address never repeats it: its path or its password may be a secret.
pub(super) fn address(field: &str, text: &str, insecure: bool) -> Checked<Url> {
    let url: Url =
        text.parse().map_err(|_| format!("{field} is no address; it looks like https://host/path"))?;
    if !url.has_host() || !["http", "https"].contains(&url.scheme()) {
        return Err(format!("{field} has to begin with https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{field} has a user or a password in it; leave them out"));
    }
    if url.scheme() == "http" && !is_loopback(&url) && !insecure {
        return Err(format!(
            "{field} goes to {} in clear: use https, or allow it with insecure = true",
            url.host_str().unwrap_or_default()
        ));
    }
    Ok(url)
}

fn mailbox(field: &str, text: &str) -> Checked<Mailbox> {
    text.parse().map_err(|error| format!("{field} has \"{text}\", which is no mail address: {error}"))
}

/// `host:port`, `[::1]:port`.
fn server(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty() && !host.contains(char::is_whitespace)).then(|| (host.to_owned(), port))
}

fn is_loopback_host(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What a file holds, without the white space around it.
pub(super) fn secret(field: &str, directory: &Path, file: &Path) -> Checked<Secret> {
    let path = directory.join(file);
    let cannot = |why: String| format!("{field}: cannot read {}: {why}", path.display());
    let about = std::fs::metadata(&path).map_err(|error| cannot(error.to_string()))?;
    if !about.is_file() || about.len() > FILE {
        return Err(cannot("it is no file of at most 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
    match text.trim() {
        "" => Err(cannot("it is empty".to_owned())),
        text => Ok(Secret::new(text)),
    }
}

#[cfg(test)]
mod tests;
