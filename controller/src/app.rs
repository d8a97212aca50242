//! One controller from start to end: every part is put together here, and stopped in order.

mod listen;
mod shutdown;
mod tokens;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use tokio::{sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::{
    config::Config,
    data_dir::{DataDir, write_private},
    database::Database,
    http::{self, Web},
    identity::{self, Identity, ServerIdentity, Trust},
    notify::{self, Setup},
    service::{Channel, Services},
    traces::{self, Exporter},
};
use listen::Listeners;

/// How long sessions and requests have to end.
const GRACE: Duration = Duration::from_secs(5);

/// Runs a controller until it is told to stop. `ready` is called with the line to print once both listeners serve.
///
/// # Errors
/// When it cannot start, or a part of it fails for good.
pub async fn run(config: Config, data: DataDir, ready: impl FnOnce(&str)) -> anyhow::Result<()> {
    let stop = shutdown::requested()?;
    data.prepare()?;
    let _lock = data.lock()?;
    let listeners = Listeners::bind(&config).await?;
    let identity = Identity::load_or_create(&data)?;
    let open = Database::open(config.database_url.as_ref(), config.postgres_bin.clone(), &data);
    let database = tokio::select! {
        database = open => database?,
        () = shutdown::wait(stop.clone()) => return Ok(()),
    };
    let result = serve(&config, &data, identity, &database, listeners, stop, ready).await;
    database.close().await;
    if let Err(error) = std::fs::remove_file(data.server_url())
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %data.server_url().display(), "cannot remove the address file");
    }
    tracing::info!("stopped");
    result
}

async fn serve(
    config: &Config,
    data: &DataDir,
    identity: Identity,
    database: &Database,
    listeners: Listeners,
    stop: watch::Receiver<bool>,
    ready: impl FnOnce(&str),
) -> anyhow::Result<()> {
    let controller = identity.id;
    let authority = Arc::new(identity.authority.with_probe_validity(config.certificate_validity));
    let settings = config.settings.clone();
    let services = Services::new(database.pool().clone(), controller, authority.clone(), settings);
    let host = nix::unistd::gethostname().map(|h| h.to_string_lossy().into_owned()).unwrap_or_default();
    services.set_channels(channels(config)?);
    let exporter = config.traces.clone().map(|traces| export(&services, traces, &host)).transpose()?;
    services.register_controller(authority.certificate(), &host).await.context("register this controller")?;
    let token = tokens::admin(data)?;
    // Each controller has a token of its own, so that controllers on one database do not replace each other's.
    services
        .register_operator_token(&format!("admin@{controller}"), &token)
        .await
        .context("register the administrator's token")?;
    let trust = Trust::load(services.clone(), &authority).await.context("read the trusted controllers")?;
    let server = ServerIdentity::new(&authority, jiff::Timestamp::now())?;
    let tls = TlsAcceptor::from(Arc::new(server.config(trust.verifier())?));

    let Listeners { fleet, web, fleet_address, web_address, metrics } = listeners;
    let pages = Web::new(services.clone(), authority.certificate());
    let (end, ended) = watch::channel(false);
    let mut parts = JoinSet::new();
    parts.spawn(named("background", infallible(crate::background::run(services.clone(), ended.clone()))));
    parts.spawn(named("trust", infallible(trust.run(ended.clone()))));
    let renewal = identity::keep_server_certificate(server, authority.clone(), ended.clone());
    parts.spawn(named("server certificate", infallible(renewal)));
    let incoming = identity::incoming(fleet, tls, ended.clone());
    let fleet = crate::grpc::router(services, ended.clone())
        .serve_with_incoming_shutdown(incoming, shutdown::wait(ended.clone()));
    parts.spawn(named("fleet listener", async move { Ok(fleet.await?) }));
    let router = http::router(pages.clone());
    let web = http::serve(web, router, shutdown::wait(ended.clone()));
    parts.spawn(named("web listener", infallible(web)));
    let mut told = String::new();
    if let Some((metrics, address)) = metrics {
        let metrics =
            http::serve(metrics, http::metrics_router(pages.clone()), shutdown::wait(ended.clone()));
        parts.spawn(named("listener for numbers", infallible(metrics)));
        told = format!(" metrics={address}");
    }
    pages.set_fleet_listener(true);

    let url = format!("http://{}\n", listen::reachable(web_address));
    write_private(&data.server_url(), url.as_bytes())?;
    let kind = if database.is_private() { "private" } else { "external" };
    tracing::info!(fleet = %fleet_address, web = %web_address, database = kind, %controller, "serving");
    ready(&format!(
        "ready fleet={fleet_address} web={web_address} database={kind} controller={controller}{told}"
    ));

    let result = tokio::select! {
        () = shutdown::wait(stop) => Ok(()),
        part = parts.join_next() => Err(part_ended(part)),
    };
    tracing::info!("stopping");
    pages.set_fleet_listener(false);
    end.send_replace(true);
    finish(parts).await;
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    result
}

/// Where notices of alerts go.
fn channels(config: &Config) -> anyhow::Result<Vec<Channel>> {
    let channel = |setup: &Setup| {
        notify::channel(setup.clone()).with_context(|| format!("set up the alert channel \"{}\"", setup.name))
    };
    config.alerts.iter().map(channel).collect()
}

/// Where spans go.
fn export(services: &Services, traces: traces::Setup, host: &str) -> anyhow::Result<Exporter> {
    let resource = vec![
        ("service.name", "sekisho".into()),
        ("service.version", env!("CARGO_PKG_VERSION").into()),
        ("service.instance.id", services.controller().to_string().into()),
        ("host.name", host.into()),
    ];
    let (traces, exporter) = Exporter::start(traces, resource, services.counters().spans())
        .context("set up the export of traces")?;
    services.set_traces(traces);
    Ok(exporter)
}

type Part = (&'static str, anyhow::Result<()>);

async fn named(name: &'static str, part: impl Future<Output = anyhow::Result<()>>) -> Part {
    (name, part.await)
}

async fn infallible(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

fn part_ended(part: Option<Result<Part, tokio::task::JoinError>>) -> anyhow::Error {
    match part {
        Some(Ok((name, Err(error)))) => error.context(format!("the {name} failed")),
        Some(Ok((name, Ok(())))) => anyhow!("the {name} ended by itself"),
        Some(Err(error)) => anyhow!(error).context("a part of the controller failed"),
        None => anyhow!("every part of the controller ended"),
    }
}

/// Waits until every part has ended, but not for ever.
async fn finish(mut parts: JoinSet<Part>) {
    let all = async {
        while let Some(part) = parts.join_next().await {
            match part {
                Ok((_, Ok(()))) => {}
                Ok((name, Err(error))) => tracing::warn!(%error, "stopping the {name}"),
                Err(error) => tracing::warn!(%error, "stopping"),
            }
        }
    };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!(seconds = GRACE.as_secs(), "connections are still open; closing them");
        parts.shutdown().await;
    }
}
