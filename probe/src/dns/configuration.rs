//! What this host itself uses: resolv.conf(5), and behind the stub of systemd-resolved the servers that it forwards to.

use std::{
    io::Read,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

/// Most octets of a file that are read: what comes later is not seen.
const FILE_BYTES: u64 = 64 * 1024;
/// Where systemd-resolved listens, systemd-resolved.service(8).
const STUBS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];
/// The servers that it forwards to.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// How this host resolves names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// In the order of asking, each once.
    pub(crate) servers: Vec<IpAddr>,
    /// Where one of them is the stub of systemd-resolved: the servers behind it.
    pub(crate) upstream: Vec<IpAddr>,
    /// Domains in which short names are looked up.
    pub(crate) search: Vec<String>,
}

impl Configuration {
    /// The file that says it.
    pub(crate) const FILE: &'static str = "/etc/resolv.conf";

    /// Reads it.
    ///
    /// # Errors
    /// The file cannot be read; the text says why.
    pub(crate) fn read() -> Result<Self, String> {
        let text = read(Path::new(Self::FILE))?;
        let upstream = read(Path::new(UPSTREAM)).unwrap_or_default();
        Ok(Self::of(&text, &upstream))
    }

    fn of(text: &str, upstream: &str) -> Self {
        let mut configuration = Self { servers: servers(text), upstream: Vec::new(), search: search(text) };
        if configuration.servers.iter().any(is_stub) {
            configuration.upstream = servers(upstream);
            configuration.upstream.retain(|server| !is_stub(server));
        }
        configuration
    }
}

/// Whether an address is the stub of systemd-resolved.
pub(crate) fn is_stub(server: &IpAddr) -> bool {
    STUBS.contains(server)
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The values of a keyword, line by line.
fn values<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let (word, value) = line.trim().split_once(char::is_whitespace)?;
        (word == keyword).then(|| value.trim())
    })
}

/// Addresses with a zone (`fe80::1%eth0`) are not understood and left out.
fn servers(text: &str) -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = Vec::new();
    for server in values(text, "nameserver").filter_map(|value| value.parse().ok()) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// The last line counts.
fn search(text: &str) -> Vec<String> {
    let last = values(text, "search").chain(values(text, "domain")).last().unwrap_or_default();
    last.split_whitespace().map(|domain| domain.trim_end_matches('.').to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_understood_as_resolvers_do() {
        let text = "# x\nsearch old.example\nsearch Corp.Example. example\nnameserver 10.0.0.1\n nameserver\tfd00::1 \n\
                    nameserver junk\nnameservers 10.0.0.9\nnameserver 10.0.0.1\noptions edns0\n";
        let read = Configuration::of(text, "nameserver 10.0.0.53\n");
        assert_eq!(read.servers, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!(read.search, ["corp.example", "example"]);
        assert_eq!(read.upstream, [] as [IpAddr; 0], "no stub, so nothing is behind it");
        assert_eq!(Configuration::of("options edns0\n", ""), Configuration::default());
    }

    #[test]
    fn behind_a_stub_are_the_servers_that_it_asks() {
        let read =
            Configuration::of("nameserver 127.0.0.53\n", "nameserver 10.0.0.53\nnameserver 127.0.0.53\n");
        assert_eq!(read.servers.iter().filter(|server| is_stub(server)).count(), 1);
        assert_eq!(read.upstream, ["10.0.0.53".parse::<IpAddr>().unwrap()]);
    }
}
