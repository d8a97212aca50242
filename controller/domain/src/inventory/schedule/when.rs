//! The values of a schedule that say when.

use std::{fmt, str::FromStr};

use croner::parser::{CronParser, Seconds, Year};
use jiff::{
    SignedDuration,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

use crate::inventory::name::text_value;

/// A cron expression of five fields that fires at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(String, croner::Cron);
text_value!(Cron);

impl Cron {
    pub(crate) fn pattern(&self) -> &croner::Cron {
        &self.1
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!("{text:?} is not a cron expression of five fields, such as \"0 2 * * *\": {error}")
        })?;
        let from = jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0);
        match cron.find_next_occurrence(&from, true) {
            Ok(_) => Ok(Self(text.to_owned(), cron)),
            Err(_) => Err(format!("{text:?} never comes: there is no such date")),
        }
    }
}

/// Name of a time zone in the IANA database, as the controller has it built in: all controllers have the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeZoneName(String, TimeZone);
text_value!(TimeZoneName);

impl TimeZoneName {
    pub(crate) fn zone(&self) -> &TimeZone {
        &self.1
    }
}

impl FromStr for TimeZoneName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        TimeZoneDatabase::bundled()
            .get(text)
            .map(|zone| Self(text.to_owned(), zone))
            .map_err(|_| format!("{text:?} is not a time zone; use a name such as Asia/Tokyo or UTC"))
    }
}

/// A duration between two bounds, and how it is written.
fn duration(
    text: &str,
    from: SignedDuration,
    to: SignedDuration,
    example: &str,
) -> Result<(String, SignedDuration), String> {
    match text.parse::<SignedDuration>() {
        Ok(duration) if (from..=to).contains(&duration) => Ok((format!("{duration:#}"), duration)),
        Ok(_) | Err(_) => Err(format!(
            "{text:?} is not allowed; it is a duration from {from:#} to {to:#}, such as \"{example}\""
        )),
    }
}

/// How long a scheduled sweep may take: one minute to 24 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window(String, SignedDuration);
text_value!(Window);

impl Window {
    /// The duration.
    #[must_use]
    pub fn length(&self) -> SignedDuration {
        self.1
    }
}

impl FromStr for Window {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration(text, SignedDuration::from_mins(1), SignedDuration::from_hours(24), "2h")
            .map(|(text, length)| Self(text, length))
    }
}

/// How far the starts of schedules with the same time are spread: one second to 12 hours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Splay(String, SignedDuration);
text_value!(Splay);

impl Splay {
    /// The duration.
    #[must_use]
    pub fn length(&self) -> SignedDuration {
        self.1
    }
}

impl FromStr for Splay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration(text, SignedDuration::from_secs(1), SignedDuration::from_hours(12), "10m")
            .map(|(text, length)| Self(text, length))
    }
}

/// What becomes of a run whose window is over before any controller could start it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    #[default]
    Skip,
    /// The newest one is started late.
    Once,
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Skip => "skip",
            Self::Once => "once",
        })
    }
}

impl FromStr for CatchUp {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "skip" => Ok(Self::Skip),
            "once" => Ok(Self::Once),
            _ => Err(format!("{word:?} is not allowed; it is \"once\" or \"skip\"")),
        }
    }
}

/// A date by the clock of the schedule's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// The date.
    #[must_use]
    pub fn date(self) -> Date {
        self.0
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The parser takes whole times too; a date that says more than a date is not what it seems.
        match text.parse::<Date>() {
            Ok(date) if date.to_string() == text => Ok(Self(date)),
            Ok(_) | Err(_) => Err(format!("{text:?} is not a date; write it as \"2026-12-31\"")),
        }
    }
}

/// A day, or the days from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Days {
    first: Day,
    last: Day,
}

impl Days {
    /// The first day.
    #[must_use]
    pub fn first(self) -> Date {
        self.first.date()
    }

    /// The last day.
    #[must_use]
    pub fn last(self) -> Date {
        self.last.date()
    }

    /// Whether a day is one of them.
    #[must_use]
    pub fn contains(self, day: Date) -> bool {
        (self.first()..=self.last()).contains(&day)
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return self.first.fmt(f);
        }
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl FromStr for Days {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let bad = |_| {
            format!(
                "{text:?} is not allowed; it is a date, or two: \"2026-12-31\", \"2026-12-29..2027-01-03\""
            )
        };
        let (first, last): (Day, Day) = (first.parse().map_err(bad)?, last.parse().map_err(bad)?);
        if last < first {
            return Err(format!("{text:?} ends before it begins"));
        }
        Ok(Self { first, last })
    }
}

/// What serde needs of a value that is written as text.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
as_text!(Day);
as_text!(Days);
