//! A controller as a process, and its command line.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sekisho_model::Matrix;

use crate::{Programs, postgres, wait_for};

/// A `sekisho serve`.
#[derive(Debug)]
pub struct Controller {
    programs: Arc<Programs>,
    data: PathBuf,
    arguments: Vec<String>,
    /// Port of the fleet listener; the same after a restart.
    pub fleet_port: u16,
    web_port: u16,
    /// Port of the listener for numbers, where there is one.
    pub metrics_port: Option<u16>,
    child: Option<Child>,
    starts: u32,
}

impl Controller {
    /// Starts a controller in a data directory, with further arguments of `serve`.
    ///
    /// # Errors
    /// It does not come to serve.
    pub fn start(programs: Arc<Programs>, data: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let data = data.to_owned();
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut controller = Self {
            programs,
            data,
            arguments,
            fleet_port: 0,
            web_port: 0,
            metrics_port: None,
            child: None,
            starts: 0,
        };
        controller.restart()?;
        Ok(controller)
    }

    /// Starts it again after it ended, on the same ports.
    ///
    /// # Errors
    /// It does not come to serve.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.begin()?;
        self.ready()
    }

    /// Starts it again, without waiting for it to serve.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let mut command = self.programs.sekisho();
        command.arg("serve").arg("--data-dir").arg(&self.data);
        command.args(["--fleet-listen", &format!("0.0.0.0:{}", self.fleet_port)]);
        command.args(["--web-listen", &format!("127.0.0.1:{}", self.web_port)]);
        command.args(&self.arguments);
        let log = File::create(self.file("log"))?;
        let out = File::create(self.file("out"))?;
        self.child = Some(command.stdin(Stdio::null()).stdout(out).stderr(log).spawn()?);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// It ended, or does not come to serve.
    pub fn ready(&mut self) -> anyhow::Result<()> {
        let out = self.file("out");
        let ready = wait_for("the controller's ready line", Duration::from_secs(60), || {
            ensure!(self.runs(), "the controller ended: {}", self.log());
            let text = fs::read_to_string(&out)?;
            Ok(text.lines().find(|line| line.starts_with("ready ")).map(str::to_owned))
        })?;
        let port = |name: &str| -> anyhow::Result<u16> {
            let value = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
            let port = value.and_then(|address| address.rsplit(':').next()).and_then(|p| p.parse().ok());
            port.with_context(|| format!("no {name} in \"{ready}\""))
        };
        (self.fleet_port, self.web_port) = (port("fleet=")?, port("web=")?);
        self.metrics_port = port("metrics=").ok();
        Ok(())
    }

    /// Where operators connect, and the file with their token.
    #[must_use]
    pub fn web(&self) -> (String, PathBuf) {
        (format!("127.0.0.1:{}", self.web_port), self.data.join("admin.token"))
    }

    /// What it says of its own health: the answer of `/readyz`, with status line and headers.
    ///
    /// # Errors
    /// Nobody answers.
    pub fn readiness(&self) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.web_port))?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.data.with_extension(format!("{}.{kind}", self.starts))
    }

    /// What the process logged since its last start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Number of the process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// What the process logged in all of its starts.
    #[must_use]
    pub fn logs(&self) -> String {
        let file = |start| self.data.with_extension(format!("{start}.log"));
        (1..=self.starts).filter_map(|start| fs::read_to_string(file(start)).ok()).collect()
    }

    /// Whether the process runs.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends it a signal: `SIGSTOP` pauses it, `SIGCONT` lets it go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let child = self.child.as_ref().context("the controller does not run")?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the controller does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// `kill -9` of the controller's own PostgreSQL.
    ///
    /// # Errors
    /// It has none.
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        let file = self.data.join("postgres/data/postmaster.pid");
        let pid = fs::read_to_string(&file).with_context(|| format!("no {}", file.display()))?;
        let pid: i32 = pid.lines().next().context("an empty postmaster.pid")?.trim().parse()?;
        Ok(kill(Pid::from_raw(pid), Signal::SIGKILL)?)
    }

    /// Ends it as an operator would, and waits.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        wait_for("the end of the controller", Duration::from_secs(30), || Ok(child.try_wait()?)).map(drop)
    }

    /// Runs a command of the command line against it.
    ///
    /// # Errors
    /// It cannot be run. What it answers is in the output.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.programs.sekisho();
        command.arg("--data-dir").arg(&self.data).args(arguments).stdin(Stdio::null());
        command.output().with_context(|| format!("cannot run sekisho {arguments:?}"))
    }

    /// The same, for commands that are meant to succeed: gives the standard output.
    ///
    /// # Errors
    /// The command fails.
    pub fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.cli(arguments)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "sekisho {arguments:?}: {}\n{out}{err}", output.status);
        Ok(out.trim().to_owned())
    }

    /// The matrix of a sweep.
    ///
    /// # Errors
    /// There is none.
    pub fn matrix(&self, sweep: &str) -> anyhow::Result<Matrix> {
        let output = self.cli(&["matrix", "--sweep", sweep, "--format", "json"])?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("matrix: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// One value of the controller's own database.
    ///
    /// # Errors
    /// What psql says.
    pub fn query(&self, sql: &str) -> anyhow::Result<String> {
        postgres::query(&self.data.join("postgres/run").to_string_lossy(), "sekisho", sql)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("{error:#}");
        }
        if std::thread::panicking() {
            eprintln!("---- log of the controller\n{}", self.log());
        }
    }
}
