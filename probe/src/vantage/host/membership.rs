//! Names of this host, and what lies here of a member of a domain: facts, not a verdict.

use std::{fs, io::Read, path::Path};

/// Most octets of a file that are read.
const FILE_BYTES: u64 = 64 * 1024;
/// What a member of a domain has, by the software that joined it.
const TRACES: [(&str, &str); 4] = [
    ("keytab", "/etc/krb5.keytab"),
    ("sssd", "/etc/sssd/sssd.conf"),
    ("samba-secrets", "/var/lib/samba/private/secrets.tdb"),
    ("realmd", "/var/lib/realmd"),
];

/// What is there. What this user may not look for is left out.
pub(super) fn found() -> Vec<String> {
    let found = TRACES.iter().filter(|(_, path)| Path::new(path).try_exists().unwrap_or(false));
    found.map(|(name, _)| (*name).to_owned()).collect()
}

/// The realm that Kerberos takes where none is named, krb5.conf(5).
pub(super) fn realm() -> Option<String> {
    realm_of(&read("/etc/krb5.conf"))
}

fn realm_of(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "default_realm").then(|| value.trim().to_owned()).filter(|realm| !realm.is_empty())
    })
}

/// The full name of this host: its own, or the one that hosts(5) gives it. DNS is not asked.
pub(super) fn full_name(name: &str) -> Option<String> {
    if name.contains('.') { Some(name.to_owned()) } else { full_name_of(name, &read("/etc/hosts")) }
}

fn full_name_of(name: &str, hosts: &str) -> Option<String> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace().skip(1);
        let full = words.next().filter(|full| full.contains('.'))?;
        let mut all = [full].into_iter().chain(words);
        let short = full.split('.').next().unwrap_or_default();
        (short == name || all.any(|alias| alias == name)).then(|| full.to_owned())
    })
}

fn read(path: &str) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes));
    // One that is not there or not readable says nothing.
    read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realms() {
        let text = "[libdefaults]\n # default_realm = A\n default_realm = CORP.EXAMPLE \n[realms]\n";
        assert_eq!(realm_of(text).as_deref(), Some("CORP.EXAMPLE"));
        assert_eq!(realm_of("default_realm =\n"), None);
        assert_eq!(realm_of(""), None);
    }

    #[test]
    fn full_names() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.1 pc8.old.example\n10.0.0.8 pc8.corp.example pc8 # x\n10.0.0.9 a.b alias\n";
        assert_eq!(full_name_of("pc8", hosts).as_deref(), Some("pc8.corp.example"));
        assert_eq!(full_name_of("alias", hosts).as_deref(), Some("a.b"));
        assert_eq!(full_name_of("localhost", hosts), None);
        assert_eq!(full_name("pc8.corp.example").as_deref(), Some("pc8.corp.example"));
    }
}
