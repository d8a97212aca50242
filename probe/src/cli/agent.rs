//! `sekisho-probe enroll` and `sekisho-probe run`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::{agent, identity, identity::Token, metrics::Doors, scope, scope::Rule};

#[derive(Debug, Args)]
#[command(after_help = "The token is made on the controller: sekisho probe token --vantage NAME\n\n\
    Example:\n  \
    sekisho-probe enroll --controller https://sekisho.example:7443 --token sks1.… \\\n      \
        --state-dir /var/lib/sekisho-probe --allow 10.0.0.0/24 --allow 10.1.0.10/32:icmp,53,88,389")]
pub(super) struct Enroll {
    /// Controller, https://HOST:PORT; may be repeated, they are tried in turn
    #[arg(long, required = true, value_name = "URL")]
    controller: Vec<String>,
    /// Single-use token; "-" reads it from standard input
    #[arg(long, env = "SEKISHO_ENROLMENT_TOKEN", hide_env_values = true)]
    token: String,
    /// Where the probe keeps key, certificate, scope and spool
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// What the probe may test; may be repeated. Without it the probe refuses every task
    #[arg(long, value_name = "CIDR[:PORTS]")]
    allow: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    sekisho-probe run --state-dir /var/lib/sekisho-probe\n  \
    sekisho-probe run --state-dir /var/lib/sekisho-probe \\\n      \
        --metrics-file /var/lib/prometheus/node-exporter/sekisho-probe.prom --log-format json")]
pub(super) struct Run {
    /// State directory of an enrolled probe
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Controller, https://HOST:PORT, instead of those of the enrolment; may be repeated, they are tried in turn
    #[arg(long, value_name = "URL")]
    controller: Vec<String>,
    /// Write numbers for Prometheus to this file, for node_exporter's textfile collector (NAME.prom)
    #[arg(long, value_name = "FILE")]
    metrics_file: Option<PathBuf>,
    /// Tell numbers for Prometheus on this loopback address, /metrics, to whoever asks
    #[arg(long, value_name = "ADDR:PORT", value_parser = loopback)]
    metrics_listen: Option<SocketAddr>,
    /// How to log to standard error: text or json. RUST_LOG says how much
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "HOW")]
    log_format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A probe never listens where another machine could ask.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:9464".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("a probe listens on loopback only, such as 127.0.0.1:9464; for others use --metrics-file"
            .to_owned())
    }
}

pub(super) fn enroll(args: Enroll) -> anyhow::Result<ExitCode> {
    let token = if args.token == "-" { std::io::read_to_string(std::io::stdin())? } else { args.token };
    let token: Token = token.parse()?;
    for rule in &args.allow {
        rule.parse::<Rule>().context("--allow")?;
    }
    let about = super::runtime()?.block_on(identity::enrol(args.controller, &token, &args.state_dir))?;
    let path = scope::path(&args.state_dir);
    if args.allow.is_empty() {
        eprintln!("no --allow: this probe refuses every task until {} allows some", path.display());
    } else {
        identity::write(&path, scope::file_text(&args.allow).as_bytes())?;
    }
    println!("enrolled as probe {} of vantage {}", about.id, about.vantage);
    println!("next: sekisho-probe run --state-dir {}", args.state_dir.display());
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(args: Run) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that cannot be written must not end the probe.
        .log_internal_errors(false);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).with_span_list(false).init(),
    }
    let doors = Doors { file: args.metrics_file.clone(), listen: args.metrics_listen };
    let ended = super::runtime()?.block_on(agent::run(&args.state_dir, args.controller, doors));
    match (ended, args.log_format) {
        (Ok(()), _) => Ok(ExitCode::SUCCESS),
        (Err(error), LogFormat::Text) => Err(error),
        (Err(error), LogFormat::Json) => {
            tracing::error!(error = format!("{error:#}"), "the probe failed");
            Ok(ExitCode::FAILURE)
        }
    }
}
