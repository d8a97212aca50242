//! A controller under test and the directory that it runs in.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// A place for one data directory. The user that the controller becomes can enter it.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("sekisho-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = Self { dir };
        if !nix::unistd::geteuid().is_root() {
            return place;
        }
        // Root's own new directory is what `serve` hands over.
        fs::create_dir(place.data()).unwrap();
        place
    }

    /// With a name that has to be quoted wherever it is passed on.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("da,ta")
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        path
    }

    /// Process id of a PostgreSQL that lives on this data.
    pub(crate) fn postmaster(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data().join("postgres/data/postmaster.pid")).ok()?;
        let pid: i32 = text.lines().next()?.trim().parse().ok()?;
        let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A killed process that nobody has waited for is dead all the same.
        (!state.rsplit(')').next()?.trim_start().starts_with('Z')).then_some(pid)
    }

    /// The program with none of our settings.
    pub(crate) fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("LANG", "C.UTF-8");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// The program on this data directory.
    pub(crate) fn sekisho(&self) -> Command {
        let mut command = self.bare();
        command.env("SEKISHO_DATA_DIR", self.data());
        command
    }

    pub(crate) fn serve(&self, options: &[&str]) -> Command {
        let mut command = self.sekisho();
        command.args(["serve", "--fleet-listen", "127.0.0.1:0", "--web-listen", "127.0.0.1:0"]).args(options);
        command
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Only a failed test leaves one.
        if let Some(pid) = self.postmaster() {
            kill(pid, Signal::SIGQUIT);
        }
    }
}

/// What a command did.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What a command that must fail says.
pub(crate) fn fails(command: &mut Command) -> String {
    let done = done(command);
    assert_eq!(done.code, 1, "{command:?}: {}{}", done.stdout, done.stderr);
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    done.stderr
}

/// A controller that serves.
pub(crate) struct Controller<'a> {
    place: &'a Place,
    child: Child,
    ready: String,
    log: Option<JoinHandle<String>>,
}

impl<'a> Controller<'a> {
    pub(crate) fn start(place: &'a Place, options: &[&str]) -> Self {
        let mut child = place.serve(options).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            stderr.read_to_string(&mut log).unwrap();
            log
        });
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        if !ready.starts_with("ready fleet=") {
            child.kill().ok();
            child.wait().unwrap();
            panic!("no ready line but {ready:?}: {}", log.join().unwrap());
        }
        Self { place, child, ready, log: Some(log) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn word(&self, name: &str) -> &str {
        self.ready.split_whitespace().find_map(|word| word.strip_prefix(name)).unwrap()
    }

    pub(crate) fn fleet(&self) -> &str {
        self.word("fleet=")
    }

    pub(crate) fn command(&self, words: &[&str]) -> Done {
        done(self.place.sekisho().args(words))
    }

    /// A command that must succeed.
    pub(crate) fn run(&self, words: &[&str]) -> Done {
        let done = self.command(words);
        assert_eq!(done.code, 0, "{words:?}: {}{}", done.stdout, done.stderr);
        done
    }

    /// A command that must fail: what it says.
    pub(crate) fn fails(&self, words: &[&str]) -> String {
        fails(self.place.sekisho().args(words))
    }

    /// What a listener of the ready line answers.
    pub(crate) fn ask(&self, listener: &str, question: &str) -> String {
        let mut stream = TcpStream::connect(self.word(listener)).unwrap();
        stream.write_all(format!("{question}host: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ask("web=", "GET /readyz HTTP/1.1\r\n").starts_with("HTTP/1.1 200 ")
    }

    /// Ends it as an operator does, and returns its log, which must tell of no error.
    pub(crate) fn stop(self) -> String {
        let log = self.stop_after_faults();
        assert!(!log.contains("ERROR"), "{log}");
        log
    }

    /// The same after a test that made errors on purpose.
    pub(crate) fn stop_after_faults(mut self) -> String {
        self.end(Signal::SIGTERM)
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(mut self) {
        self.end(Signal::SIGKILL);
    }

    fn end(&mut self, how: Signal) -> String {
        let Some(log) = self.log.take() else { return String::new() };
        kill(i32::try_from(self.child.id()).unwrap(), how);
        let began = Instant::now();
        let status = self.child.wait().unwrap();
        let log = log.join().unwrap();
        if how == Signal::SIGTERM && !std::thread::panicking() {
            assert!(status.success(), "{status}: {log}");
            assert!(began.elapsed() < Duration::from_secs(15), "stopping took {:?}", began.elapsed());
            assert!(!log.contains("panicked"), "{log}");
        }
        log
    }
}

impl Drop for Controller<'_> {
    fn drop(&mut self) {
        self.end(Signal::SIGTERM);
    }
}

pub(crate) fn kill(pid: i32, how: Signal) {
    signal::kill(Pid::from_raw(pid), how).unwrap();
}

/// Waits until it holds, and fails after a minute.
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
