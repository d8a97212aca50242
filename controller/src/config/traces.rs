//! `[traces]`: where spans go.

use std::path::{Path, PathBuf};

use reqwest::{
    Url,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;

use super::alert::{Checked, address, secret};
use crate::{
    notify::Endpoint,
    traces::{Sample, Setup},
};

/// Where a collector takes spans, below its address.
const PATH: &str = "v1/traces";
/// Most headers of a file.
const HEADERS: usize = 16;

/// The export of spans, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracesWish {
    endpoint: String,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    headers_file: Option<PathBuf>,
    #[serde(default)]
    ca_file: Option<PathBuf>,
    #[serde(default)]
    sample: Option<Sample>,
}

impl TracesWish {
    /// What it means in a configuration file in `directory`, to which the paths in it are relative.
    ///
    /// # Errors
    /// Says which field is wrong, and never what a secret is.
    pub(super) fn setup(&self, directory: &Path) -> Checked<Setup> {
        let url = self.url().map_err(|said| format!("traces: {said}"))?;
        let file = |field: &str, file: &Path| {
            secret(field, directory, file).map_err(|said| format!("traces: {said}"))
        };
        let authorities = self.ca_file.as_deref().map(|path| file("ca_file", path)).transpose()?;
        let headers = self.headers_file.as_deref().map(|path| file("headers_file", path)).transpose()?;
        let headers = headers.map(|text| headers_of(text.reveal())).transpose();
        Ok(Setup {
            endpoint: Endpoint { url, secret: None, authorities: authorities.map(|pem| pem.reveal().into()) },
            headers: headers.map_err(|said| format!("traces: headers_file: {said}"))?.unwrap_or_default(),
            sample: self.sample.unwrap_or(Sample::ALL),
        })
    }

    /// The address of the collector with the path of spans, unless it has that already.
    fn url(&self) -> Checked<Url> {
        let mut url = address("endpoint", &self.endpoint, self.insecure)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "endpoint has a ? or a # in it; it is an address such as http://127.0.0.1:4318".to_owned()
            );
        }
        let path = url.path().trim_end_matches('/');
        if !path.ends_with(&format!("/{PATH}")) {
            let path = format!("{path}/{PATH}");
            url.set_path(&path);
        }
        Ok(url)
    }
}

/// `Name: value`, one a line. What is wrong with one is said without its value.
fn headers_of(text: &str) -> Checked<HeaderMap> {
    let mut headers = HeaderMap::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (place, line) in lines.enumerate() {
        let bad = || format!("header {} is no line such as \"Authorization: Bearer KEY\"", place + 1);
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    if headers.len() > HEADERS {
        return Err(format!("there are {} headers; at most {HEADERS} are allowed", headers.len()));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<Setup, String> {
        let place = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("good", "# of the vendor\nAuthorization: Bearer hunter2\nx-scope: 7\n"),
            ("bad", "Authorization hunter2\n"),
            ("many", &"a: hunter2\n".repeat(HEADERS + 1)),
            ("ca", "-----BEGIN CERTIFICATE-----\n"),
        ] {
            std::fs::write(place.path().join(name), text).unwrap();
        }
        let wish: TracesWish = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        wish.setup(place.path())
    }

    #[test]
    fn an_address_gets_the_path_of_spans() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:4318/", "http://[::1]:4318/v1/traces"),
            ("https://otlp.example/otlp/", "https://otlp.example/otlp/v1/traces"),
            ("https://otlp.example/v1/traces", "https://otlp.example/v1/traces"),
        ] {
            let setup = checked(&format!("endpoint = \"{endpoint}\"")).unwrap();
            assert_eq!((setup.endpoint.url.as_str(), setup.sample), (expected, Sample::ALL));
        }
        let all = "endpoint = \"http://otlp.example\"\ninsecure = true\nheaders_file = \"good\"\nca_file = \"ca\"\nsample = 0";
        let setup = checked(all).unwrap();
        assert_eq!(
            (setup.headers["authorization"].to_str().unwrap(), setup.headers.len()),
            ("Bearer hunter2", 2)
        );
        assert!(setup.endpoint.authorities.is_some() && setup.sample == Sample::try_from(0.0).unwrap());
        assert!(!format!("{setup:?}").contains("hunter2"), "{setup:?}");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (text, expected) in [
            ("", "missing field `endpoint`"),
            ("endpoint = \"127.0.0.1:4318\"", "traces: endpoint"),
            ("endpoint = \"http://otlp.example\"", "insecure = true"),
            ("endpoint = \"https://u:hunter2@otlp.example\"", "has a user or a password"),
            ("endpoint = \"https://otlp.example/?key=hunter2\"", "has a ? or a #"),
            ("endpoint = \"https://otlp.example\"\nsample = 1.5", "from 0 (none) to 1 (all)"),
            (
                "endpoint = \"https://otlp.example\"\nheaders_file = \"bad\"",
                "headers_file: header 1 is no line",
            ),
            ("endpoint = \"https://otlp.example\"\nheaders_file = \"many\"", "at most 16"),
            (
                "endpoint = \"https://otlp.example\"\nheaders_file = \"none\"",
                "traces: headers_file: cannot read",
            ),
            ("endpoint = \"https://otlp.example\"\nprotocol = \"grpc\"", "unknown field `protocol`"),
        ] {
            let said = checked(text).unwrap_err();
            assert!(said.contains(expected) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
