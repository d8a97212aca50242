//! Incoming webhooks of Slack.

use serde_json::{Value, json};

use super::{Endpoint, http::Http};
use crate::service::{Courier, Delivery, Notice, NoticeEvent};

/// Most flows that a message lists.
const FLOWS: usize = 20;
/// Most characters of one text: Slack takes 3000.
const LENGTH: usize = 2_900;

pub(super) struct Slack {
    http: Http,
}

impl Slack {
    pub(super) fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(&endpoint, endpoint.url.clone())? })
    }
}

impl Courier for Slack {
    fn deliver<'a>(&'a self, notice: &'a Notice) -> Delivery<'a> {
        Box::pin(async move { self.http.send(self.http.post().json(&message(notice))).await })
    }
}

/// What Slack reads. `text` is for where blocks are not shown.
pub(super) fn message(notice: &Notice) -> Value {
    let sign = match notice.event {
        NoticeEvent::Open => ":warning:",
        NoticeEvent::Resolved => ":white_check_mark:",
        NoticeEvent::Test => ":wave:",
    };
    let section = |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text}});
    let mut blocks = vec![section(format!("{sign} {}", escaped(&notice.summary)))];
    let lines: Vec<String> = notice.lines(FLOWS).iter().map(|line| escaped(line)).collect();
    if !lines.is_empty() {
        blocks.push(section(format!("```{}```", lines.join("\n").replace('`', "'"))));
    }
    let context = escaped(&format!("{} · key {}", notice.place(), notice.key));
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": context}]}));
    json!({"text": escaped(&notice.summary), "blocks": blocks})
}

/// The three characters with which Slack's links and mentions begin and end.
fn escaped(text: &str) -> String {
    let text: String = text.chars().take(LENGTH / 2).collect();
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.chars().take(LENGTH).collect()
}
