//! Alertmanager, API version 2.
//!
//! It takes an alert that is not repeated for resolved after some minutes, so an open one is given an end a long time from
//! when it began; a resolved one has the true end. Labels are the same in both: they are what an alert is.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Endpoint, Secret, http::Http};
use crate::service::{Courier, Delivery, Notice, NoticeEvent};

/// How long an alert that nobody resolves is shown: longer than the controller itself remembers one that no sweep confirms.
const LIFE: SignedDuration = SignedDuration::from_hours(366 * 24);

pub(super) struct Alertmanager {
    http: Http,
    token: Option<Secret>,
}

impl Alertmanager {
    pub(super) fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        let mut url = endpoint.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v2", "alerts"]);
        }
        Ok(Self { http: Http::new(&endpoint, url)?, token: endpoint.secret })
    }
}

impl Courier for Alertmanager {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivery<'a> {
        Box::pin(async move {
            let mut request = self.http.post().json(&alerts(notice, Timestamp::now()));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.reveal());
            }
            self.http.send(request).await
        })
    }
}

/// What Alertmanager reads at `now`.
pub(super) fn alerts(notice: &Notice, now: Timestamp) -> Value {
    let name = match notice.event {
        NoticeEvent::Open | NoticeEvent::Resolved => "Sekisho",
        NoticeEvent::Test => "SekishoTest",
    };
    let kind = notice.kind.map_or("test", |kind| kind.word());
    let cause = notice.about.as_ref().and_then(|about| about.cause).map_or("", |cause| cause.word());
    // Alertmanager refuses an end before the beginning.
    let end = match (notice.event, notice.resolved_at) {
        (NoticeEvent::Open, _) => now.checked_add(LIFE).unwrap_or(Timestamp::MAX),
        (NoticeEvent::Resolved, Some(end)) => end.max(notice.opened_at),
        (NoticeEvent::Resolved | NoticeEvent::Test, _) => now.max(notice.opened_at),
    };
    let lines = notice.lines(usize::MAX).join("\n");
    json!([{
        "labels": {
            "alertname": name,
            "kind": kind,
            "cause": cause,
            "alert": notice.alert.map(|id| id.to_string()).unwrap_or_default(),
        },
        "annotations": {
            "summary": notice.summary,
            "description": lines,
            "vantages": notice.vantages.join(", "),
            "key": notice.key,
        },
        "startsAt": notice.opened_at,
        "endsAt": end,
    }])
}
