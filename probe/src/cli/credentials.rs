//! Credentials for the check `join-rights`. The password has no option: arguments can be read by everybody on this host.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, FromRawFd, OwnedFd, RawFd},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::Args as ClapArgs;
use nix::{
    libc,
    sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr},
};
use zeroize::Zeroizing;

use crate::vantage::{Credentials, LONGEST_PASSWORD, Pin, Trust};

/// The variable that may hold the password.
const VARIABLE: &str = "SEKISHO_JOIN_PASSWORD";
/// Ctrl-C, as a terminal writes it that sends no signal for it.
const INTERRUPT: u8 = 3;

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Rights to join")]
pub(super) struct JoinArgs {
    /// Check the rights of this account to join (user@domain, DOMAIN\user or user). Its password comes from --password-fd,
    /// from SEKISHO_JOIN_PASSWORD or from the terminal
    #[arg(long, value_name = "USER")]
    join_user: Option<String>,
    /// Read the password from this file descriptor, up to the first line end
    #[arg(long, value_name = "N", requires = "join_user", value_parser = clap::value_parser!(RawFd).range(0..))]
    password_fd: Option<RawFd>,
    /// Organizational unit for the computer, instead of the domain's default container
    #[arg(long, value_name = "DN", requires = "join_user")]
    join_ou: Option<String>,
    /// Trust domain controllers whose certificate an authority in this file (PEM) gave, instead of those of this system
    #[arg(long, value_name = "FILE", requires = "join_user")]
    ldap_ca: Option<PathBuf>,
    /// Trust the certificate with this SHA-256 (the fact certificate-sha256); may be repeated
    #[arg(long, value_name = "SHA256", requires = "join_user")]
    ldap_pin: Vec<Pin>,
}

impl JoinArgs {
    /// Whether an account was named.
    pub(super) fn are_given(&self) -> bool {
        self.join_user.is_some()
    }

    /// The credentials, where an account was named. May ask at the terminal.
    pub(super) fn credentials(&self) -> anyhow::Result<Option<Arc<Credentials>>> {
        let Some(user) = self.join_user.clone() else { return Ok(None) };
        let trust = Trust::new(self.ldap_ca.as_deref(), self.ldap_pin.clone())?;
        // Neither a core file nor a debugger of the same user is to have the password. Where the kernel refuses that,
        // everything else still holds.
        nix::sys::prctl::set_dumpable(false).ok();
        let password = self.password(&user)?;
        Ok(Some(Arc::new(Credentials::new(user, password, self.join_ou.clone(), trust)?)))
    }

    fn password(&self, user: &str) -> anyhow::Result<Zeroizing<String>> {
        if let Some(descriptor) = self.password_fd {
            return from_descriptor(descriptor)
                .with_context(|| format!("cannot read the password from file descriptor {descriptor}"));
        }
        if let Some(password) = std::env::var_os(VARIABLE) {
            let password = Zeroizing::new(password.into_encoded_bytes());
            return text(password).with_context(|| format!("cannot take the password from {VARIABLE}"));
        }
        prompt(user)
    }
}

fn from_descriptor(descriptor: RawFd) -> anyhow::Result<Zeroizing<String>> {
    #[allow(unsafe_code, reason = "a descriptor that the caller opened comes as a number")]
    // SAFETY: the kernel checks the number; what it gives is a descriptor that nobody else owns.
    let copy = unsafe {
        let copy = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 0);
        if copy < 0 {
            bail!(std::io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(copy)
    };
    line(&mut File::from(copy))
}

/// The first line, without its end.
fn line(from: &mut impl Read) -> anyhow::Result<Zeroizing<String>> {
    // Of its full size from the start: a vector that grows leaves its old octets behind.
    let mut octets = Zeroizing::new(vec![0; LONGEST_PASSWORD + 2]);
    let mut filled = 0;
    while let Some(free) = octets.get_mut(filled..).filter(|free| !free.is_empty()) {
        let count = match from.read(free) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        filled += count;
        let whole = octets.get(..filled).unwrap_or_default();
        if count == 0 || whole.contains(&b'\n') || whole.contains(&INTERRUPT) {
            break;
        }
    }
    let end = octets.iter().take(filled).position(|octet| *octet == b'\n').unwrap_or(filled);
    octets.truncate(end);
    if octets.last() == Some(&b'\r') {
        octets.pop();
    }
    text(octets)
}

/// Takes octets over as text, without a copy.
fn text(mut octets: Zeroizing<Vec<u8>>) -> anyhow::Result<Zeroizing<String>> {
    if octets.contains(&INTERRUPT) {
        bail!("interrupted");
    }
    match String::from_utf8(std::mem::take(&mut *octets)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            // The error holds the octets.
            drop(Zeroizing::new(error.into_bytes()));
            bail!("it is not UTF-8")
        }
    }
}

fn prompt(user: &str) -> anyhow::Result<Zeroizing<String>> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty").with_context(|| {
        format!("no password: there is no terminal to ask at; use --password-fd or set {VARIABLE}")
    })?;
    ask(&mut terminal, user)
}

fn ask(terminal: &mut File, user: &str) -> anyhow::Result<Zeroizing<String>> {
    let _quiet = Quiet::new(terminal).context("cannot switch off the echo of the terminal")?;
    write!(terminal, "Password of {user}: ")?;
    let password = line(terminal);
    writeln!(terminal)?;
    password.context("cannot read the password")
}

/// A terminal that shows nothing, until this goes. Ctrl-C ends the line and sends no signal: a signal would leave the
/// terminal as it is.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: &File) -> anyhow::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = tcgetattr(terminal.as_fd())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        quiet.control_chars[SpecialCharacterIndices::VEOL as usize] = INTERRUPT;
        tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nobody left to tell.
        tcsetattr(self.terminal.as_fd(), SetArg::TCSAFLUSH, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one octet at a time.
    struct Slow(Vec<u8>);

    impl Read for Slow {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            if self.0.is_empty() {
                return Ok(0);
            }
            out[0] = self.0.remove(0);
            Ok(1)
        }
    }

    #[test]
    fn the_first_line_is_the_password() {
        let cases = [
            ("word", "word"),
            ("word\n", "word"),
            ("word\r\nmore", "word"),
            (" w ö \n", " w ö "),
            ("", ""),
            ("\nword", ""),
        ];
        for (typed, password) in cases {
            assert_eq!(line(&mut typed.as_bytes()).unwrap().as_str(), password, "{typed:?}");
            assert_eq!(line(&mut Slow(typed.into())).unwrap().as_str(), password, "{typed:?}");
        }
        assert_eq!(line(&mut "x".repeat(9_000).as_bytes()).unwrap().len(), LONGEST_PASSWORD + 2);
    }

    #[test]
    fn errors_have_nothing_of_the_password() {
        for typed in [&b"S3cret\xff"[..], b"S3cret\x03"] {
            let error = format!("{:?}", line(&mut &*typed).unwrap_err());
            assert!(!error.contains("cret") && !error.contains("83"), "{error}");
        }
        let error = format!("{:#}", from_descriptor(9_999).unwrap_err());
        assert!(error.contains("descriptor"), "{error}");
    }

    /// What is typed at a terminal: what comes of it, and what the terminal showed.
    fn typed(keys: &[u8]) -> (anyhow::Result<Zeroizing<String>>, String) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (mut keyboard, mut terminal) = (File::from(pty.master), File::from(pty.slave));
        let before = tcgetattr(&terminal).unwrap();
        let mut shown = Vec::new();
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ask(&mut terminal, "user"));
            let mut octet = [0];
            // Typed after the question: what was typed before is thrown away.
            while !shown.ends_with(b": ") {
                keyboard.read_exact(&mut octet).unwrap();
                shown.push(octet[0]);
            }
            keyboard.write_all(keys).unwrap();
            asked.join().unwrap()
        });
        let after = tcgetattr(&terminal).unwrap();
        assert_eq!((after.local_flags, after.control_chars), (before.local_flags, before.control_chars));
        let mut rest = [0; 64];
        let count = keyboard.read(&mut rest).unwrap();
        shown.extend(&rest[..count]);
        (answer, String::from_utf8(shown).unwrap())
    }

    #[test]
    fn a_terminal_shows_nothing_of_the_password() {
        let (password, shown) = typed(b"S3cret\n");
        assert_eq!((password.unwrap().as_str(), shown.trim_end()), ("S3cret", "Password of user:"));
    }

    #[test]
    fn ctrl_c_ends_the_question_and_the_terminal_is_as_before() {
        let (password, shown) = typed(b"S3cr\x03");
        assert!(format!("{:#}", password.unwrap_err()).contains("interrupted"));
        assert!(!shown.contains("S3cr"), "{shown}");
    }
}
