//! The hosts that a database URL names: one, or a list as libpq takes it.
//!
//! `postgres://user:pw@h1:5432,h2/db` and `postgres:///db?host=h1,h2&port=5432,5433` become one URL for each host, which
//! sqlx reads: everything else in the URL holds for each of them. No error repeats any of the text: it may be a password.

use std::fmt;

use sqlx::postgres::PgConnectOptions;

/// Most hosts; more are refused. Each of them is asked every second.
const MOST: usize = 16;
/// The parameters that sqlx reads. Of others it would log the value, which may be a secret.
const KNOWN: &[&str] = &[
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "hostaddr",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// One server of the list.
#[derive(Clone)]
pub(super) struct Host {
    /// Host and port, for people.
    pub(super) place: String,
    /// How to connect.
    pub(super) options: PgConnectOptions,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.place)
    }
}

/// Why a database URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is no such URL.
    #[error(
        "the database URL is not usable; it looks like postgres://USER:PASSWORD@HOST:5432/DATABASE or \
         postgres://USER:PASSWORD@HOST:5432,HOST:5432/DATABASE, with %XX in place of characters of the password that \
         mean something in a URL"
    )]
    Form(#[source] Option<sqlx::Error>),
    /// A place between commas without a host.
    #[error("host {0} in the list of hosts of the database URL is empty")]
    EmptyHost(usize),
    /// A port that is none.
    #[error("the port of host {0} in the database URL is no number from 1 to 65535")]
    Port(usize),
    /// Ports that belong to no host.
    #[error("the database URL has {ports} ports for {hosts} hosts; write one for each, or one for all")]
    Ports {
        /// How many ports.
        ports: usize,
        /// How many hosts.
        hosts: usize,
    },
    /// A list that is too long.
    #[error("the database URL names {0} hosts; at most {MOST} are allowed")]
    TooMany(usize),
    /// Addresses beside a list.
    #[error("hostaddr in the database URL goes with one host only; write the addresses as hosts")]
    HostAddress,
    /// A server that a controller could not use.
    #[error(
        "target_session_attrs in the database URL is \"{0}\"; a controller needs a server that it can write to: \
         read-write, or primary, which means the same here"
    )]
    Attributes(String),
}

/// What a URL names.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The servers, in the order in which they are preferred.
    pub(super) list: Vec<Host>,
    /// Names of parameters that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// The parts of a URL as they are written.
#[derive(Default)]
struct Parts<'a> {
    scheme: &'a str,
    /// With the @.
    user: &'a str,
    authority: &'a str,
    path: &'a str,
    hosts: Vec<&'a str>,
    ports: Vec<&'a str>,
    attributes: Option<&'a str>,
    others: Vec<&'a str>,
    ignored: Vec<String>,
}

impl Hosts {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, UrlError> {
        let parts = Parts::of(url).ok_or(UrlError::Form(None))?;
        parts.check_attributes()?;
        let urls = parts.urls()?;
        let list = urls.iter().map(|url| host(url)).collect::<Result<_, _>>()?;
        Ok(Self { list, ignored: parts.ignored })
    }
}

fn host(url: &str) -> Result<Host, UrlError> {
    let options: PgConnectOptions = url.parse().map_err(|error| UrlError::Form(Some(error)))?;
    let name = options
        .get_socket()
        .map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    Ok(Host { place: format!("{name}:{}", options.get_port()), options })
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.find('?').map_or((rest, ""), |place| (&rest[..place], &rest[place + 1..]));
        let query = query.split('#').next().unwrap_or("");
        let (place, path) = rest.find(['/', '#']).map_or((rest, ""), |place| rest.split_at(place));
        // A password may hold an @ itself.
        let (user, authority) = place.rfind('@').map_or(("", place), |at| place.split_at(at + 1));
        let mut parts = Self { scheme, user, authority, path, ..Self::default() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            parts.take(pair);
        }
        Some(parts)
    }

    fn take(&mut self, pair: &'a str) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "host" => self.hosts.extend(list(value)),
            "port" => self.ports = list(value),
            "target_session_attrs" => self.attributes = Some(value),
            _ if KNOWN.contains(&key) || key.starts_with("options[") => self.others.push(pair),
            _ => self.ignored.push(key.to_owned()),
        }
    }

    /// A controller writes: all that libpq knows and that allows this comes to the same.
    fn check_attributes(&self) -> Result<(), UrlError> {
        match self.attributes {
            None | Some("any" | "read-write" | "primary") => Ok(()),
            Some(other) => Err(UrlError::Attributes(other.chars().take(40).collect())),
        }
    }

    /// A URL for each host. What the query names replaces what stands before it, as in libpq.
    fn urls(&self) -> Result<Vec<String>, UrlError> {
        // Before the path an escaped comma is one of a directory's name.
        let written = || self.authority.split(',').collect();
        let named: Vec<&str> = if self.hosts.is_empty() { written() } else { self.hosts.clone() };
        let count = named.len();
        if count > MOST {
            return Err(UrlError::TooMany(count));
        }
        if self.ports.len() > 1 && self.ports.len() != count {
            return Err(UrlError::Ports { ports: self.ports.len(), hosts: count });
        }
        if count > 1 && self.others.iter().any(|pair| pair.starts_with("hostaddr=")) {
            return Err(UrlError::HostAddress);
        }
        named.iter().enumerate().map(|(place, host)| self.url(place, host, count > 1)).collect()
    }

    fn url(&self, place: usize, host: &str, is_list: bool) -> Result<String, UrlError> {
        let number = place + 1;
        if is_list && (host.is_empty() || host.starts_with(':')) {
            return Err(UrlError::EmptyHost(number));
        }
        let port = self.ports.get(place).or_else(|| self.ports.first()).copied().unwrap_or_default();
        let by_query = !self.hosts.is_empty();
        if !is_port(port) || (is_list && !by_query && !is_port(port_of(host))) {
            return Err(UrlError::Port(number));
        }
        // A URL with a user needs some host, also where the query names another.
        let authority = if !by_query {
            host
        } else if self.user.is_empty() {
            ""
        } else {
            "localhost"
        };
        let mut query: Vec<String> = self.others.iter().map(|pair| (*pair).to_owned()).collect();
        if by_query {
            query.push(format!("host={host}"));
        }
        if !port.is_empty() {
            query.push(format!("port={port}"));
        }
        Ok(format!("{}://{}{authority}{}?{}", self.scheme, self.user, self.path, query.join("&")))
    }
}

/// Values of the query. Who writes them by program has the commas escaped.
fn list(text: &str) -> Vec<&str> {
    text.split("%2C").flat_map(|part| part.split("%2c")).flat_map(|part| part.split(',')).collect()
}

/// None is one: the usual port.
fn is_port(text: &str) -> bool {
    text.is_empty() || text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// An IPv6 address has its colons in brackets.
fn port_of(host: &str) -> &str {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after.rsplit_once(':').map_or("", |(_, port)| port)
}

#[cfg(test)]
mod tests;
