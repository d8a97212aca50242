//! One domain controller: its Samba, and the chronyd beside it that tells the time.

mod membership;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ipnet::Ipv4Net;
use nix::sys::signal::Signal;
use serde::Deserialize;

use crate::{
    namespace, program, ready, tool,
    topology::{Node, topology},
};

/// How long Samba may take to answer. On an idle machine it needs three seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Folders that programs use whatever they are told: for the socket of winbindd, for the logs of Samba's RPC helpers, for
/// the memory that faked clocks share. Beside each, the folder of the lab that covers it.
const COVERED: [(&str, &str); 3] =
    [("sockets", "/run/samba"), ("logs", "/var/log/samba"), ("shm", "/dev/shm")];

/// Covers each second folder with the one before it, up to the dashes, then becomes the command that follows. Nobody
/// else sees it: `ip netns exec` gives each command its own view of the mounts.
const COVER: &str =
    r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@""#;

/// What makes this domain controller this one.
#[derive(Debug)]
pub(crate) struct DomainController {
    pub(crate) node: &'static Node,
    address: Ipv4Net,
    namespace: String,
    folder: PathBuf,
}

/// Which of Samba's background services run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Services {
    /// All, so that the domain is complete when it goes into the cache.
    All,
    /// Without those that only maintain what the cache already holds: they start Python, which takes seconds.
    Lean,
}

/// How a domain controller differs from a sound one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variation {
    /// Seconds that its clock is ahead.
    #[serde(default)]
    pub(crate) clock_offset: i64,
    /// More lines for the section `global` of smb.conf.
    #[serde(default)]
    pub(crate) options: BTreeMap<String, String>,
}

impl DomainController {
    /// A domain controller of a lab that keeps its things below that folder.
    pub(crate) fn new(lab: &str, folder: &Path, node: &'static Node, address: Ipv4Net) -> Self {
        Self { node, address, namespace: namespace::name(lab, &node.name), folder: folder.join(&node.name) }
    }

    /// Starts its programs, Samba first. It does not wait until they answer.
    pub(crate) fn launch(&self, services: Services, variation: &Variation) -> anyhow::Result<Vec<Child>> {
        for folder in ["etc", "run", "ncalrpc", "cache", "state"] {
            create(&self.folder.join(folder))?;
        }
        let config = self.folder.join("etc/smb.conf");
        fs::write(&config, self.config(services, variation))
            .with_context(|| format!("write {}", config.display()))?;
        let config = config.display().to_string();
        let samba = ["samba", "-i", "-M", "standard", "--debug-stdout", "-s", &config];
        let pid = format!("pidfile {}/run/chronyd.pid", self.folder.display());
        // As an isolated server: it follows nobody, and leaves this machine's clock alone.
        let time = [
            "chronyd",
            "-x",
            "-d",
            "-u",
            "root",
            "local stratum 5",
            "allow",
            "cmdport 0",
            "bindcmdaddress /",
            &pid,
        ];
        Ok(vec![self.begin(&samba, variation)?, self.begin(&time, variation)?])
    }

    fn begin(&self, argv: &[&str], variation: &Variation) -> anyhow::Result<Child> {
        let mut command = ["sh", "-c", COVER, "sh"].map(str::to_owned).to_vec();
        for (own, covered) in COVERED {
            create(Path::new(covered))?;
            let own = self.folder.join(own);
            create(&own)?;
            command.extend([own.display().to_string(), covered.to_owned()]);
        }
        command.push("--".to_owned());
        if variation.clock_offset != 0 {
            // The modules of its LDAP server would not see the faked clock: they are bound past it otherwise.
            command.extend(["env", "LDB_MODULES_DISABLE_DEEPBIND=1"].map(str::to_owned));
            command.extend(["faketime", "--exclude-monotonic", "-f"].map(str::to_owned));
            command.push(format!("{:+}s", variation.clock_offset));
        }
        command.extend(argv.iter().map(|word| (*word).to_owned()));
        let name = argv.first().copied().unwrap_or_default();
        program::start(&self.namespace, command, &self.log(name))
    }

    /// Waits until it answers, or is dead.
    pub(crate) fn wait(&self, programs: &mut [Child]) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        namespace::within(&self.namespace, || {
            loop {
                let Err(missing) = ready::domain_controller(self.address.addr(), &topology().domain.name)
                else {
                    return Ok(());
                };
                for (program, name) in programs.iter_mut().zip(["samba", "chronyd"]) {
                    if let Some(status) = program.try_wait().with_context(|| format!("wait for {name}"))? {
                        bail!("{name} ended ({status}) before it answered{}", self.log_tail(name));
                    }
                }
                if Instant::now() > deadline {
                    bail!(
                        "{missing:#}: samba did not get there in {} s{}",
                        PATIENCE.as_secs(),
                        self.log_tail("samba")
                    );
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        })
    }

    /// Whether everything is there that the first start makes. The error says what is not.
    pub(crate) fn is_settled(&self) -> anyhow::Result<()> {
        let certificate = self.folder.join("private/tls/cert.pem");
        if !certificate.exists() {
            bail!("samba made no TLS certificate{}", self.log_tail("samba"));
        }
        Ok(())
    }

    /// Ends whatever runs in its namespace. A Samba that does not end by itself in time is killed: its databases survive
    /// that, because they write in transactions.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        let everything = || namespace::processes(std::slice::from_ref(&self.namespace));
        namespace::signal(&everything()?, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let running = everything()?;
            if running.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                namespace::signal(&running, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes what belongs to one start only.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        for leftover in [
            "run",
            "ncalrpc",
            "sockets",
            "logs",
            "shm",
            "ntp_signd",
            "msg.sock",
            "msg.lock",
            "samba.log",
            "chronyd.log",
            "provision.conf",
        ] {
            let path = self.folder.join(leftover);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn config(&self, services: Services, variation: &Variation) -> String {
        let domain = &topology().domain;
        let mut more = match services {
            Services::All => String::new(),
            Services::Lean => "server services = -dnsupdate, -kcc\n".to_owned(),
        };
        for (name, value) in &variation.options {
            _ = writeln!(more, "\t{name} = {value}");
        }
        include_str!("../samba/smb.conf")
            .replace("HOST", &self.node.name.to_uppercase())
            .replace("REALM", &domain.name.to_uppercase())
            .replace("NETBIOS", &domain.netbios)
            .replace("ADDRESS", &self.address.to_string())
            .replace("MORE", &more)
            .replace("DOMAIN", &domain.name)
            .replace("DIR", &self.folder.display().to_string())
    }

    fn log(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.log"))
    }

    fn log_tail(&self, program: &str) -> String {
        let log = fs::read_to_string(self.log(program)).unwrap_or_default();
        format!("; the end of its log:\n{}", tool::tail(&log, 15))
    }

    /// Its namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.addr()
    }
}

pub(crate) fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}

/// Takes note of programs that have ended.
pub(crate) fn reap(programs: Vec<Child>) {
    for mut program in programs {
        // One that was ended by somebody else has no more to say.
        drop(program.wait());
    }
}
