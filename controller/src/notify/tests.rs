//! What each channel is told, byte by byte.

use jiff::Timestamp;
use sekisho_domain::alert::{About, AlertKind, Item, ItemFlow};
use uuid::Uuid;

use super::{Secret, alertmanager, mail, slack, webhook};
use crate::service::{Notice, NoticeEvent};

fn notice(event: NoticeEvent) -> Notice {
    let flow = |target: &str| Item {
        vantage: "東京-vlan20".to_owned(),
        flow: Some(ItemFlow {
            target: target.to_owned(),
            address: "10.77.1.10".parse().unwrap(),
            service: "smb".parse().unwrap(),
        }),
    };
    let about = serde_json::json!({"kind": "gap", "cause": "path-filter", "outcome": "filtered", "by": null,
        "between": null, "control": null, "policies": ["p"], "regressed": 0, "since": null});
    let at: Timestamp = "2026-11-25T17:00:00Z".parse().unwrap();
    Notice {
        version: 1,
        key: Uuid::from_u128(7),
        event,
        alert: Some(12),
        kind: Some(AlertKind::Gap),
        summary: "gap: 130 flows filtered from 東京-vlan20 to <!channel> & dc2: smb".to_owned(),
        about: Some(serde_json::from_value::<About>(about).unwrap()),
        vantages: vec!["東京-vlan20".to_owned()],
        sites: vec!["tokyo".to_owned()],
        targets: vec!["<!channel>".to_owned(), "dc2".to_owned()],
        services: vec!["smb".to_owned()],
        flows: 130,
        items: vec![flow("<!channel>"), flow("dc2")],
        sweep: Some(17),
        previous: Some(16),
        opened_at: at,
        resolved_at: (event == NoticeEvent::Resolved).then_some(at),
    }
}

#[test]
fn the_notice_is_a_contract() {
    let json = serde_json::to_value(notice(NoticeEvent::Resolved)).unwrap();
    let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "about",
            "alert",
            "event",
            "flows",
            "items",
            "key",
            "kind",
            "opened_at",
            "previous",
            "resolved_at",
            "services",
            "sites",
            "summary",
            "sweep",
            "targets",
            "vantages",
            "version",
        ]
    );
    assert_eq!((&json["event"], &json["kind"]), (&"resolved".into(), &"gap".into()));
    assert_eq!(serde_json::from_value::<Notice>(json).unwrap(), notice(NoticeEvent::Resolved));
}

/// What `printf '1700000000.{}' | openssl dgst -sha256 -hmac key` says.
#[test]
fn the_signature_is_what_others_compute() {
    assert_eq!(
        webhook::signature(&Secret::new("key"), 1_700_000_000, b"{}"),
        "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    );
}

#[test]
fn slack_is_told_nothing_that_it_takes_for_a_mention() {
    let message = slack::message(&notice(NoticeEvent::Open));
    let text = message.to_string();
    assert!(!text.contains("<!channel>") && text.contains("&lt;!channel&gt; &amp; dc2"), "{text}");
    assert!(message["text"].as_str().unwrap().starts_with("gap: 130 flows"), "{text}");
    let listed = message["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(listed.contains("dc2 10.77.1.10 smb\nand 128 more"), "{listed}");
    let long = Notice { summary: "<".repeat(9_000), ..notice(NoticeEvent::Open) };
    let message = slack::message(&long);
    assert!(message["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() < 3_000);
}

#[test]
fn alertmanager_knows_an_alert_again_by_its_labels() {
    let now: Timestamp = "2026-11-25T18:00:00Z".parse().unwrap();
    let open = &alertmanager::alerts(&notice(NoticeEvent::Open), now)[0];
    let resolved = &alertmanager::alerts(&notice(NoticeEvent::Resolved), now)[0];
    assert_eq!(open["labels"], resolved["labels"]);
    assert_eq!(open["labels"]["alert"], "12");
    assert_eq!(
        (&open["startsAt"], &resolved["endsAt"]),
        (&"2026-11-25T17:00:00Z".into(), &"2026-11-25T17:00:00Z".into())
    );
    assert_eq!(open["endsAt"], "2027-11-26T18:00:00Z");
}

#[test]
fn mail_is_plain_text_that_any_program_reads() {
    let from = "関所 <sekisho@example.com>".parse().unwrap();
    let to = ["\"Ops, Night\" <ops@example.com>".parse().unwrap(), "b@example.com".parse().unwrap()];
    let mut notice = notice(NoticeEvent::Open);
    notice.summary = "gap\r\nBcc: 関所@example.com".to_owned();
    let message = mail::message(&notice, &from, &to).unwrap().formatted();
    let text = String::from_utf8(message).unwrap();
    let (head, _) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.is_ascii(), "{head}");
    assert!(head.contains("Message-ID: <00000000-0000-0000-0000-000000000007@example.com>"), "{head}");
    // "Ops, Night", whose comma separates no addresses.
    assert!(head.contains("To: =?utf-8?b?T3BzLCBOaWdodA==?= <ops@example.com>, b@example.com"), "{head}");
    // A line feed in the subject would begin a header of its own in a program that decodes it.
    assert!(head.contains("Subject: [sekisho] gap  Bcc: =?utf-8?b?"), "{head}");
}
