//! `sekisho serve`.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use anyhow::Context;
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use super::{Exit, connection::Global};
use crate::{
    app,
    config::{Config, DatabaseUrl, LogFormat, Wishes},
    data_dir::DataDir,
    privilege,
};

/// What is logged where RUST_LOG does not say.
const LOG: &str = "info,sqlx=warn";

/// Run a controller.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints one line \"ready ...\" when both listeners serve. SIGTERM and Ctrl-C stop it in order.\n\n\
    Examples:\n  \
    sekisho serve --data-dir /var/lib/sekisho\n  \
    sekisho serve --data-dir ./data --fleet-listen 0.0.0.0:7443 --web-listen 127.0.0.1:8080\n  \
    SEKISHO_DATABASE_URL=postgres://sekisho:PASSWORD@db.example/sekisho sekisho serve --data-dir /var/lib/sekisho"
)]
pub(super) struct ServeArgs {
    /// Use this PostgreSQL database instead of a private one.
    #[arg(long, env = "SEKISHO_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<DatabaseUrl>,
    /// Where probes connect [default: 0.0.0.0:7443]. Port 0: any free one.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    fleet_listen: Option<SocketAddr>,
    /// Where operators connect [default: 127.0.0.1:8080]. Port 0: any free one.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    web_listen: Option<SocketAddr>,
    /// Tell numbers for Prometheus here, /metrics, to whoever asks; else they need a token, at --web-listen.
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen)]
    metrics_listen: Option<SocketAddr>,
    /// Configuration file, TOML. The command line wins over it.
    #[arg(long, env = "SEKISHO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// User to become when started as root [default: sekisho, or else postgres].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Directory with PostgreSQL's programs [default: the newest in /usr/lib/postgresql, or PATH].
    #[arg(long, env = "SEKISHO_POSTGRES_BIN", value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// How to log to standard error: text or json [default: text]. RUST_LOG says how much.
    #[arg(long = "log-format", alias = "log", value_enum, hide_possible_values = true, value_name = "HOW")]
    log: Option<LogFormat>,
}

fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an IP address and a port, such as 0.0.0.0:7443 or [::]:7443".to_owned())
}

pub(super) fn run(args: ServeArgs, global: &Global) -> anyhow::Result<Exit> {
    let path =
        global.data_dir.as_deref().context("where is the state to be kept? Name it with --data-dir DIR")?;
    let data = DataDir::new(path)?;
    let wishes = Wishes {
        fleet_listen: args.fleet_listen,
        web_listen: args.web_listen,
        metrics_listen: args.metrics_listen,
        database_url: args.database_url,
        user: args.user,
        postgres_bin: args.postgres_bin,
        log: args.log,
        certificate_validity: None,
        settings: None,
        alert: Vec::new(),
        traces: None,
    };
    let config = Config::new(wishes, args.config.as_deref())?;
    let told = privilege::drop_root(config.user.as_deref(), &data)?;
    start_log(config.log)?;
    if let Some(told) = told {
        tracing::info!("{told}");
    }
    raise_file_limit();
    let log = config.log;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(Box::pin(app::run(config, data, |line| {
        let mut out = std::io::stdout().lock();
        if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
            tracing::warn!(%error, "cannot print the ready line");
        }
    })));
    match (result, log) {
        (Ok(()), _) => Ok(Exit::Fine),
        (Err(error), LogFormat::Text) => Err(error),
        (Err(error), LogFormat::Json) => {
            tracing::error!(error = format!("{error:#}"), "the controller failed");
            Ok(Exit::Failure)
        }
    }
}

fn start_log(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(wish) if !wish.is_empty() => {
            EnvFilter::try_new(&wish).with_context(|| format!("RUST_LOG={wish} is no log filter"))?
        }
        Ok(_) | Err(_) => EnvFilter::new(LOG),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written must not take the controller down: by default that panics.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).init();
        }
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).init(),
    }
    Ok(())
}

/// Each probe is an open connection; the usual 1024 would be few.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}
