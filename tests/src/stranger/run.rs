//! A run of the probe among strangers: what came of it, how long it took, and how much memory.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sekisho_model::Matrix;

use crate::{Programs, wait_for};

/// Runs that have not ended after this long are ended: whatever they wait for has no end.
const LONGEST: Duration = Duration::from_secs(120);

/// A run of `sekisho-probe check` that is to come.
#[derive(Debug, Default)]
pub struct Run {
    arguments: Vec<String>,
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// What it found.
    pub matrix: Matrix,
    /// How long it took.
    pub took: Duration,
    /// The most memory that it had at once, octets (`VmHWM`).
    pub peak: u64,
    /// What it said besides.
    pub stderr: String,
}

impl Run {
    /// With these arguments.
    #[must_use]
    pub fn of(arguments: impl IntoIterator<Item = impl ToString>) -> Self {
        Self { arguments: arguments.into_iter().map(|argument| argument.to_string()).collect() }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end, ends without a result, or says that something ended abnormally.
    pub fn finish(self, programs: &Programs) -> anyhow::Result<Ended> {
        let folder = tempfile::tempdir()?;
        let (out, err) = (folder.path().join("out"), folder.path().join("err"));
        let began = Instant::now();
        let mut child = Command::new(programs.path("sekisho-probe"))
            .arg("check")
            .args(&self.arguments)
            .args(["--format", "json"])
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let ended = wait_for("the end of a check", LONGEST, || {
            peak = peak.max(high_water(&status));
            Ok(child.try_wait()?)
        });
        let took = began.elapsed();
        let stderr = fs::read_to_string(&err)?;
        if let Err(error) = ended {
            child.kill()?;
            child.wait()?;
            return Err(error.context(stderr));
        }
        if ["abnormally", "panicked"].iter().any(|word| stderr.contains(word)) {
            bail!("{:?}: {stderr}", self.arguments);
        }
        let matrix = serde_json::from_slice(&fs::read(&out)?)
            .with_context(|| format!("{:?} gave no result: {stderr}", self.arguments))?;
        Ok(Ended { matrix, took, peak, stderr })
    }
}

/// The most resident memory so far, octets; 0 once the process has ended.
fn high_water(status: &str) -> u64 {
    let text = fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.unwrap_or(0_u64) * 1024
}
