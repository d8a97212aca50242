//! Which services a profile names, and whether this version can test them.

use sekisho_model::{BuiltIn, CheckKind, Service};

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
}

/// What a profile tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The services of every target.
    pub services: Vec<Service>,
    /// The checks of the vantage.
    pub checks: Vec<CheckKind>,
}

/// What a profile tests, built-in or of the inventory. A profile of the inventory has services only.
///
/// # Errors
/// When there is none of that name.
pub fn contents(name: &str, own: &[Profile]) -> Result<Contents, ProfileError> {
    if let Some(built_in) = BuiltIn::named(name) {
        return Ok(Contents { services: built_in.services(), checks: built_in.checks().to_vec() });
    }
    own.iter()
        .find(|profile| profile.name.as_str() == name)
        .map(|profile| Contents { services: profile.services.clone(), checks: Vec::new() })
        .ok_or_else(|| ProfileError::Unknown { name: name.to_owned(), known: names(own) })
}

fn names(own: &[Profile]) -> Vec<String> {
    BuiltIn::ALL.iter().map(|p| p.name().to_owned()).chain(own.iter().map(|p| p.name.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_built_in_profile_has_services_and_checks() {
        let join = contents("domain-join", &[]).unwrap();
        assert_eq!((join.services.len(), join.checks.len()), (19, 7));
        assert!(contents("ports", &[]).unwrap().checks.is_empty());
    }

    #[test]
    fn an_unknown_profile_is_answered_with_the_known_ones() {
        let own = [Profile { name: "web".parse().unwrap(), services: vec!["tcp/443".parse().unwrap()] }];
        let error = contents("prots", &own).unwrap_err().to_string();
        assert!(error.contains("ports, domain-join, full, web"), "{error}");
        assert_eq!(contents("web", &own).unwrap().services.len(), 1);
    }
}
