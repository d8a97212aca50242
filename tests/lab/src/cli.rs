//! The command line.

mod truth;

use std::{
    ffi::OsString,
    io::Read,
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};

use crate::{
    Lab, Options, lab,
    serve::{self, Manner},
    state,
    topology::topology,
    ui,
};

/// A network of namespaces with access lists and a real Active Directory domain controller, on this machine.
///
/// Nothing of it touches the machine's own network: everything lives in namespaces of its own, and `down` removes all.
#[derive(Debug, Parser)]
#[command(
    name = "sekisho-lab",
    version,
    after_help = "\
Examples:
  sekisho-lab up                                  bring the lab `demo` up
  sekisho-lab exec vlan20 -- ping -c1 10.77.1.10  run a command in the restricted VLAN
  sekisho-lab truth --vantage vlan20              what is really open and blocked there
  sekisho-lab down                                remove it"
)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Args)]
struct Name {
    /// Name of the lab.
    #[arg(long, default_value = "demo")]
    name: String,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Bring a lab up; one that is up stays as it is.
    #[command(after_help = "Examples:\n  sekisho-lab up\n  sekisho-lab up --name test-1 --no-ping")]
    Up {
        #[command(flatten)]
        name: Name,
        /// Leave `net.ipv4.ping_group_range` as the kernel sets it: nobody may ping without privileges.
        #[arg(long)]
        no_ping: bool,
        /// Folder that keeps the provisioned domain controller for the next lab.
        #[arg(long, value_name = "DIR", default_value = lab::CACHE, env = "SEKISHO_LAB_CACHE")]
        cache: PathBuf,
    },
    /// Take a lab down, with every process in it, and what a crash left of one.
    #[command(
        after_help = "Examples:\n  sekisho-lab down\n  sekisho-lab down --name test-1\n  sekisho-lab down --all"
    )]
    Down {
        #[command(flatten)]
        name: Name,
        /// Every lab of this machine.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// List the labs of this machine.
    List,
    /// Show the nodes of a lab and what runs in them.
    Status {
        #[command(flatten)]
        name: Name,
    },
    /// Run a command in a node of a lab, such as a VLAN.
    #[command(after_help = "Examples:
  sekisho-lab exec vlan10 -- dig @10.77.1.10 _ldap._tcp.dc._msdcs.corp.example SRV
  sekisho-lab exec --user nobody vlan20 -- sekisho-probe check corp.example --dns 10.77.1.10
  sekisho-lab exec edge -- nft list ruleset")]
    Exec {
        #[command(flatten)]
        name: Name,
        /// Run as this user and without any capability.
        #[arg(long)]
        user: Option<String>,
        /// The node: vlan10, vlan20, vlan30, edge, core, dc1 or app1.
        node: String,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Set a scene up in a lab, or end it: a fault with its own truth.
    #[command(
        after_help = "Examples:\n  sekisho-lab scene --list\n  sekisho-lab scene rpc-dropped\n  sekisho-lab scene rpc-dropped --off"
    )]
    Scene {
        #[command(flatten)]
        name: Name,
        /// The scene.
        #[arg(required_unless_present = "list")]
        scene: Option<String>,
        /// End it: the lab is as before.
        #[arg(long)]
        off: bool,
        /// List the scenes that there are.
        #[arg(long, exclusive = true)]
        list: bool,
    },
    /// Show what every flow of the lab comes to.
    #[command(
        after_help = "Examples:\n  sekisho-lab truth\n  sekisho-lab truth --vantage vlan20 --target dc1 --format csv\n  \
                      sekisho-lab truth --scene rpc-dropped"
    )]
    Truth {
        /// While this scene is on, of the flows and checks that it concerns.
        #[arg(long)]
        scene: Option<String>,
        /// Only of this vantage.
        #[arg(long)]
        vantage: Option<String>,
        /// Only to this target.
        #[arg(long)]
        target: Option<String>,
        /// Form of the answer.
        #[arg(long, value_enum, default_value = "table")]
        format: Format,
    },
    /// Print the lab as an inventory for `sekisho apply`.
    Inventory,
    /// Compare the lab with its truth, by nmap and ping.
    Verify {
        #[command(flatten)]
        name: Name,
        /// With the truth of this scene, which is on.
        #[arg(long)]
        scene: Option<String>,
    },
    /// Lose packets between the edge and the core, at random, in each direction.
    #[command(
        after_help = "Examples:\n  sekisho-lab loss --percent 5\n  sekisho-lab loss --percent 0     no loss"
    )]
    Loss {
        #[command(flatten)]
        name: Name,
        /// How many of a hundred packets.
        #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: u8,
    },
    /// Load nft commands into a node: change an access list.
    #[command(after_help = "Examples:
  echo 'flush chain ip sekisho restricted' | sekisho-lab nft --node edge -
  echo 'insert rule ip sekisho forward ip daddr 10.77.1.10 tcp dport 53 drop' | sekisho-lab nft --node core -
  sekisho-lab nft --node edge changes.nft")]
    Nft {
        #[command(flatten)]
        name: Name,
        /// The node: edge or core, as a rule.
        #[arg(long)]
        node: String,
        /// File of nft commands; - reads them from standard input.
        file: PathBuf,
    },
    /// Add many hosts behind the core, for speed tests.
    #[command(after_help = "Examples:\n  sekisho-lab farm\n  sekisho-lab farm --name bench --hosts 50")]
    Farm {
        #[command(flatten)]
        name: Name,
        /// How many hosts: addresses from 10.77.2.1 on.
        #[arg(long, default_value_t = topology().farm.hosts)]
        hosts: u8,
    },
    /// Listen on TCP ports until killed.
    #[command(hide = true)]
    Serve {
        /// Accept and close.
        #[arg(long, value_delimiter = ',')]
        tcp: Vec<u16>,
        /// Accept and say nothing.
        #[arg(long, value_delimiter = ',')]
        silent: Vec<u16>,
        /// Speak HTTP.
        #[arg(long, value_delimiter = ',')]
        http: Vec<u16>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Csv,
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            ui::note(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Up { name, no_ping, cache } => {
            up(&Options { name: name.name, ping: !no_ping, cache, keep: true })?
        }
        Task::Down { name, all } => down(&name.name, all)?,
        Task::List => list()?,
        Task::Status { name } => status(&name.name)?,
        Task::Exec { name, user, node, command } => exec(&name.name, user.as_deref(), &node, &command)?,
        Task::Scene { list: true, .. } => truth::list_scenes(),
        Task::Scene { name, scene, off, .. } => {
            truth::set_scene(&name.name, &scene.unwrap_or_default(), off)?
        }
        Task::Truth { scene, vantage, target, format } => {
            truth::show_truth(scene.as_deref(), vantage.as_deref(), target.as_deref(), format)?;
        }
        Task::Inventory => ui::say(crate::inventory().trim_end()),
        Task::Verify { name, scene } => return truth::verify(&name.name, scene.as_deref()),
        Task::Loss { name, percent } => {
            Lab::open(&name.name)?.loss(percent)?;
            ui::say(&format!("lab {}: {percent} % of the packets between edge and core are lost", name.name));
        }
        Task::Nft { name, node, file } => Lab::open(&name.name)?.nft(&node, &read(&file)?)?,
        Task::Farm { name, hosts } => {
            Lab::open(&name.name)?.farm(hosts)?;
            ui::say(&format!("lab {}: {hosts} hosts in {}", name.name, topology().farm.network));
        }
        Task::Serve { tcp, silent, http } => {
            let with = |ports: Vec<u16>, manner| ports.into_iter().map(move |port| (port, manner));
            let ports =
                with(tcp, Manner::Plain).chain(with(silent, Manner::Silent)).chain(with(http, Manner::Http));
            serve::serve(&ports.collect::<Vec<_>>())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(options: &Options) -> anyhow::Result<()> {
    let started = Instant::now();
    let (lab, new) = Lab::ensure(options)?;
    let name = lab.name();
    let controller = lab.controller_address();
    if new {
        ui::say(&format!("lab {name} is up, after {:.1} s", started.elapsed().as_secs_f64()));
    } else {
        ui::say(&format!("lab {name} is up already"));
    }
    ui::say(&format!("  a controller on this machine is https://{controller}:7443 for probes in its VLANs"));
    ui::say(&format!("  try: sekisho-lab exec --name {name} vlan20 -- ping -c1 10.77.1.10"));
    lab.keep()
}

fn down(name: &str, all: bool) -> anyhow::Result<()> {
    let labs: Vec<String> = state::list()?.into_iter().map(|lab| lab.name).collect();
    let wanted: Vec<&String> = labs.iter().filter(|lab| all || *lab == name).collect();
    for lab in &wanted {
        Lab::down(lab)?;
        ui::say(&format!("lab {lab} is down"));
    }
    match (wanted.is_empty(), all) {
        (true, true) => ui::say("no lab is up"),
        (true, false) => {
            // Something may be left that `list` does not see, such as a resolv.conf.
            Lab::down(name)?;
            ui::say(&format!("lab {name} is not up"));
        }
        (false, _) => {}
    }
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let labs = state::list()?;
    if labs.is_empty() {
        ui::say("no lab is up; `sekisho-lab up` brings one up");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = labs
        .into_iter()
        .map(|lab| {
            let controller = lab.controller.map_or_else(|| "-".to_owned(), |address| address.to_string());
            vec![
                lab.name,
                lab.condition.word().to_owned(),
                controller,
                lab.farm.to_string(),
                format!("{} %", lab.loss),
            ]
        })
        .collect();
    ui::table(&["NAME", "STATE", "CONTROLLER", "FARM", "LOSS"], &rows);
    Ok(())
}

fn status(name: &str) -> anyhow::Result<()> {
    let lab = Lab::open(name)?;
    ui::say(&format!("lab {name} is ready; controller address {}", lab.controller_address()));
    for scene in lab.scenes() {
        ui::say(&format!("scene {}: {}", scene.name, scene.about));
    }
    let rows = lab
        .nodes()
        .map(|(node, address)| {
            let namespace = lab.namespace(node);
            let processes = crate::namespace::processes(std::slice::from_ref(&namespace))?.len();
            Ok(vec![
                node.to_owned(),
                address.as_ref().map_or_else(|| "-".to_owned(), Ipv4Addr::to_string),
                namespace,
                processes.to_string(),
            ])
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    ui::table(&["NODE", "ADDRESS", "NAMESPACE", "PROCESSES"], &rows);
    Ok(())
}

fn exec(name: &str, user: Option<&str>, node: &str, argv: &[OsString]) -> anyhow::Result<()> {
    let lab = Lab::open(name)?;
    let mut command = match user {
        Some(user) => lab.exec_as(user, node, argv)?,
        None => lab.exec(node, argv)?,
    };
    // Only comes back when it fails.
    Err(command.exec()).context("run `ip netns exec`")
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).context("read standard input")?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    }
    if text.trim().is_empty() {
        bail!("{} holds no nft commands", file.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exec_takes_everything_after_the_dashes() {
        let cli =
            Cli::try_parse_from(["sekisho-lab", "exec", "vlan20", "--", "ping", "-c", "1", "x"]).unwrap();
        let Task::Exec { name, node, command, .. } = cli.command else { panic!("not exec") };
        assert_eq!((name.name.as_str(), node.as_str(), command.len()), ("demo", "vlan20", 4));
    }
}
