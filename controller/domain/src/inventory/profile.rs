//! The user's own profiles.

use sekisho_model::{BuiltIn, Service};

use super::{Entry, Fields, Name, list_text};

/// A named set of services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name; not that of a built-in profile.
    pub name: Name,
    /// What it tests.
    pub services: Vec<Service>,
}

impl Profile {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name: Option<Name> = fields.required("name");
        let services = fields.list("services");
        if services.as_ref().is_some_and(Vec::is_empty) {
            fields.fault("services", "is missing; name at least one service, such as services = [\"smb\"]");
        }
        let name = name?;
        if BuiltIn::named(name.as_str()).is_some() {
            fields.fault("name", format!("\"{name}\" is a built-in profile; choose another name"));
        }
        Some(Self { name, services: services? })
    }
}

impl Entry for Profile {
    const NOUN: &'static str = "profile";

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("services", list_text(&self.services))]
    }
}
