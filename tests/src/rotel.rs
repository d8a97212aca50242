//! Rotel, an OpenTelemetry collector that has nothing to do with how spans are written here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;

use crate::wait_for;

/// A span, as the collector understood it. Numbers are in hexadecimal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Number of its trace.
    pub trace: String,
    /// Its number.
    pub id: String,
    /// Number of the span that it comes under, or empty.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// `SPAN_KIND_SERVER` and the like.
    pub kind: String,
    /// `STATUS_CODE_ERROR` and the like, or empty.
    pub status: String,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Its attributes, as texts.
    pub attributes: BTreeMap<String, String>,
    /// Those of the program that made it.
    pub resource: BTreeMap<String, String>,
}

impl Collected {
    /// An attribute, or nothing.
    #[must_use]
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// An attribute that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<i64> {
        self.attribute(name).parse().ok()
    }
}

/// A collector that takes spans by OTLP over HTTP, gone with this value.
#[derive(Debug)]
pub struct Rotel {
    program: PathBuf,
    folder: PathBuf,
    /// Where it takes spans.
    pub port: u16,
    child: Option<Child>,
    starts: u32,
}

impl Rotel {
    /// The one that tests/run.sh installs, or the one whose folder `SEKISHO_ROTEL` names. It does not run yet.
    ///
    /// # Errors
    /// It is not there.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let venv =
            std::env::var_os("SEKISHO_ROTEL").map_or_else(|| repository.join("target/rotel"), PathBuf::from);
        let program = program(&venv).with_context(|| {
            format!(
                "Rotel is missing: install it with `tests/run.sh e2e`, or `python3 -m venv {1} && {1}/bin/pip install -r {0}`",
                repository.join("tests/python/rotel.txt").display(),
                venv.display()
            )
        })?;
        Ok(Self { program, folder: folder.to_owned(), port: free_port()?, child: None, starts: 0 })
    }

    /// Starts it.
    ///
    /// # Errors
    /// It does not take spans in time.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let log = self.log(self.starts);
        let child = Command::new(&self.program)
            .args([
                "start",
                "--exporter",
                "blackhole",
                "--debug-log",
                "traces",
                "--debug-log-verbosity",
                "detailed",
            ])
            .args(["--otlp-http-endpoint", &format!("127.0.0.1:{}", self.port)])
            .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", free_port()?)])
            .arg("--pid-file")
            .arg(self.folder.join("rotel.pid"))
            .arg("--log-file")
            .arg(self.folder.join("rotel.log"))
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        wait_for("the collector", Duration::from_secs(30), || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().transpose()) {
                anyhow::bail!("it ended with {status:?}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            Ok(TcpStream::connect(("127.0.0.1", self.port)).ok())
        })?;
        Ok(())
    }

    /// Ends it at once. What it took stays known.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.child.take().context("the collector does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    fn log(&self, start: u32) -> PathBuf {
        self.folder.join(format!("rotel.{start}.out"))
    }

    /// Every span that it took, in all of its lives.
    ///
    /// # Errors
    /// What it wrote cannot be read.
    pub fn spans(&self) -> anyhow::Result<Vec<Collected>> {
        let mut spans = Vec::new();
        for start in 1..=self.starts {
            spans.extend(read(&fs::read_to_string(self.log(start))?));
        }
        Ok(spans)
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        if self.child.is_some() {
            // The test is over: whether it still ran says nothing more.
            self.kill().ok();
        }
    }
}

/// The program in a folder of Python's.
fn program(venv: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).ok()?;
    let places = versions.flatten().map(|version| version.path().join("site-packages/rotel/rotel-agent"));
    places.into_iter().find(|program| program.exists())
}

/// Nobody else takes it in the moment between.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// What the collector writes about spans. A span that is not written to its end is left out.
fn read(log: &str) -> Vec<Collected> {
    let mut spans: Vec<Collected> = Vec::new();
    let mut resource = BTreeMap::new();
    let mut is_span = false;
    for line in log.lines() {
        let line = line.trim();
        if line.starts_with("ResourceSpans #") {
            (resource, is_span) = (BTreeMap::new(), false);
        } else if line.starts_with("Span #") {
            is_span = true;
            spans.push(Collected { resource: resource.clone(), ..Collected::default() });
        } else if let Some((key, value)) = line.strip_prefix("-> ").and_then(|line| line.split_once(": ")) {
            let value = value.split_once('(').and_then(|(_, value)| value.strip_suffix(')')).unwrap_or(value);
            let attributes = match spans.last_mut().filter(|_| is_span) {
                Some(span) => &mut span.attributes,
                None => &mut resource,
            };
            attributes.insert(key.to_owned(), value.to_owned());
        } else if let Some((key, value)) = line.split_once(':')
            && let Some(span) = spans.last_mut().filter(|_| is_span)
        {
            field(span, key.trim(), value.trim());
        }
    }
    // The newest one may be half written: its attributes come last.
    if !log.ends_with('\n') {
        spans.pop();
    }
    spans
}

fn field(span: &mut Collected, key: &str, value: &str) {
    match key {
        "Trace ID" => value.clone_into(&mut span.trace),
        "Parent ID" => value.clone_into(&mut span.parent),
        "ID" => value.clone_into(&mut span.id),
        "Name" => value.clone_into(&mut span.name),
        "Kind" => value.clone_into(&mut span.kind),
        "Status code" => value.clone_into(&mut span.status),
        "Start time" => span.start = value.parse().unwrap_or(0),
        "End time" => span.end = value.parse().unwrap_or(0),
        _ => {}
    }
}
