//! Flows whose packets an operator wants to see.

use std::{fmt, net::IpAddr, str::FromStr};

use sekisho_model::Service;

/// A service of a target, named as people name it: `dc1/smb`, `dc1.corp.example/tcp/8443`, `10.0.0.10/ldap`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Host name, its first part, or address; in lower case.
    target: String,
    service: Service,
}

/// Longest name of a target, bytes: that of a DNS name.
const TARGET_BYTES: usize = 253;

impl Capture {
    /// The service.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Whether a flow is meant. `host` is the target's name, or empty.
    #[must_use]
    pub fn is_of(&self, host: &str, address: IpAddr, service: Service) -> bool {
        service == self.service && self.is_target(host, address)
    }

    /// Whether a target is meant.
    #[must_use]
    pub fn is_target(&self, host: &str, address: IpAddr) -> bool {
        if let Ok(wanted) = self.target.parse::<IpAddr>() {
            return wanted == address;
        }
        let first = host.split('.').next().unwrap_or_default();
        [host, first].iter().any(|name| name.eq_ignore_ascii_case(&self.target))
    }
}

impl FromStr for Capture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (target, service) = text
            .split_once('/')
            .ok_or_else(|| format!("{text:?} is not TARGET/SERVICE, such as dc1.corp.example/smb"))?;
        let target = target.trim_end_matches('.').to_ascii_lowercase();
        if target.is_empty() || target.len() > TARGET_BYTES {
            return Err(format!("{text:?} names no target before the \"/\""));
        }
        let service = service.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { target, service })
    }
}

impl fmt::Display for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.target, self.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_of(capture: &str, host: &str, address: &str, service: &str) -> bool {
        let capture: Capture = capture.parse().unwrap();
        assert_eq!(capture.to_string().parse(), Ok(capture.clone()));
        capture.is_of(host, address.parse().unwrap(), service.parse().unwrap())
    }

    #[test]
    fn a_flow_is_named_by_host_or_address_and_service() {
        let host = "dc1.corp.example";
        for name in ["dc1.corp.example/smb", "DC1.corp.example./smb", "dc1/smb", "10.77.1.10/smb"] {
            assert!(is_of(name, host, "10.77.1.10", "smb"), "{name}");
            assert!(!is_of(name, host, "10.77.1.10", "ldap"), "{name}");
            assert!(!is_of(name, "dc2.corp.example", "10.77.1.11", "smb"), "{name}");
        }
        assert!(is_of("dc1/tcp/8443", host, "10.77.1.10", "tcp/8443"));
        assert!(is_of("fd00::10/smb", "", "fd00:0::10", "smb"));
        assert!(!is_of("dc1.corp/smb", host, "10.77.1.10", "smb"));
    }

    #[test]
    fn what_names_no_flow_is_refused() {
        let long = format!("{}/smb", "x".repeat(254));
        for text in ["", "smb", "/smb", "dc1/", "dc1/telnet", "dc1/udp/53", "./smb", &long] {
            assert!(text.parse::<Capture>().is_err(), "{text}");
        }
    }
}
