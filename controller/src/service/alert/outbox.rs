//! Writes the notices of a decision, in its transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sekisho_domain::alert::{Alert, Item, Tell, Tracked, Update};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::service::{
    Channel, Notice, NoticeEvent, Result,
    notice::{WAITING, body},
};
use crate::store::{self, notice::NewNotice};

pub(super) struct Outbox<'a> {
    connection: &'a mut PgConnection,
    channels: &'a [Channel],
    sweep: i64,
    previous: Option<i64>,
    /// Sites of the vantages.
    sites: BTreeMap<String, String>,
    /// How many more notices may wait.
    room: i64,
}

impl<'a> Outbox<'a> {
    pub(super) async fn new(
        connection: &'a mut PgConnection,
        channels: &'a [Channel],
        sweep: i64,
        previous: Option<i64>,
        sites: BTreeMap<String, String>,
    ) -> Result<Self> {
        let (waiting, _) = store::notice::counts(connection).await?;
        Ok(Self { connection, channels, sweep, previous, sites, room: WAITING.saturating_sub(waiting) })
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// Tells of an alert that was opened.
    pub(super) async fn opened(&mut self, id: i64, alert: &Alert, at: Timestamp) -> Result<()> {
        let summary = alert.about.sentence(&alert.items);
        let notice = Notice {
            alert: Some(id),
            kind: Some(alert.about.kind),
            about: Some(alert.about.clone()),
            sweep: Some(self.sweep),
            previous: self.previous,
            ..Notice::new(NoticeEvent::Open, summary, at).of_items(&alert.items, &self.sites)
        };
        let wants =
            |channel: &&Channel| channel.filter.lets_through(&alert.about, notice.flows, &notice.sites);
        let channels: Vec<String> =
            self.channels.iter().filter(wants).map(|channel| channel.name.clone()).collect();
        self.write(&channels, &notice).await
    }

    /// Tells what became of a known alert those who were told of it.
    pub(super) async fn updated(
        &mut self,
        update: &Update,
        known: Option<&Tracked>,
        at: Timestamp,
    ) -> Result<()> {
        let (Some(tell), Some(known)) = (update.tell, known) else { return Ok(()) };
        let Some(row) = store::alert::find(self.connection, update.id).await? else { return Ok(()) };
        let (event, how) = match tell {
            Tell::Again => (NoticeEvent::Open, "again"),
            Tell::Resolved => (NoticeEvent::Resolved, "resolved"),
            Tell::Forgotten => (NoticeEvent::Resolved, "not tested for 30 days"),
        };
        let summary = format!("{how}: {}", row.sentence);
        // What is told to be there again is what is there; what is over is all that it was.
        let is_meant = |ended: &Option<Timestamp>| event == NoticeEvent::Resolved || ended.is_none();
        let ended = |item: &Item, before: &Option<Timestamp>| *update.items.get(item).unwrap_or(before);
        let items = known.items.iter().filter(|(item, before)| is_meant(&ended(item, before)));
        let items: Vec<Item> = items.map(|(item, _)| item.clone()).collect();
        let notice = Notice {
            alert: Some(update.id),
            kind: Some(known.kind),
            about: Some(row.about()?),
            sweep: Some(self.sweep),
            previous: self.previous,
            resolved_at: (event == NoticeEvent::Resolved).then_some(at),
            ..Notice::new(event, summary, row.opened_at.to_jiff()).of_items(&items, &self.sites)
        };
        let channels = store::notice::channels_of(self.connection, update.id).await?;
        self.write(&channels, &notice).await
    }

    async fn write(&mut self, channels: &[String], notice: &Notice) -> Result<()> {
        for channel in channels {
            let full = format!("{WAITING} notices are waiting already");
            let refused = (self.room <= 0).then_some(full.as_str());
            self.room = self.room.saturating_sub(1);
            let notice = Notice { key: Uuid::now_v7(), ..notice.clone() };
            let new = NewNotice {
                key: notice.key,
                alert: notice.alert,
                channel,
                event: notice.event.word(),
                body: body(&notice)?,
                refused,
            };
            store::notice::write(self.connection, &new).await?;
        }
        Ok(())
    }
}
