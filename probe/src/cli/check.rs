//! `sekisho-probe check`: a domain or hosts from here, without a controller.

mod checks;
mod find;
mod progress;

use std::{collections::BTreeSet, fs::File, io::Write, net::IpAddr, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use clap::{Args as ClapArgs, ValueEnum};
use sekisho_model::{
    BuiltIn, Cell, CheckKind, CheckStatus, DEFAULT_PROFILE, Matrix, Outcome, Service,
    table::{self, Style},
};
use tokio::sync::mpsc;

use super::{Color, credentials::JoinArgs};
use crate::{
    capture::{self, Capture},
    net::IcmpAccess,
    runner::{Engine, Gate, Observed, Rates, Target, Task},
    vantage::{Credentials, Request},
};
use progress::Progress;

/// Observations under way to the terminal.
const UNDER_WAY: usize = 256;

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A domain is found through its SRV records; a host by its address records. Of a domain that is \
    not found no flow is tested,\nand its checks tell why. An address without --domain is asked for its domain.\n\n\
    Examples:\n  \
    sekisho-probe check corp.example\n  \
    sekisho-probe check corp.example --dns 10.0.0.10\n  \
    sekisho-probe check 10.0.0.10 10.0.0.11 --service smb --service tcp/8443\n  \
    sekisho-probe check dc1.corp.example --format json | jq '.cells[] | select(.outcome != \"open\")'\n\n\
    Exit: 0 everything is open; 1 usage or failure; 2 something is blocked, or a check has found a problem;\n3 something could not be tested."
)]
pub(super) struct Args {
    /// Domain, host name, address or network (CIDR)
    #[arg(required = true, value_name = "DOMAIN|HOST")]
    names: Vec<String>,
    /// What to test
    #[arg(long, default_value = DEFAULT_PROFILE.name())]
    profile: String,
    /// Test this service instead of a profile; may be repeated (smb, kerberos-tcp, tcp/8443)
    #[arg(long, conflicts_with = "profile")]
    service: Vec<Service>,
    /// Do this check of the vantage instead of the profile's; may be repeated (clock, srv-records)
    #[arg(long, conflicts_with = "profile")]
    check: Vec<CheckKind>,
    /// Look for the account of this computer (host name without domain); may be repeated
    #[arg(long, value_name = "NAME")]
    computer: Vec<String>,
    /// DNS server to ask instead of this host's own; may be repeated
    #[arg(long)]
    dns: Vec<IpAddr>,
    /// The domain that the hosts should serve, where it is not found out by itself
    #[arg(long)]
    domain: Option<String>,
    /// Also print every attempt: when, from which port, what came back from whom
    #[arg(long)]
    explain: bool,
    /// Keep the packets of this check, and only those, in a pcapng file (needs CAP_NET_RAW)
    #[arg(long, value_name = "FILE")]
    pcap: Option<std::path::PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// When to colour
    #[arg(long, value_enum, default_value = "auto")]
    color: Color,
    /// New attempts per second to one target
    #[arg(long, default_value_t = Rates::default().per_target, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// Attempts under way at the same time
    #[arg(long, default_value_t = Rates::default().concurrency, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    #[command(flatten)]
    join: JoinArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (services, mut checks) = contents(&args)?;
    if args.check.contains(&CheckKind::JoinRights) && !args.join.are_given() {
        bail!("whose rights to join? name an account with --join-user");
    }
    if args.check.contains(&CheckKind::ComputerAccount) && args.computer.is_empty() {
        bail!("whose account? name a computer with --computer");
    }
    let credentials = args.join.credentials()?;
    if credentials.is_some() && !checks.contains(&CheckKind::JoinRights) {
        checks.push(CheckKind::JoinRights);
    }
    if !args.computer.is_empty() && credentials.is_none() && !checks.contains(&CheckKind::ComputerAccount) {
        checks.push(CheckKind::ComputerAccount);
    }
    let (_, files) = crate::limits::raise_open_files();
    let rates = Rates {
        per_target: args.rate,
        concurrency: args.concurrency.min(crate::limits::attempts_within(files)),
        ..Rates::default()
    };
    super::runtime()?.block_on(async {
        let capture = begin_capture(&args)?;
        let engine = Engine::new(rates, IcmpAccess::detect());
        let found = find::all(&args, &checks, &engine).await?;
        for missing in &found.missing {
            eprintln!("sekisho-probe: {missing}");
        }
        let domains = find::domains(&found, &checks, &engine).await;
        if let Some(without) = find::without_domain(&domains, &checks) {
            eprintln!("sekisho-probe: {without}");
        }
        let requests = checks::requests(&args, &domains, &found.named(), &checks);
        let matrix = check(&found.targets, &services, requests, credentials, engine).await;
        end_capture(&args, capture).await?;
        print(&args, &matrix)?;
        Ok(exit(&matrix, !found.missing.is_empty()))
    })
}

/// Opens the file first: what cannot be written is said before the check, not after it.
fn begin_capture(args: &Args) -> anyhow::Result<Option<(Capture, File)>> {
    let Some(path) = &args.pcap else { return Ok(None) };
    let shown = path.display();
    let capture = Capture::begin().with_context(|| {
        format!("--pcap {shown}: this process may not see packets: run it as root, or give it CAP_NET_RAW")
    })?;
    let file = capture::create(path).with_context(|| format!("--pcap {shown}: cannot write it"))?;
    Ok(Some((capture, file)))
}

async fn end_capture(args: &Args, capture: Option<(Capture, File)>) -> anyhow::Result<()> {
    let (Some((capture, file)), Some(path)) = (capture, &args.pcap) else { return Ok(()) };
    let path = path.display();
    let written = capture.write(file, |_| true).await.with_context(|| format!("cannot write {path}"))?;
    let left_out = match written.left_out {
        0 => String::new(),
        count => format!("; {count} more did not fit in memory"),
    };
    eprintln!("{} packets are in {path}{left_out}", written.packets);
    Ok(())
}

/// What to test: services and checks that were named, or else those of the profile.
fn contents(args: &Args) -> anyhow::Result<(Vec<Service>, Vec<CheckKind>)> {
    if !args.service.is_empty() || !args.check.is_empty() {
        let services: BTreeSet<Service> = args.service.iter().copied().collect();
        let checks: BTreeSet<CheckKind> = args.check.iter().copied().collect();
        return Ok((services.into_iter().collect(), checks.into_iter().collect()));
    }
    let known = BuiltIn::ALL.map(BuiltIn::name).join(", ");
    let profile = BuiltIn::named(&args.profile)
        .with_context(|| format!("no profile \"{}\"; profiles are {known}", args.profile))?;
    Ok((profile.services(), profile.checks().to_vec()))
}

/// Tests all services of all targets.
async fn check(
    targets: &[Target],
    services: &[Service],
    requests: Vec<Request>,
    credentials: Option<Arc<Credentials>>,
    engine: Arc<Engine>,
) -> Matrix {
    let numbered = targets.iter().enumerate().map(|(t, target)| {
        let tasks = services.iter().enumerate().map(|(s, service)| {
            let number = u32::try_from(t * services.len() + s).unwrap_or(u32::MAX);
            Task { number, service: *service, last: None }
        });
        (target.clone(), tasks.collect::<Vec<_>>())
    });
    let (sink, mut seen) = mpsc::channel(UNDER_WAY);
    let vantage =
        nix::unistd::gethostname().map_or_else(|_| "this-host".into(), |n| n.to_string_lossy().into_owned());
    let checks = tokio::spawn(checks::run(Arc::clone(&engine), requests, credentials, vantage.clone()));
    let run = tokio::spawn(engine.run(numbered.collect(), Gate::open(), sink));
    let planned = targets.len() * services.len();
    let mut progress = Progress::new(planned);
    let mut cells: Vec<(u32, Cell)> = Vec::with_capacity(planned);
    while let Some(observed) = seen.recv().await {
        let number = usize::try_from(observed.number).unwrap_or(usize::MAX);
        if let (Some(target), Some(service)) =
            (targets.get(number / services.len()), services.get(number % services.len()))
        {
            cells.push((observed.number, cell(&vantage, target, *service, observed)));
        }
        progress.show(cells.len());
    }
    progress.clear();
    if let Err(error) = run.await {
        tracing::error!(%error, "the check ended abnormally");
    }
    cells.sort_by_key(|(number, _)| *number);
    let checks = checks.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the checks of the vantage ended abnormally");
        Vec::new()
    });
    Matrix { sweep: None, at: None, cells: cells.into_iter().map(|(_, cell)| cell).collect(), checks }
}

fn cell(vantage: &str, target: &Target, service: Service, observed: Observed) -> Cell {
    Cell {
        vantage: vantage.to_owned(),
        subnet: None,
        target: target.name(),
        address: target.address,
        service,
        transport: service.transport(),
        need: service.need(),
        port: Cell::port_of(service, &observed.facts),
        outcome: observed.outcome,
        by: observed.by,
        rtt_us: observed.rtt_us,
        attempts: observed.attempts,
        confirmed: observed.confirmed,
        facts: observed.facts,
        evidence: observed.evidence,
        observed_at: Some(observed.observed_at),
    }
}

fn print(args: &Args, matrix: &Matrix) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let text = match args.format {
        Format::Json => {
            return match serde_json::to_writer_pretty(&mut out, matrix)
                .map_err(std::io::Error::from)
                .and_then(|()| {
                    out.write_all(b"\n")?;
                    out.flush()
                }) {
                Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                    Err(error).context("cannot print")
                }
                Ok(()) | Err(_) => Ok(()),
            };
        }
        Format::Table => {
            let style = Style { color: args.color.on(), ascii: false, width: None };
            let attempts = if args.explain { table::explain(matrix, &style) } else { String::new() };
            attempts + &table::render(matrix, &style)
        }
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `missing`: something was named whose flows could not be tested.
fn exit(matrix: &Matrix, missing: bool) -> ExitCode {
    let any = |what: fn(Outcome) -> bool| matrix.cells.iter().any(|cell| what(cell.outcome));
    let ended = |status| matrix.checks.iter().any(|check| check.status == status);
    let nothing = matrix.cells.is_empty() && matrix.checks.is_empty();
    if any(Outcome::is_blocked) || ended(CheckStatus::Problem) {
        ExitCode::from(2)
    } else if missing || nothing || any(|outcome| outcome != Outcome::Open) || ended(CheckStatus::Unknown) {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use sekisho_model::{Check, Facts};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What `sekisho-probe check` takes this line for.
    pub(super) fn args(line: &[&str]) -> Args {
        Line::parse_from(["check"].iter().chain(line)).args
    }

    #[test]
    fn what_was_not_found_or_not_tested_is_not_all_well() {
        let check = Check {
            vantage: "here".into(),
            domain: "corp.example".into(),
            target: None,
            address: None,
            check: CheckKind::Host,
            status: CheckStatus::Ok,
            facts: Facts::new(),
            observed_at: None,
        };
        let well = Matrix { sweep: None, at: None, cells: Vec::new(), checks: vec![check] };
        assert_eq!(format!("{:?}", exit(&well, false)), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(format!("{:?}", exit(&well, true)), format!("{:?}", ExitCode::from(3)));
        let nothing = Matrix { checks: Vec::new(), ..well };
        assert_eq!(format!("{:?}", exit(&nothing, false)), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn what_cannot_be_looked_for_is_said() {
        let said = run(args(&["corp.example", "--check", "computer-account"])).unwrap_err().to_string();
        assert!(said.contains("--computer"), "{said}");
        let said = run(args(&["corp.example", "--check", "join-rights"])).unwrap_err().to_string();
        assert!(said.contains("--join-user"), "{said}");
    }
}
