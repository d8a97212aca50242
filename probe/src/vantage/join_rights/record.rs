//! An entry of the directory, with the types that this check needs.

use sekisho_checks::wire::{
    ldap::Entry,
    security::{self, Sid},
    time::Moment,
};

/// An entry.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Record {
    pub(super) fn of(entry: &Entry<'_>) -> Self {
        let attributes = entry.attributes.iter().map(|attribute| {
            let name = String::from_utf8_lossy(attribute.name).into_owned();
            (name, attribute.values.iter().map(|value| value.to_vec()).collect())
        });
        Self { dn: String::from_utf8_lossy(entry.name).into_owned(), attributes: attributes.collect() }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.into_iter().flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = String> {
        self.values(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.texts(name).next()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.text(name)?.parse().ok()
    }

    /// Whether one of the values is this text, whatever its case.
    pub(super) fn has(&self, name: &str, text: &str) -> bool {
        self.values(name).any(|value| value.eq_ignore_ascii_case(text.as_bytes()))
    }

    pub(super) fn sids(&self, name: &str) -> Vec<Sid> {
        self.values(name).filter_map(|value| Sid::decode(value).ok()).collect()
    }

    pub(super) fn sid(&self, name: &str) -> Option<Sid> {
        self.sids(name).pop()
    }

    /// A time in units of 100 ns since 1601 (MS-DTYP 2.3.3), as text; 0 is never.
    pub(super) fn filetime(&self, name: &str) -> Option<Moment> {
        let number = u64::try_from(self.number(name)?).ok().filter(|number| *number > 0)?;
        Moment::from_filetime(number)
    }

    pub(super) fn generalized(&self, name: &str) -> Option<Moment> {
        Moment::from_generalized(self.values(name).next()?)
    }

    pub(super) fn owner(&self) -> Option<Sid> {
        security::owner(self.values("nTSecurityDescriptor").next()?).ok()?
    }
}
