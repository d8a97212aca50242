//! The words of findings: one row for each slug, in each language.

mod checks;
mod flows;

use std::net::IpAddr;

use sekisho_model::{Cell, Need, Transport};
use serde::{Deserialize, Serialize};

use super::{Evidence, Finding, Severity};
use crate::attribution::Between;

/// The texts of a finding, title and action in each language: what is the matter, and what to do about it.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) slug: &'static str,
    pub(super) en: (&'static str, &'static str),
    pub(super) ja: (&'static str, &'static str),
}

/// Every finding there is.
pub(super) fn texts() -> impl Iterator<Item = &'static Text> {
    flows::TEXTS.iter().chain(checks::TEXTS)
}

/// The language of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Japanese.
    Ja,
}

/// A word that names no language of findings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there are no findings in the language \"{0}\"; there are: en, ja")]
pub struct UnknownLanguage(pub String);

impl std::str::FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "en" => Ok(Self::En),
            "ja" => Ok(Self::Ja),
            _ => Err(UnknownLanguage(word.to_owned())),
        }
    }
}

/// What is put into the texts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Words<'a> {
    pub(super) target: &'a str,
    pub(super) address: Option<IpAddr>,
    /// The flow.
    pub(super) cell: Option<&'a Cell>,
    /// Where it ends.
    pub(super) between: Option<Between>,
    /// Names of services.
    pub(super) services: &'a [String],
    /// Name of the check.
    pub(super) check: &'a str,
    /// Why it is not ok.
    pub(super) reason: &'a str,
    pub(super) computer: &'a str,
}

/// Writes findings about a vantage and a domain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Writer<'a> {
    pub(super) vantage: &'a str,
    pub(super) domain: &'a str,
    pub(super) language: Language,
}

/// Whether there is a text of that slug.
pub(super) fn has(slug: &str) -> bool {
    texts().any(|text| text.slug == slug)
}

/// Most services that a sentence names.
const NAMED: usize = 8;

impl Writer<'_> {
    /// A finding without evidence.
    pub(super) fn finding(&self, slug: &str, severity: Severity, words: &Words<'_>) -> Finding {
        let text = texts().find(|text| text.slug == slug);
        let (title, action) = text.map_or((slug, ""), |text| match self.language {
            Language::En => text.en,
            Language::Ja => text.ja,
        });
        Finding {
            slug: slug.to_owned(),
            severity,
            target: (!words.target.is_empty()).then(|| words.target.to_owned()),
            service: None,
            title: self.filled(title, words),
            action: self.filled(action, words),
            evidence: Evidence::default(),
        }
    }

    /// The text with the words in their places. What is put in is not looked at again.
    fn filled(&self, text: &str, words: &Words<'_>) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((place, behind)) = after.split_once('}') else { break };
            out.push_str(before);
            out.push_str(&self.word(place, words));
            rest = behind;
        }
        out.push_str(rest);
        out
    }

    fn word(&self, place: &str, words: &Words<'_>) -> String {
        match place {
            "vantage" => self.vantage.to_owned(),
            "source" => match (words.cell.and_then(|cell| cell.subnet), self.language) {
                (Some(subnet), Language::En) => format!("{} ({subnet})", self.vantage),
                (Some(subnet), Language::Ja) => format!("{}（{subnet}）", self.vantage),
                (None, _) => self.vantage.to_owned(),
            },
            "domain" => self.domain.to_owned(),
            "target" => words.target.to_owned(),
            "address" => words.address.map(|address| address.to_string()).unwrap_or_default(),
            "service" => words.cell.map(|cell| cell.service.name()).unwrap_or_default(),
            "port" => words.cell.map(|cell| self.port(cell)).unwrap_or_default(),
            "need" => words.cell.map(|cell| self.need(cell.service.need())).unwrap_or_default().to_owned(),
            "device" => self.device(words),
            "services" => self.services(words.services),
            "check" => words.check.to_owned(),
            "reason" => words.reason.to_owned(),
            "computer" => words.computer.to_owned(),
            _ => String::new(),
        }
    }

    const fn need(&self, need: Need) -> &'static str {
        match (self.language, need) {
            (Language::En, need) => need.word(),
            (Language::Ja, Need::Required) => "必須",
            (Language::Ja, Need::Recommended) => "推奨",
            (Language::Ja, Need::Optional) => "任意",
        }
    }

    /// The device that blocks, as far as it is known.
    fn device(&self, words: &Words<'_>) -> String {
        let is_ja = self.language == Language::Ja;
        let by = words.cell.and_then(|cell| cell.by);
        match (by, words.between) {
            (Some(by), _) if is_ja => format!("{by} の機器"),
            (Some(by), _) => format!("the device {by}"),
            (None, Some(Between { last_hop: Some(last), next_hop: Some(next), .. })) if is_ja => {
                format!("{last} と {next} の間の機器")
            }
            (None, Some(Between { last_hop: Some(last), next_hop: Some(next), .. })) => {
                format!("the device between {last} and {next}")
            }
            (None, Some(Between { last_hop: Some(last), .. })) if is_ja => format!("{last} の先の機器"),
            (None, Some(Between { last_hop: Some(last), .. })) => format!("the device behind {last}"),
            _ if is_ja => "経路上の機器".to_owned(),
            _ => "a device on the way".to_owned(),
        }
    }

    fn services(&self, names: &[String]) -> String {
        let head = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
        match (names.len().saturating_sub(NAMED), self.language) {
            (0, _) => head,
            (more, Language::En) => format!("{head} and {more} more"),
            (more, Language::Ja) => format!("{head} ほか {more} 件"),
        }
    }

    /// `445/tcp`; of an RPC interface also the range out of which Windows chooses its port.
    fn port(&self, cell: &Cell) -> String {
        const DYNAMIC: &str = "49152-65535/tcp";
        match (cell.service.port(), cell.port, self.language) {
            (None, Some(port), Language::En) => format!("{port}/tcp, one of {DYNAMIC}"),
            (None, Some(port), Language::Ja) => format!("{port}/tcp（{DYNAMIC} のうち）"),
            (None, None, _) if cell.service.transport() == Transport::Tcp => DYNAMIC.to_owned(),
            (None | Some(_), _, _) => cell.service.port_and_transport(),
        }
    }
}
