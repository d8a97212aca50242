//! The domain controllers of a lab: made once, kept in the cache, unpacked for each lab.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Child,
    time::Instant,
};

use anyhow::{Context, bail};

use crate::{
    guard, namespace,
    samba::{self, DomainController, Services, Variation},
    state, tool,
    topology::{Kind, Link, Node, topology},
    ui,
};

/// Raised when the steps below change what the cache holds.
const RECIPE: u32 = 5;

/// How domain controllers differ from sound ones, by node.
pub(crate) type Variations = BTreeMap<String, Variation>;

/// The domain controllers that are up at the same time.
#[derive(Debug)]
pub(crate) struct Domain {
    folder: PathBuf,
    controllers: Vec<DomainController>,
}

/// A domain controller that was started.
pub(crate) type Running = Vec<Child>;

impl Domain {
    /// The domain of the topology, and the domain controllers among these nodes, which join it.
    pub(crate) fn of(lab: &str, nodes: &'static [Node], links: &'static [Link]) -> anyhow::Result<Self> {
        let folder = state::folder(lab).join("samba");
        let all = topology().nodes.iter().chain(nodes).filter(|node| node.kind == Kind::DomainController);
        let controller = |node: &'static Node| {
            let mut ends = topology().links.iter().chain(links).flat_map(|link| [&link.a, &link.b]);
            let end = ends.find(|end| end.node == node.name).context("a domain controller without a link")?;
            Ok(DomainController::new(lab, &folder, node, end.address))
        };
        let controllers = all.map(controller).collect::<anyhow::Result<_>>()?;
        Ok(Self { folder, controllers })
    }

    /// Starts it. It does not wait until it answers.
    pub(crate) fn start(&self, cache: &Path, variations: &Variations) -> anyhow::Result<Vec<Running>> {
        let archive = cache.join(self.key()?);
        if !self.unpack(&archive)? {
            self.make(cache, &archive)?;
        }
        self.launch(variations)
    }

    /// Starts what is unpacked.
    pub(crate) fn launch(&self, variations: &Variations) -> anyhow::Result<Vec<Running>> {
        let sound = Variation::default();
        let one = |dc: &DomainController| {
            dc.launch(Services::Lean, variations.get(&dc.node.name).unwrap_or(&sound))
        };
        self.controllers.iter().map(one).collect()
    }

    /// Waits until all answer, or one is dead.
    pub(crate) fn wait(&self, running: &mut [Running]) -> anyhow::Result<()> {
        self.controllers.iter().zip(running).try_for_each(|(dc, programs)| {
            dc.wait(programs).with_context(|| format!("domain controller {}", dc.address()))
        })
    }

    /// Ends all programs of its domain controllers.
    pub(crate) fn stop(&self) -> anyhow::Result<()> {
        self.controllers.iter().try_for_each(DomainController::stop)
    }

    /// Name of the cache file: whatever changes the content is in it.
    fn key(&self) -> anyhow::Result<String> {
        let version = tool::run(tool::command("samba")?.arg("--version"))?;
        let version =
            version.trim().trim_start_matches("Version ").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let host = |dc: &DomainController| format!("{}_{}", dc.node.name, dc.address());
        let hosts: Vec<String> = self.controllers.iter().map(host).collect();
        Ok(format!("samba-{version}_{}_{}_recipe-{RECIPE}.tar.gz", topology().domain.name, hosts.join("_")))
    }

    /// Unpacks what an earlier lab made, in place of what is there. False where there is none, or none that is whole.
    fn unpack(&self, archive: &Path) -> anyhow::Result<bool> {
        self.empty()?;
        if !archive.exists() {
            return Ok(false);
        }
        if let Err(error) = self.tar(&["--extract", "--gzip"], archive) {
            ui::note(&format!("the cached domain controller is damaged and is made anew: {error:#}"));
            fs::remove_file(archive).with_context(|| format!("remove {}", archive.display()))?;
            self.empty()?;
            return Ok(false);
        }
        Ok(true)
    }

    fn empty(&self) -> anyhow::Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {}", self.folder.display()))
            }
            _ => samba::create(&self.folder),
        }
    }

    /// Makes the domain, lets it settle, and puts it into the cache.
    fn make(&self, cache: &Path, archive: &Path) -> anyhow::Result<()> {
        // One at a time: another lab may be at it, and then its work serves both.
        let _hold = guard::hold(cache)?;
        if self.unpack(archive)? {
            return Ok(());
        }
        ui::note("provisioning the domain controller; this takes some seconds, once");
        let mut running = Vec::new();
        for (place, dc) in self.controllers.iter().enumerate() {
            if place == 0 {
                dc.provision()?
            } else {
                dc.join()?
            }
            // The first start makes certificates and registers names. Nothing of it is left to later starts.
            let mut programs = dc.launch(Services::All, &Variation::default())?;
            let answers = dc.wait(&mut programs);
            running.extend(programs);
            answers?;
        }
        self.controllers.iter().try_for_each(|dc| self.settle(dc))?;
        let first = self.first()?;
        self.controllers.iter().skip(1).try_for_each(|dc| dc.replicate(first))?;
        self.stop()?;
        samba::reap(running);
        self.store(archive)
    }

    /// Namespace and address of the first one.
    pub(crate) fn first_at(&self) -> anyhow::Result<(&str, Ipv4Addr)> {
        self.first().map(|dc| (dc.namespace(), dc.address()))
    }

    fn first(&self) -> anyhow::Result<&DomainController> {
        self.controllers.first().context("topology.toml has no domain controller")
    }

    fn settle(&self, dc: &DomainController) -> anyhow::Result<()> {
        let deadline = Instant::now() + samba::PATIENCE;
        while let Err(missing) = dc.is_settled().and_then(|()| dc.register()) {
            if Instant::now() > deadline {
                bail!("{missing:#}");
            }
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
        Ok(())
    }

    /// Puts the folder into the cache: whole, or not at all.
    fn store(&self, archive: &Path) -> anyhow::Result<()> {
        self.controllers.iter().try_for_each(DomainController::clear)?;
        let draft = archive.with_extension(format!("{}.draft", std::process::id()));
        self.tar(&["--create", "--gzip"], &draft).context("put the domain controller into the cache")?;
        fs::rename(&draft, archive).with_context(|| format!("write {}", archive.display()))
    }

    /// Inside the namespace, so that it dies with the lab. Attributes hold the access rights of SYSVOL.
    fn tar(&self, what: &[&str], archive: &Path) -> anyhow::Result<()> {
        namespace::within(self.first()?.namespace(), || {
            let mut command = tool::command("tar")?;
            command.args(what).args(["--xattrs", "--xattrs-include=*", "--acls", "--file"]).arg(archive);
            command.arg("--directory").arg(&self.folder).arg(".");
            tool::run(&command).map(|_| ())
        })
    }
}
