//! A lab, a controller, and probes in the VLANs: what most suites start from.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use sekisho_lab::{Lab, Options};
use sekisho_model::{Matrix, SweepSummary};

use crate::{Controller, Probe, Programs, wait_for};

const CONFIG: &str = "config.toml";

/// Everything of one test. Fields are dropped in this order.
#[derive(Debug)]
pub struct World {
    /// The probes that were enrolled.
    pub probes: Vec<Probe>,
    /// The controller.
    pub controller: Controller,
    /// The lab.
    pub lab: Lab,
    programs: Arc<Programs>,
    folder: tempfile::TempDir,
}

impl World {
    /// A lab of that name and a controller with its own database and the lab's inventory.
    ///
    /// # Errors
    /// What is missing.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::with(name, "", &[])
    }

    /// The same, with a configuration file and further arguments of `serve`.
    ///
    /// # Errors
    /// What is missing.
    pub fn with(name: &str, config: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let programs = Arc::new(Programs::new()?);
        let folder = folder()?;
        let lab = Lab::up(&Options::named(format!("t-{name}-{}", std::process::id())))?;
        let file = folder.path().join(CONFIG);
        fs::write(&file, config)?;
        let mut all = vec!["--config", file.to_str().context("a temporary folder with a strange name")?];
        all.extend(arguments);
        let controller = Controller::start(programs.clone(), &folder.path().join("controller"), &all)?;
        let world = Self { probes: Vec::new(), controller, lab, programs, folder };
        world.apply(sekisho_lab::inventory())?;
        Ok(world)
    }

    /// Applies an inventory.
    ///
    /// # Errors
    /// It is refused.
    pub fn apply(&self, inventory: &str) -> anyhow::Result<String> {
        let file = self.folder.path().join("inventory.toml");
        fs::write(&file, inventory)?;
        self.controller.ok(&["apply", &file.to_string_lossy()])
    }

    /// Where a controller is reached from the VLANs.
    #[must_use]
    pub fn address(&self, controller: &Controller) -> String {
        format!("https://{}:{}", self.lab.controller_address(), controller.fleet_port)
    }

    /// A folder for a further probe or controller.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Enrols and starts a probe in a VLAN.
    ///
    /// # Errors
    /// It is refused.
    pub fn probe(&mut self, vantage: &str, allow: &[&str]) -> anyhow::Result<()> {
        let probe = self.probe_at(&self.controller, vantage, allow)?;
        self.probes.push(probe);
        Ok(())
    }

    /// Enrols and starts a probe at a controller.
    ///
    /// # Errors
    /// It is refused.
    pub fn probe_at(&self, controller: &Controller, vantage: &str, allow: &[&str]) -> anyhow::Result<Probe> {
        self.probe_of(&[controller], vantage, allow)
    }

    /// Enrols and starts a probe that knows several controllers, in the order in which it tries them.
    ///
    /// # Errors
    /// It is refused by the first one.
    pub fn probe_of(
        &self,
        controllers: &[&Controller],
        vantage: &str,
        allow: &[&str],
    ) -> anyhow::Result<Probe> {
        let first = controllers.first().context("a probe needs a controller")?;
        let token = first.ok(&["probe", "token", "--vantage", vantage])?;
        let state = self.folder.path().join(format!("probe-{}-{vantage}", self.probes.len()));
        let addresses: Vec<String> = controllers.iter().map(|controller| self.address(controller)).collect();
        let mut probe =
            Probe::enrol(self.programs.clone(), &self.lab, vantage, &state, &addresses, &token, allow)?;
        probe.run(&self.lab)?;
        Ok(probe)
    }

    /// Another controller with the same configuration, on a database that is named.
    ///
    /// # Errors
    /// It does not come to serve.
    pub fn further_controller(&self, name: &str, database: &str) -> anyhow::Result<Controller> {
        let file = self.path(CONFIG);
        self.further_controller_with(name, &["--config", &file.to_string_lossy(), "--database-url", database])
    }

    /// Another controller, with these arguments of `serve`.
    ///
    /// # Errors
    /// It does not come to serve.
    pub fn further_controller_with(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Controller> {
        Controller::start(self.programs.clone(), &self.path(name), arguments)
    }

    /// Runs a sweep to its end and gives its summary.
    ///
    /// # Errors
    /// It does not end.
    pub fn sweep(&self, arguments: &[&str]) -> anyhow::Result<SweepSummary> {
        let mut all = vec!["sweep", "run", "--wait", "--format", "json"];
        all.extend(arguments);
        let output = self.controller.cli(&all)?;
        let matrix: Matrix = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("sweep: {}", String::from_utf8_lossy(&output.stderr)))?;
        matrix.sweep.context("a matrix without its sweep")
    }

    /// Waits until that many probes are online.
    ///
    /// # Errors
    /// They do not come.
    pub fn online(&self, probes: usize) -> anyhow::Result<()> {
        self.count("online", probes)
    }

    /// Waits until that many probes have a status of `probe list`.
    ///
    /// # Errors
    /// They do not come to have it.
    pub fn count(&self, status: &str, probes: usize) -> anyhow::Result<()> {
        wait_for(&format!("{probes} probes {status}"), Duration::from_secs(60), || {
            let list = self.controller.ok(&["probe", "list", "--format", "json"])?;
            let list: serde_json::Value = serde_json::from_str(&list)?;
            let list = list.as_array().context("probe list is not a list")?;
            let count = list.iter().filter(|probe| probe["status"] == status).count();
            Ok((count == probes).then_some(()))
        })
    }
}

/// A folder that everybody may enter: controllers and probes run as other users.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("sekisho-world-").tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(folder)
}
