//! Notices of alerts: what is told, and how it is delivered.

mod deliver;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sekisho_domain::alert::{About, AlertKind, Item};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Actor, Error, Result, Services, commit, sweep::strange, sweep::unknown};
use crate::store::{
    self,
    notice::{Listed, NewNotice},
};

/// Most names and items in a notice; the counts are of all.
pub(super) const LISTED: usize = 100;
/// Most notices that wait. When there are as many, others are written down as failed, and never sent.
pub(super) const WAITING: i64 = 10_000;

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// The alert is there.
    Open,
    /// It is over.
    Resolved,
    /// Somebody tries the channel.
    Test,
}

impl Event {
    /// The word used in JSON and in SQL.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// A notice, as webhooks get it. Fields may be added, never renamed or removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// Of this schema: 1.
    pub version: u32,
    /// The same in every attempt to deliver this notice.
    pub key: Uuid,
    /// What it tells.
    pub event: Event,
    /// Number of the alert; `None` in a test.
    pub alert: Option<i64>,
    /// What the alert is about; `None` in a test.
    pub kind: Option<AlertKind>,
    /// All of it in one line.
    pub summary: String,
    /// What is known of the cause.
    pub about: Option<About>,
    /// Vantages, at most 100.
    pub vantages: Vec<String>,
    /// Their sites.
    pub sites: Vec<String>,
    /// Targets, at most 100.
    pub targets: Vec<String>,
    /// Services.
    pub services: Vec<String>,
    /// How many flows.
    pub flows: usize,
    /// The flows, or the vantages, at most 100.
    pub items: Vec<Item>,
    /// Number of the sweep that says so.
    pub sweep: Option<i64>,
    /// Number of the sweep that it was compared with.
    pub previous: Option<i64>,
    /// End of the sweep that opened the alert; in a test, when it was asked for.
    pub opened_at: Timestamp,
    /// End of the sweep in which it was over.
    pub resolved_at: Option<Timestamp>,
}

impl Notice {
    /// A notice of nothing, with everything that is not told left empty.
    pub(super) fn new(event: Event, summary: String, opened_at: Timestamp) -> Self {
        Self {
            version: 1,
            key: Uuid::nil(),
            event,
            alert: None,
            kind: None,
            summary,
            about: None,
            vantages: Vec::new(),
            sites: Vec::new(),
            targets: Vec::new(),
            services: Vec::new(),
            flows: 0,
            items: Vec::new(),
            sweep: None,
            previous: None,
            opened_at,
            resolved_at: None,
        }
    }

    /// Tells of `items`. `sites` has the site of each vantage that is in one.
    pub(super) fn of_items(mut self, items: &[Item], sites: &BTreeMap<String, String>) -> Self {
        let names = |names: BTreeSet<String>| names.into_iter().take(LISTED).collect::<Vec<_>>();
        let flows = || items.iter().filter_map(|item| item.flow.as_ref());
        let vantages: BTreeSet<&String> = items.iter().map(|item| &item.vantage).collect();
        self.sites = names(vantages.iter().filter_map(|name| sites.get(*name)).cloned().collect());
        self.vantages = names(vantages.into_iter().cloned().collect());
        self.targets = names(flows().map(|flow| flow.target.clone()).collect());
        self.services = names(flows().map(|flow| flow.service.name()).collect());
        self.flows = flows().count();
        self.items = items.iter().take(LISTED).cloned().collect();
        self
    }
}

impl Notice {
    /// Its flows or vantages, one a line, at most `most` of them and a line that counts the others.
    #[must_use]
    pub fn lines(&self, most: usize) -> Vec<String> {
        let line = |item: &Item| match &item.flow {
            Some(flow) => format!("{} -> {} {} {}", item.vantage, flow.target, flow.address, flow.service),
            None => item.vantage.clone(),
        };
        let mut lines: Vec<String> = self.items.iter().take(most).map(line).collect();
        let more = self.flows.max(self.items.len()).saturating_sub(lines.len());
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        lines
    }

    /// Which alert and sweep it is of.
    #[must_use]
    pub fn place(&self) -> String {
        match (self.alert, self.sweep, self.previous) {
            (Some(alert), Some(sweep), Some(previous)) => {
                format!("alert {alert}, sweep {sweep}, compared with sweep {previous}")
            }
            (Some(alert), Some(sweep), None) => format!("alert {alert}, sweep {sweep}"),
            (Some(_) | None, _, _) => "a test".to_owned(),
        }
    }
}

/// How far the delivery of a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoticeState {
    /// It will be tried, or tried again.
    Waiting,
    /// It was delivered.
    Sent,
    /// It was given up.
    Failed,
}

/// What became of a notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoticeSummary {
    /// The same in every attempt to deliver it.
    pub key: Uuid,
    /// Name of the channel.
    pub channel: String,
    /// What it tells.
    pub event: Event,
    /// How far its delivery is.
    pub state: NoticeState,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was written.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    #[schema(value_type = Option<String>)]
    pub done_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was given up.
    pub error: Option<String>,
}

pub(super) fn summary(row: Listed) -> Result<NoticeSummary> {
    let state = match row.state.as_str() {
        "waiting" => NoticeState::Waiting,
        "sent" => NoticeState::Sent,
        "failed" => NoticeState::Failed,
        other => return Err(strange("state of a notice", other)),
    };
    let event = match row.event.as_str() {
        "open" => Event::Open,
        "resolved" => Event::Resolved,
        "test" => Event::Test,
        other => return Err(strange("event of a notice", other)),
    };
    Ok(NoticeSummary {
        key: row.key,
        channel: row.channel,
        event,
        state,
        attempts: row.attempts,
        created_at: row.created_at.to_jiff(),
        done_at: row.done_at.map(jiff_sqlx::Timestamp::to_jiff),
        error: row.error,
    })
}

impl Services {
    /// Writes a notice that tries a channel; a round sends it, once.
    ///
    /// # Errors
    /// When this controller has no such channel.
    pub async fn test_channel(&self, actor: &Actor, channel: &str) -> Result<NoticeSummary> {
        let names = || self.channels().iter().map(|channel| channel.name.as_str());
        if !names().any(|name| name == channel) {
            let text = unknown("channel", channel, names()).replace("the inventory", "the configuration");
            return Err(Error::NotFound(text));
        }
        let text = format!("test: channel {channel} of Sekisho works");
        let notice = Notice { key: Uuid::now_v7(), ..Notice::new(Event::Test, text, Timestamp::now()) };
        let mut transaction = self.begin().await?;
        let new = NewNotice {
            key: notice.key,
            alert: None,
            channel,
            event: Event::Test.word(),
            body: body(&notice)?,
            refused: None,
        };
        store::notice::write(&mut transaction, &new).await?;
        let object = format!("channel {channel}");
        store::audit::record(&mut transaction, &actor.name, "alert test", &object, json!({})).await?;
        commit(transaction).await?;
        self.notice(notice.key).await
    }

    /// What became of a notice.
    ///
    /// # Errors
    /// When there is no such notice.
    pub async fn notice(&self, key: Uuid) -> Result<NoticeSummary> {
        let mut connection = self.connection().await?;
        let row = store::notice::find(&mut connection, key).await?;
        summary(row.ok_or_else(|| Error::NotFound(format!("there is no notice {key}")))?)
    }
}

/// A notice as it is kept.
pub(super) fn body(notice: &Notice) -> Result<serde_json::Value> {
    serde_json::to_value(notice).map_err(|error| Error::Internal(Box::new(error)))
}
