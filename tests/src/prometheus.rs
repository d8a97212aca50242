//! A real Prometheus.

use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};

use crate::wait_for;

/// A Prometheus with a configuration, gone with this value.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    url: String,
}

impl Prometheus {
    /// Starts it in a folder of its own, which holds `prometheus.yml`.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        // It cannot be asked which port it got: nobody else takes this one in the moment between.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = folder.join("prometheus.log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .context("cannot start prometheus: install the package prometheus")?;
        let mut prometheus = Self { child, url: format!("http://127.0.0.1:{port}") };
        wait_for("Prometheus", Duration::from_secs(30), || {
            if let Some(status) = prometheus.child.try_wait()? {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                anyhow::bail!("it ended with {status}: {said}");
            }
            prometheus.query("vector(1)").map(Some)
        })?;
        Ok(prometheus)
    }

    /// What an expression gives at the moment: the samples.
    ///
    /// # Errors
    /// What promtool says.
    pub fn query(&self, expression: &str) -> anyhow::Result<Vec<serde_json::Value>> {
        let said = promtool(&["query", "instant", "-o", "json", &self.url, expression])?;
        let found: serde_json::Value = serde_json::from_str(&said)?;
        Ok(found.as_array().cloned().unwrap_or_default())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // The test is over: whether it still ran says nothing more.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs promtool, which must be content. Gives what it says.
///
/// # Errors
/// What it does not like.
pub fn promtool(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .context("cannot run promtool: install the package prometheus")?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "promtool {arguments:?}: {}\n{out}{err}", output.status);
    Ok(out.into_owned())
}

/// What promtool says against a text of numbers; empty: nothing.
///
/// # Errors
/// It cannot be run.
pub fn complaints(numbers: &Path) -> anyhow::Result<String> {
    let output = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(File::open(numbers)?)
        .output()
        .context("cannot run promtool: install the package prometheus")?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success() || !said.is_empty(), "promtool check metrics: {}", output.status);
    Ok(said)
}
