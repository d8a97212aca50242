//! When to sweep.

mod when;

use serde::{Deserialize, Serialize};

use super::{DnsName, Entry, Fields, Name, known::listed, list_text, policy};

pub use when::{CatchUp, Cron, Day, Days, Splay, TimeZoneName, Window};

/// One schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: Name,
    /// When.
    pub cron: Cron,
    /// In which time zone.
    pub time_zone: TimeZoneName,
    /// For how long, from the time that `cron` names: what is not tested by then is missed.
    pub window: Window,
    /// Over how long the starts of schedules of the same time are spread; `None`: all start at once.
    #[serde(default)]
    pub splay: Option<Splay>,
    /// The first day; `None`: from the beginning.
    #[serde(default)]
    pub not_before: Option<Day>,
    /// The last day; `None`: for ever.
    #[serde(default)]
    pub not_after: Option<Day>,
    /// Days on which nothing is started.
    #[serde(default)]
    pub blackout: Vec<Days>,
    /// What becomes of runs that were missed.
    #[serde(default)]
    pub catch_up: CatchUp,
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
        let splay = splay(fields, window.as_ref());
        let (not_before, not_after) = days(fields);
        let blackout = fields.list("blackout");
        let catch_up: Result<Option<CatchUp>, ()> = fields.optional("catch_up");
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
            splay: splay.ok()?,
            not_before: not_before.ok()?,
            not_after: not_after.ok()?,
            blackout: blackout?,
            catch_up: catch_up.ok()?.unwrap_or_default(),
            domains: domains?,
            vantages: vantages?,
            profile: profile.ok()?,
        })
    }
}

/// The splay; it leaves something of the window.
fn splay(fields: &mut Fields<'_, '_, '_, '_>, window: Option<&Window>) -> Result<Option<Splay>, ()> {
    let splay: Option<Splay> = fields.optional("splay")?;
    if let (Some(splay), Some(window)) = (&splay, window)
        && splay.length() >= window.length()
    {
        fields.fault(
            "splay",
            format!("{splay} leaves nothing of the window of {window}; it has to be shorter"),
        );
        return Err(());
    }
    Ok(splay)
}

/// The first and the last day.
fn days(fields: &mut Fields<'_, '_, '_, '_>) -> (Result<Option<Day>, ()>, Result<Option<Day>, ()>) {
    let not_before: Result<Option<Day>, ()> = fields.optional("not_before");
    let not_after: Result<Option<Day>, ()> = fields.optional("not_after");
    if let (Ok(Some(first)), Ok(Some(last))) = (not_before, not_after)
        && last < first
    {
        fields.fault("not_after", format!("{last} lies before not_before, {first}: it would never run"));
        return (not_before, Err(()));
    }
    (not_before, not_after)
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
        fields.extend(self.splay.as_ref().map(|splay| ("splay", splay.to_string())));
        fields.extend(self.not_before.map(|day| ("not_before", day.to_string())));
        fields.extend(self.not_after.map(|day| ("not_after", day.to_string())));
        if !self.blackout.is_empty() {
            fields.push(("blackout", list_text(&self.blackout)));
        }
        if self.catch_up != CatchUp::default() {
            fields.push(("catch_up", self.catch_up.to_string()));
        }
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
