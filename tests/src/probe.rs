//! A probe in a VLAN of the lab.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sekisho_lab::Lab;

use crate::Programs;

/// A `sekisho-probe run` as user nobody without capabilities.
#[derive(Debug)]
pub struct Probe {
    programs: Arc<Programs>,
    /// The VLAN, which is also the name of the vantage.
    pub vantage: String,
    state: PathBuf,
    child: Option<Child>,
}

impl Probe {
    /// Enrols a probe with a token. It does not run yet.
    ///
    /// # Errors
    /// The enrolment is refused.
    pub fn enrol(
        programs: Arc<Programs>,
        lab: &Lab,
        vantage: &str,
        state: &Path,
        controllers: &[String],
        token: &str,
        allow: &[&str],
    ) -> anyhow::Result<Self> {
        fs::create_dir(state)?;
        let nobody = nix::unistd::User::from_name("nobody")?.context("there is no user nobody")?;
        std::os::unix::fs::chown(state, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw()))?;
        let probe = Self { programs, vantage: vantage.to_owned(), state: state.to_owned(), child: None };
        let mut arguments = vec!["enroll", "--token", token];
        for controller in controllers {
            arguments.extend(["--controller", controller]);
        }
        for rule in allow {
            arguments.extend(["--allow", rule]);
        }
        let output = probe.command(lab, &arguments)?.output()?;
        ensure!(output.status.success(), "enroll in {vantage}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(probe)
    }

    fn command(&self, lab: &Lab, arguments: &[&str]) -> anyhow::Result<Command> {
        let program = self.programs.path("sekisho-probe");
        let mut argv = vec![program.into_os_string()];
        argv.extend(arguments.iter().map(Into::into));
        argv.extend(["--state-dir".into(), self.state.clone().into_os_string()]);
        lab.exec_as("nobody", &self.vantage, argv)
    }

    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn run(&mut self, lab: &Lab) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log_file())?;
        let mut command = self.command(lab, &["run"])?;
        command.env("RUST_LOG", "info,sekisho_probe=debug");
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?);
        Ok(())
    }

    /// What a command of the probe's says of its state, as JSON.
    ///
    /// # Errors
    /// The command fails.
    pub fn ask(&self, lab: &Lab, command: &str) -> anyhow::Result<serde_json::Value> {
        let output = self.command(lab, &[command, "--format", "json"])?.output()?;
        ensure!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    fn log_file(&self) -> PathBuf {
        self.state.with_extension("log")
    }

    /// All that it logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Sends it a signal: `SIGSTOP` pauses it, `SIGCONT` lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("the probe does not run")?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    /// Whether the process runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the probe does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if self.child.is_some() {
            // The test is over: whether it still ran says nothing more.
            self.kill().ok();
        }
        if std::thread::panicking() {
            eprintln!("---- log of the probe in {}\n{}", self.vantage, self.log());
        }
    }
}
