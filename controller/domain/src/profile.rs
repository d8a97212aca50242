//! Which services a profile names, and whether this version can test them.

use sekisho_model::{BuiltIn, DEFAULT_PROFILE, Service};

use crate::inventory::Profile;

/// Why a profile cannot be swept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// No such profile.
    #[error("there is no profile \"{name}\"; profiles are {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It has services for which this version has no exchange.
    #[error(
        "profile \"{name}\" has services that this version cannot test: {}; use profile {}, or a [[profile]] of your own without them",
        missing.join(", "),
        DEFAULT_PROFILE.name()
    )]
    Unsupported {
        /// What was asked for.
        name: String,
        /// The services that cannot be tested.
        missing: Vec<String>,
    },
}

/// The services of a profile, built-in or of the inventory.
///
/// # Errors
/// When there is none of that name, or this version cannot test all of it.
pub fn testable_services(name: &str, own: &[Profile]) -> Result<Vec<Service>, ProfileError> {
    let services = match BuiltIn::named(name) {
        Some(built_in) => built_in.services(),
        None => own
            .iter()
            .find(|profile| profile.name.as_str() == name)
            .map(|profile| profile.services.clone())
            .ok_or_else(|| ProfileError::Unknown { name: name.to_owned(), known: names(own) })?,
    };
    let missing: Vec<String> = services.iter().filter(|s| !s.is_supported()).map(|s| s.name()).collect();
    if missing.is_empty() {
        Ok(services)
    } else {
        Err(ProfileError::Unsupported { name: name.to_owned(), missing })
    }
}

fn names(own: &[Profile]) -> Vec<String> {
    BuiltIn::ALL.iter().map(|p| p.name().to_owned()).chain(own.iter().map(|p| p.name.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_profile_can_be_tested() {
        assert_eq!(testable_services("ports", &[]).unwrap().len(), 12);
    }

    #[test]
    fn what_this_version_cannot_test_is_refused_by_name() {
        let error = testable_services("domain-join", &[]).unwrap_err().to_string();
        assert!(error.contains("kpasswd-udp") && error.contains("use profile ports"), "{error}");
    }

    #[test]
    fn an_unknown_profile_is_answered_with_the_known_ones() {
        let own = [Profile { name: "web".parse().unwrap(), services: vec!["tcp/443".parse().unwrap()] }];
        let error = testable_services("prots", &own).unwrap_err().to_string();
        assert!(error.contains("ports, domain-join, full, web"), "{error}");
        assert_eq!(testable_services("web", &own).unwrap().len(), 1);
    }
}
