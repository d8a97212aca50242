//! How a controller is to run: command line first, then the configuration file, then defaults.

mod alert;
mod traces;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::fmt::serde::unsigned_duration::friendly::compact::optional as friendly;
use serde::Deserialize;

use crate::{notify::Setup, service::Settings};

pub use alert::AlertWish;
pub use traces::TracesWish;

const FLEET: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7443);
const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
/// Shortest and longest validity of a probe's certificate.
const PROBE_VALIDITY: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(30)..=Duration::from_secs(90 * 24 * 60 * 60);

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where an operator's own database is. Shows itself without the password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, with the password.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Host, port and database, for people.
    #[must_use]
    pub fn place(&self) -> String {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        // A password may hold an @ itself, or a ? or #: what stands before the last @ is never shown.
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let place = place.split(['?', '#']).next().unwrap_or("");
        if place.is_empty() { "of --database-url".to_owned() } else { place.to_owned() }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({})", self.place())
    }
}

impl std::str::FromStr for DatabaseUrl {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

/// What the command line or the file say. What neither says is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wishes {
    /// Address of the probes' listener.
    pub fleet_listen: Option<SocketAddr>,
    /// Address of the operators' listener.
    pub web_listen: Option<SocketAddr>,
    /// Address of the listener for numbers.
    pub metrics_listen: Option<SocketAddr>,
    /// The operator's own database.
    pub database_url: Option<DatabaseUrl>,
    /// User to become when started as root.
    pub user: Option<String>,
    /// Directory of PostgreSQL's programs.
    pub postgres_bin: Option<PathBuf>,
    /// How logs are written.
    pub log: Option<LogFormat>,
    /// Validity of a probe's certificate.
    #[serde(with = "friendly")]
    pub certificate_validity: Option<Duration>,
    /// Time limits of sweeps and sessions.
    pub settings: Option<Settings>,
    /// Where notices of alerts go.
    pub alert: Vec<AlertWish>,
    /// Where spans go.
    pub traces: Option<TracesWish>,
}

/// How a controller is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Address of the probes' listener.
    pub fleet_listen: SocketAddr,
    /// Address of the operators' listener.
    pub web_listen: SocketAddr,
    /// Address of the listener for numbers; `None`: there is none.
    pub metrics_listen: Option<SocketAddr>,
    /// The operator's own database; `None`: a private one.
    pub database_url: Option<DatabaseUrl>,
    /// User to become when started as root.
    pub user: Option<String>,
    /// Directory of PostgreSQL's programs.
    pub postgres_bin: Option<PathBuf>,
    /// How logs are written.
    pub log: LogFormat,
    /// Validity of a probe's certificate.
    pub certificate_validity: Duration,
    /// Time limits of sweeps and sessions.
    pub settings: Settings,
    /// Where notices of alerts go.
    pub alerts: Vec<Setup>,
    /// Where spans go; `None`: nothing is traced.
    pub traces: Option<crate::traces::Setup>,
}

/// Why a configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file says something else than a configuration.
    #[error("{path}, line {line}{field}: {said}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where in the file, from 1.
        line: usize,
        /// The field, where the line names one.
        field: String,
        /// What is wrong.
        said: String,
    },
    /// A value that is out of bounds.
    #[error("certificate_validity is {0:?}; it must be between 30 seconds and 90 days")]
    Validity(Duration),
    /// Settings that do not fit together.
    #[error("settings: {0}")]
    Settings(String),
    /// A channel for alerts, or for spans, that cannot be.
    #[error("{path}: {said}")]
    Channel {
        /// The file.
        path: PathBuf,
        /// Which channel and which field, and what is wrong.
        said: String,
    },
}

impl Config {
    /// What the command line wishes, completed by the file and the defaults.
    ///
    /// # Errors
    /// When the file cannot be read, or a value is out of bounds.
    pub fn new(line: Wishes, file: Option<&Path>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or_else(|| Path::new(""));
        let file = file.map_or_else(|| Ok(Wishes::default()), read)?;
        let directory = path.parent().unwrap_or(path);
        let bad = |said| ConfigError::Channel { path: path.to_owned(), said };
        let alerts = alert::channels(&file.alert, directory).map_err(bad)?;
        let traces = file.traces.map(|traces| traces.setup(directory)).transpose().map_err(bad)?;
        let config = Self {
            fleet_listen: line.fleet_listen.or(file.fleet_listen).unwrap_or(FLEET),
            web_listen: line.web_listen.or(file.web_listen).unwrap_or(WEB),
            metrics_listen: line.metrics_listen.or(file.metrics_listen),
            database_url: line.database_url.or(file.database_url),
            user: line.user.or(file.user),
            postgres_bin: line.postgres_bin.or(file.postgres_bin),
            log: line.log.or(file.log).unwrap_or_default(),
            certificate_validity: line
                .certificate_validity
                .or(file.certificate_validity)
                .unwrap_or(crate::identity::PROBE_VALIDITY),
            settings: line.settings.or(file.settings).unwrap_or_default(),
            alerts,
            traces,
        };
        config.settings.check().map_err(ConfigError::Settings)?;
        if PROBE_VALIDITY.contains(&config.certificate_validity) {
            Ok(config)
        } else {
            Err(ConfigError::Validity(config.certificate_validity))
        }
    }
}

fn read(path: &Path) -> Result<Wishes, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(path, &text)
}

/// Errors name the field and the line but never show the line: it may hold a password.
fn parse(path: &Path, text: &str) -> Result<Wishes, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..start).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let field = text
            .lines()
            .nth(line - 1)
            .and_then(|line| line.split_once('='))
            .map(|(field, _)| format!(", field {}", field.trim()))
            .unwrap_or_default();
        ConfigError::Parse { path: path.to_owned(), line, field, said: error.message().to_owned() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Wishes, String> {
        parse(Path::new("/etc/sekisho.toml"), text).map_err(|e| e.to_string())
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_defaults() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("c.toml");
        let text =
            "web_listen = \"127.0.0.1:1\"\nfleet_listen = \"127.0.0.1:2\"\n[settings]\nheartbeat = \"9s\"\n";
        std::fs::write(&path, text).unwrap();
        let line = Wishes { web_listen: Some("127.0.0.1:3".parse().unwrap()), ..Wishes::default() };
        let config = Config::new(line, Some(&path)).unwrap();
        assert_eq!(config.web_listen.port(), 3);
        assert_eq!(config.fleet_listen.port(), 2);
        assert_eq!(config.settings.heartbeat, Duration::from_secs(9));
        assert_eq!(config.certificate_validity, Duration::from_secs(7 * 86_400));
        assert_eq!(config.log, LogFormat::Text);
    }

    #[test]
    fn faults_name_file_line_and_field() {
        let unknown = file("log = \"json\"\nwebb_listen = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(unknown.starts_with("/etc/sekisho.toml, line 2"), "{unknown}");
        assert!(unknown.contains("webb_listen"), "{unknown}");
        let wrong = file("fleet_listen = 7\n").unwrap_err();
        assert!(wrong.contains("line 1, field fleet_listen"), "{wrong}");
        let short = Wishes { certificate_validity: Some(Duration::from_secs(1)), ..Wishes::default() };
        assert!(Config::new(short, None).is_err());
    }

    #[test]
    fn faults_and_debug_output_hide_the_password() {
        let fault = file("database_url = \"postgres://u:hunter2@h/d\n").unwrap_err();
        assert!(!fault.contains("hunter2"), "{fault}");
        let url: DatabaseUrl =
            "postgres://u:hunt@r2@db.example:5433/sekisho?sslmode=require".parse().unwrap();
        assert_eq!(format!("{url:?}"), "DatabaseUrl(db.example:5433/sekisho)");
        for url in
            ["postgres://u:hunt?r2@h/d", "postgres://u:hunt#r2@h/d", "u:hunt@h", "host=h password=hunt"]
        {
            let shown = format!("{:?}", url.parse::<DatabaseUrl>().unwrap());
            assert!(!shown.contains("hunt"), "{shown}");
        }
    }
}
