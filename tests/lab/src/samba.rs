//! The domain controller: a Samba that is provisioned once and unpacked for each lab.

use std::{
    fs::{self, File},
    io::ErrorKind,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use ipnet::Ipv4Net;
use nix::sys::signal::Signal;

use crate::{guard, namespace, ready, tool, topology::topology, ui};

/// Raised when the steps below change what a provisioned folder holds.
const RECIPE: u32 = 2;

/// How long Samba may take to answer. On an idle machine it needs three seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Folders that parts of Samba use whatever the configuration says: the first for the socket of winbindd, the second for
/// the logs of its RPC helpers. Beside each, the folder of the lab that covers it.
const COVERED: [(&str, &str); 2] = [("sockets", "/run/samba"), ("logs", "/var/log/samba")];

/// Covers each second folder with the one before it, up to the dashes, then becomes the command that follows. Nobody
/// else sees it: `ip netns exec` gives each command its own view of the mounts.
const COVER: &str =
    r#"while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@""#;

/// What makes this domain controller this one.
#[derive(Debug)]
pub(crate) struct DomainController {
    host: String,
    address: Ipv4Net,
    namespace: String,
    folder: PathBuf,
}

/// Which of Samba's background services run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Services {
    /// All, so that the domain is complete when it goes into the cache.
    All,
    /// Without those that only maintain what the cache already holds: they start Python, which takes seconds.
    Lean,
}

impl DomainController {
    /// The domain controller of a lab, with its folder.
    pub(crate) fn of(lab: &str, folder: &Path) -> anyhow::Result<Self> {
        let node = topology().domain_controller().context("topology.toml has no domain controller")?;
        let end = topology().ends(&node.name).next().context("the domain controller has no link")?;
        Ok(Self {
            host: node.name.clone(),
            address: end.address,
            namespace: namespace::name(lab, &node.name),
            folder: folder.join("samba"),
        })
    }

    /// Starts it, and gives the process. It does not wait until it answers.
    pub(crate) fn start(&self, cache: &Path) -> anyhow::Result<Child> {
        let archive = cache.join(self.key()?);
        if !self.unpack(&archive)? {
            self.provision(&archive)?;
        }
        self.launch(Services::Lean)
    }

    /// Waits until it answers, or is dead.
    pub(crate) fn wait(&self, samba: &mut Child) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        namespace::within(&self.namespace, || {
            loop {
                let Err(missing) = ready::domain_controller(self.address.addr(), &topology().domain.name)
                else {
                    return Ok(());
                };
                if let Some(status) = samba.try_wait().context("wait for samba")? {
                    bail!(
                        "samba ended ({status}) before it answered; the end of its log:\n{}",
                        self.log_tail()
                    );
                }
                if Instant::now() > deadline {
                    bail!(
                        "{missing:#}: samba did not get there in {} s; the end of its log:\n{}",
                        PATIENCE.as_secs(),
                        self.log_tail()
                    );
                }
                std::thread::sleep(Duration::from_millis(30));
            }
        })
    }

    /// Name of the cache file: whatever changes the content is in it.
    fn key(&self) -> anyhow::Result<String> {
        let version = tool::run(tool::command("samba")?.arg("--version"))?;
        let version =
            version.trim().trim_start_matches("Version ").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let domain = &topology().domain;
        Ok(format!(
            "samba-{version}_{}_{}_{}_recipe-{RECIPE}.tar.gz",
            domain.name,
            self.host,
            self.address.addr()
        ))
    }

    /// Unpacks what an earlier lab provisioned. False where there is none, or none that is whole.
    fn unpack(&self, archive: &Path) -> anyhow::Result<bool> {
        if !archive.exists() {
            return Ok(false);
        }
        create(&self.folder)?;
        let unpacked = self.tar(&["--extract", "--gzip"], archive);
        if let Err(error) = unpacked {
            ui::note(&format!("the cached domain controller is damaged and is made anew: {error:#}"));
            remove_file(archive)?;
            fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Makes a domain, lets it settle, and puts it into the cache.
    fn provision(&self, archive: &Path) -> anyhow::Result<()> {
        let cache = archive.parent().context("the cache has no folder")?;
        // One at a time: another lab may be at it, and then its work serves both.
        let _hold = guard::hold(cache)?;
        if self.unpack(archive)? {
            return Ok(());
        }
        ui::note("provisioning the domain controller; this takes some seconds, once");
        create(&self.folder)?;
        let domain = &topology().domain;
        let empty = self.folder.join("provision.conf");
        fs::write(&empty, "[global]\n").with_context(|| format!("write {}", empty.display()))?;
        let provision = [
            "samba-tool".to_owned(),
            "domain".to_owned(),
            "provision".to_owned(),
            format!("--configfile={}", empty.display()),
            format!("--targetdir={}", self.folder.display()),
            format!("--realm={}", domain.name.to_uppercase()),
            format!("--domain={}", domain.netbios),
            format!("--host-name={}", self.host),
            format!("--host-ip={}", self.address.addr()),
            format!("--adminpass={}", domain.administrator_password),
            "--server-role=dc".to_owned(),
            "--dns-backend=SAMBA_INTERNAL".to_owned(),
            format!("--option=interfaces={} lo", self.address),
            "--option=bind interfaces only=yes".to_owned(),
            format!("--option=pid directory={}/run", self.folder.display()),
            format!("--option=ncalrpc dir={}/ncalrpc", self.folder.display()),
            format!("--option=log file={}/log.%m", self.folder.display()),
        ];
        tool::run(&namespace::command(&self.namespace, None, provision)?).context("provision the domain")?;
        self.settle()?;
        self.store(archive)
    }

    /// The first start makes certificates and registers names. Nothing of it is left to later starts.
    fn settle(&self) -> anyhow::Result<()> {
        let mut samba = self.launch(Services::All)?;
        self.wait(&mut samba)?;
        let certificate = self.folder.join("private/tls/cert.pem");
        let deadline = Instant::now() + PATIENCE;
        while !certificate.exists() {
            if Instant::now() > deadline {
                bail!("samba made no TLS certificate; the end of its log:\n{}", self.log_tail());
            }
            std::thread::sleep(Duration::from_millis(30));
        }
        let everything = || namespace::processes(std::slice::from_ref(&self.namespace));
        namespace::signal(&everything()?, Signal::SIGTERM);
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let reaped = samba.try_wait().context("wait for samba")?.is_some();
            let running = everything()?;
            if running.is_empty() && reaped {
                return Ok(());
            }
            if Instant::now() > deadline {
                // Its databases survive this: they write in transactions.
                namespace::signal(&running, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Puts the folder into the cache: whole, or not at all.
    fn store(&self, archive: &Path) -> anyhow::Result<()> {
        for leftover in [
            "run",
            "ncalrpc",
            "sockets",
            "logs",
            "ntp_signd",
            "msg.sock",
            "msg.lock",
            "samba.log",
            "provision.conf",
        ] {
            let path = self.folder.join(leftover);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { remove_if_there(&path) };
            removed.with_context(|| format!("remove {}", path.display()))?;
        }
        let draft = archive.with_extension(format!("{}.draft", std::process::id()));
        self.tar(&["--create", "--gzip"], &draft).context("put the domain controller into the cache")?;
        fs::rename(&draft, archive).with_context(|| format!("write {}", archive.display()))
    }

    /// Inside the namespace, so that it dies with the lab. Attributes hold the access rights of SYSVOL.
    fn tar(&self, what: &[&str], archive: &Path) -> anyhow::Result<()> {
        namespace::within(&self.namespace, || {
            let mut command = tool::command("tar")?;
            command.args(what).args(["--xattrs", "--xattrs-include=*", "--acls", "--file"]).arg(archive);
            command.arg("--directory").arg(&self.folder).arg(".");
            tool::run(&command).map(|_| ())
        })
    }

    fn launch(&self, services: Services) -> anyhow::Result<Child> {
        for folder in ["etc", "run", "ncalrpc", "cache", "state"] {
            create(&self.folder.join(folder))?;
        }
        let config = self.folder.join("etc/smb.conf");
        fs::write(&config, self.config(services)).with_context(|| format!("write {}", config.display()))?;
        let log = self.folder.join("samba.log");
        let log = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let mut samba = namespace::command(&self.namespace, None, ["sh", "-c", COVER, "sh"])?;
        for (own, covered) in COVERED {
            create(Path::new(covered))?;
            create(&self.folder.join(own))?;
            samba.arg(self.folder.join(own)).arg(covered);
        }
        samba.args(["--", "samba", "-i", "-M", "standard", "--debug-stdout", "-s"]).arg(&config);
        let mut detached = tool::command("setsid")?;
        detached.arg(samba.get_program()).args(samba.get_args());
        detached
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log of samba")?)
            .stderr(log)
            .spawn()
            .context("start samba")
    }

    fn config(&self, services: Services) -> String {
        let domain = &topology().domain;
        let services = match services {
            Services::All => "",
            Services::Lean => "server services = -dnsupdate, -kcc",
        };
        include_str!("../samba/smb.conf")
            .replace("HOST", &self.host.to_uppercase())
            .replace("REALM", &domain.name.to_uppercase())
            .replace("NETBIOS", &domain.netbios)
            .replace("ADDRESS", &self.address.to_string())
            .replace("SERVICES", services)
            .replace("DOMAIN", &domain.name)
            .replace("DIR", &self.folder.display().to_string())
    }

    fn log_tail(&self) -> String {
        tool::tail(&fs::read_to_string(self.folder.join("samba.log")).unwrap_or_default(), 15)
    }

    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address.addr()
    }
}

fn create(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))
}

fn remove_file(path: &Path) -> anyhow::Result<()> {
    remove_if_there(path).with_context(|| format!("remove {}", path.display()))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
