//! Where controllers are: those that an operator named, and those that a controller told of.

use std::path::{Path, PathBuf};

use sekisho_proto::limits;

use crate::identity;

const FILE: &str = "controllers.json";

/// The controllers, tried in turn.
#[derive(Debug)]
pub(super) struct Addresses {
    file: PathBuf,
    named: Vec<String>,
    told: Vec<String>,
    turn: usize,
}

impl Addresses {
    /// Those that an operator named, and those that were told in an earlier session.
    pub(super) fn new(state: &Path, named: Vec<String>) -> Self {
        let file = state.join(FILE);
        let told = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file, named, told: usable(told.unwrap_or_default()), turn: 0 }
    }

    fn all(&self) -> Vec<&String> {
        let told = self.told.iter().filter(|told| !self.named.contains(told));
        self.named.iter().chain(told).collect()
    }

    /// The one whose turn it is.
    pub(super) fn current(&self) -> Option<String> {
        let all = self.all();
        all.get(self.turn % all.len().max(1)).map(|address| (*address).clone())
    }

    /// It is the next one's turn.
    pub(super) fn pass(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// A controller tells where all of them are. None means that it does not know.
    pub(super) fn tell(&mut self, told: Vec<String>) {
        let told = usable(told);
        if told.is_empty() || told == self.told {
            return;
        }
        tracing::info!(controllers = told.join(" "), "told where the controllers are");
        let current = self.current();
        self.told = told;
        self.turn = self.all().iter().position(|address| Some(*address) == current.as_ref()).unwrap_or(0);
        let text = serde_json::to_vec(&self.told).unwrap_or_default();
        if let Err(error) = identity::write(&self.file, &text) {
            tracing::warn!(error = %format!("{error:#}"), "the addresses of the controllers are not written down");
        }
    }
}

fn usable(mut told: Vec<String>) -> Vec<String> {
    told.retain(|address| address.starts_with("https://") && address.len() <= limits::TEXT_BYTES);
    told.truncate(limits::CONTROLLERS);
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn round(addresses: &mut Addresses, count: usize) -> Vec<String> {
        let mut next = || {
            let current = addresses.current().unwrap();
            addresses.pass();
            current
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn what_is_told_is_tried_after_what_was_named_and_remembered() {
        let state = tempfile::tempdir().unwrap();
        let mut addresses = Addresses::new(state.path(), list(&["https://a:1", "https://b:1"]));
        assert_eq!(round(&mut addresses, 3), ["https://a:1", "https://b:1", "https://a:1"]);
        // The second one has the session, and keeps its turn.
        addresses.tell(list(&["https://b:1", "http://x:1", "https://c:1"]));
        assert_eq!(round(&mut addresses, 4), ["https://b:1", "https://c:1", "https://a:1", "https://b:1"]);
        addresses.tell(Vec::new());
        let mut again = Addresses::new(state.path(), list(&["https://a:1"]));
        assert_eq!(round(&mut again, 3), ["https://a:1", "https://b:1", "https://c:1"]);
        assert_eq!(Addresses::new(Path::new("/nowhere"), Vec::new()).current(), None);
    }

    #[test]
    fn no_list_is_longer_than_it_may_be() {
        let state = tempfile::tempdir().unwrap();
        let mut addresses = Addresses::new(state.path(), Vec::new());
        addresses.tell((0..1_000).map(|number| format!("https://c{number}:1")).collect());
        assert_eq!(addresses.all().len(), limits::CONTROLLERS);
        std::fs::write(state.path().join(FILE), "[\"https").unwrap();
        assert!(Addresses::new(state.path(), Vec::new()).all().is_empty());
    }
}
