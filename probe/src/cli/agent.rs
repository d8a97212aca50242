//! `sekisho-probe enroll` and `sekisho-probe run`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;

use crate::{agent, identity, identity::Token, scope, scope::Rule};

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
pub(super) struct Run {
    /// State directory of an enrolled probe
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Controller, https://HOST:PORT, instead of those of the enrolment; may be repeated, they are tried in turn
    #[arg(long, value_name = "URL")]
    controller: Vec<String>,
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
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A log that cannot be written must not end the probe.
        .log_internal_errors(false)
        .init();
    super::runtime()?.block_on(agent::run(&args.state_dir, args.controller))?;
    Ok(ExitCode::SUCCESS)
}
