//! When to sweep.

use std::{fmt, str::FromStr};

use croner::parser::{CronParser, Seconds, Year};
use jiff::{SignedDuration, tz::TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use super::{DnsName, Entry, Fields, Name, known::listed, list_text, name::text_value, policy};

/// A cron expression of five fields that fires at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(String);
text_value!(Cron);

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!("{text:?} is not a cron expression of five fields, such as \"0 2 * * *\": {error}")
        })?;
        let from = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC);
        match from.map(|from| cron.find_next_occurrence(&from, true)) {
            Ok(Ok(_)) => Ok(Self(text.to_owned())),
            Ok(Err(_)) | Err(_) => Err(format!("{text:?} never comes: there is no such date")),
        }
    }
}

/// Name of a time zone in the IANA database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String);
text_value!(TimeZoneName);

impl FromStr for TimeZoneName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TimeZoneDatabase::bundled()
            .get(text)
            .map(|_| Self(text.to_owned()))
            .map_err(|_| format!("{text:?} is not a time zone; use a name such as Asia/Tokyo or UTC"))
    }
}

/// How long a scheduled sweep may take: one minute to 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window(String);
text_value!(Window);

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bounds = SignedDuration::from_mins(1)..=SignedDuration::from_hours(24);
        match text.parse::<SignedDuration>() {
            Ok(window) if bounds.contains(&window) => Ok(Self(format!("{window:#}"))),
            Ok(_) | Err(_) => {
                Err(format!("{text:?} is not allowed; it is a duration from 1m to 24h, such as \"2h\""))
            }
        }
    }
}

/// One schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: Name,
    /// When.
    pub cron: Cron,
    /// In which time zone.
    pub time_zone: TimeZoneName,
    /// For how long.
    pub window: Window,
    /// Which domains; empty: all.
    pub domains: Vec<DnsName>,
    /// Which vantages; empty: all.
    pub vantages: Vec<Name>,
    /// Which profile; `None`: the default.
    pub profile: Option<Name>,
}

impl Schedule {
    pub(super) fn read(fields: &mut Fields<'_, '_, '_, '_>) -> Option<Self> {
        let name = fields.required("name");
        let cron = fields.required("cron");
        let time_zone = fields.required("time_zone");
        let window = fields.required("window");
        let domains: Option<Vec<DnsName>> = fields.list("domains");
        let vantages: Option<Vec<Name>> = fields.list("vantages");
        let profile = policy::profile(fields);
        for domain in domains.iter().flatten() {
            if !fields.known.domains.contains(domain.as_str()) {
                let known = listed(&fields.known.domains);
                fields.fault("domains", format!("there is no [[domain]] \"{domain}\"; domains are {known}"));
            }
        }
        for vantage in vantages.iter().flatten() {
            if !fields.known.vantages.contains(vantage.as_str()) {
                let known = listed(&fields.known.vantages);
                fields.fault(
                    "vantages",
                    format!("there is no [[vantage]] \"{vantage}\"; vantages are {known}"),
                );
            }
        }
        Some(Self {
            name: name?,
            cron: cron?,
            time_zone: time_zone?,
            window: window?,
            domains: domains?,
            vantages: vantages?,
            profile: profile.ok()?,
        })
    }
}

impl Entry for Schedule {
    const NOUN: &'static str = "schedule";

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("cron", self.cron.to_string()),
            ("time_zone", self.time_zone.to_string()),
            ("window", self.window.to_string()),
        ];
        if !self.domains.is_empty() {
            fields.push(("domains", list_text(&self.domains)));
        }
        if !self.vantages.is_empty() {
            fields.push(("vantages", list_text(&self.vantages)));
        }
        fields.extend(self.profile.as_ref().map(|profile| ("profile", profile.to_string())));
        fields
    }
}
