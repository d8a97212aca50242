//! What an enrolled probe with a valid certificate tries against its controller.

use std::{net::IpAddr, time::Duration};

use sekisho::service::{Discovered, Error, OrderTaskKind, Settings, SweepRef, SweepRequest};
use sekisho_model::{Outcome, SweepState};
use sekisho_proto::v1::{self, controller_message::Message as Out, probe_message::Message as In};
use tonic::Code;
use uuid::Uuid;

use crate::{
    cluster,
    fleet::{Controller, LISTED, SEARCHED, observed, operator, results, settings, wait_for},
    link::{listening, observations},
    link_support::{Link, Listening, request},
};

#[tokio::test]
async fn a_result_that_is_handed_in_again_and_again_uses_no_numbers_up() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    for _ in 0..20 {
        probe.hand_in(results(&order)).await;
    }
    let last = controller.count("SELECT last_value FROM target_id_seq").await;
    assert!(last <= 2, "{last} numbers are used for one target");
}

#[tokio::test]
async fn a_probe_that_names_hundreds_of_targets_does_not_stop_a_sweep() {
    let controller = Controller::new(settings()).await;
    let ports: Vec<String> = (1..=256).map(|port| format!("\"tcp/{port}\"")).collect();
    let profile = format!("[[profile]]\nname = \"many\"\nservices = [{}]\n", ports.join(", "));
    let vantages = "[[vantage]]\nname = \"vlan30\"\n[[vantage]]\nname = \"vlan40\"\n";
    controller.apply(&format!("{SEARCHED}{vantages}{profile}")).await;
    let mut probes = Vec::new();
    for vantage in ["vlan10", "vlan20", "vlan30", "vlan40"] {
        probes.push(controller.probe(vantage).await);
    }
    let request = SweepRequest { profile: Some("many".to_owned()), ..SweepRequest::default() };
    let id = controller.services.start_sweep(&operator(), request).await.unwrap().summary.id;
    for (number, probe) in probes.iter_mut().enumerate() {
        let order = probe.work().await.orders.remove(0);
        let mut found = results(&order);
        if number == 0 {
            let host = |n: u8| IpAddr::from([10, 66, 6, n]);
            found[0].discovered = (0..=255)
                .map(|n| Discovered { host: format!("h{n}.corp.example"), address: host(n) })
                .collect();
        }
        probe.hand_in(found).await;
    }
    let sweep = controller.sweep(id).await;
    assert_eq!(sweep.summary.state, SweepState::Running, "{:?}", sweep.note);
    assert_eq!(sweep.summary.planned, 4 * 256, "one target at four vantages: {:?}", sweep.note);
    assert!(sweep.note.unwrap().starts_with("256 targets are left out"));
}

#[tokio::test]
async fn certificates_are_not_given_without_end() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let probe = controller.probe("vlan10").await.session.probe;
    let services = &controller.services;
    let mut given = 1;
    let refused = loop {
        match services.renew(probe, b"good").await {
            Ok(_) => given += 1,
            Err(refused) => break refused,
        }
        assert!(given < 100, "every renewal is granted");
    };
    assert!(matches!(&refused, Error::Conflict(text) if text.contains(&probe.to_string())), "{refused}");
    assert_eq!(given, 16);
    sqlx::query("UPDATE certificate SET not_before = now() - interval '3 days', not_after = now() - interval '2 days'")
        .execute(&controller.pool)
        .await
        .unwrap();
    services.renew(probe, b"good").await.unwrap();
    assert_eq!(controller.count("SELECT count(*) FROM certificate").await, 1, "what ended is forgotten");
}

#[tokio::test]
async fn one_certificate_cannot_take_every_connection() {
    let listening = listening(LISTED).await;
    let (_, thief) = listening.enrol("vlan10").await;
    let (_, honest) = listening.enrol("vlan20").await;
    let mut honest = listening.session(&honest, Vec::new()).await;
    let mut first = listening.session(&thief, Vec::new()).await;
    let mut others = Vec::new();
    for _ in 0..12 {
        others.push(listening.fleet(Some(&thief)).await);
    }
    // Its oldest connections made room, and nobody else's.
    let ended = first.end().await;
    assert_ne!(ended.code(), Code::Ok, "{ended}");
    honest.send(In::Heartbeat(v1::Heartbeat { sequence: 7, ..Default::default() })).await;
    assert!(matches!(honest.next().await, Out::Heartbeat(v1::HeartbeatReply { sequence: 7, .. })));
}

/// The status that a session ends with after these messages.
async fn ends_after(link: &mut Link, messages: Vec<In>) -> tonic::Status {
    for message in messages {
        link.send(message).await;
    }
    link.end().await
}

#[tokio::test]
async fn what_breaks_the_order_of_a_session_is_told_by_name() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let status = ends_after(&mut link, vec![In::Hello(v1::Hello::default())]).await;
    assert!(status.message().contains("Hello comes once"), "{status}");
    let mut link = listening.session(&identity, Vec::new()).await;
    let finished = v1::JobFinished { job: vec![1, 2, 3] };
    let status = ends_after(&mut link, vec![In::JobFinished(finished)]).await;
    assert!(status.message().contains("JobFinished.job"), "{status}");
    let mut link = listening.session(&identity, Vec::new()).await;
    let fact = v1::Fact { name: "a".to_owned(), value: Some(v1::fact::Value::Text("x".repeat(2 << 20))) };
    let huge = v1::Observation { facts: vec![fact], ..v1::Observation::default() };
    let huge = v1::ObservationBatch { batch: 1, observations: vec![huge] };
    link.send(In::Observations(huge)).await;
    link.closed().await;
    // A Hello that cannot be, field by field.
    type Damage = fn(&mut v1::Hello);
    let damages: [(&str, Damage); 6] = [
        ("version", |h| h.protocol = 0),
        ("host", |h| h.host = "\u{1b}[2J".to_owned()),
        ("host", |h| h.host = "a\0b".to_owned()),
        ("version", |h| h.version = "x".repeat(256)),
        ("service", |h| h.services = vec!["s\n".to_owned()]),
        ("256 services", |h| h.services = vec![String::new(); 257]),
    ];
    for (field, damage) in damages {
        let mut hello = v1::Hello { protocol: 1, icmp: "none".to_owned(), ..v1::Hello::default() };
        damage(&mut hello);
        let refused = listening.greet(&identity, hello).await.unwrap_err();
        assert!(refused.message().contains(field), "{field}: {refused}");
    }
    let strange = prost_types::Timestamp { seconds: i64::MAX, nanos: -5 };
    let hello =
        v1::Hello { protocol: u32::MAX, spooled: u64::MAX, clock: Some(strange), ..v1::Hello::default() };
    listening.greet(&identity, hello).await.unwrap();
}

#[tokio::test]
async fn numbers_at_their_ends_and_texts_of_strangers_are_kept() {
    let listening = listening(LISTED).await;
    let (_, identity) = listening.enrol("vlan20").await;
    let mut link = listening.session(&identity, Vec::new()).await;
    let id = listening.controller.run().await.summary.id;
    let job = link.job().await;
    let mut batch = observations(&job, v1::Outcome::Wrong);
    for (number, observation) in batch.observations.iter_mut().enumerate() {
        observation.rtt_us = u32::MAX;
        observation.attempts = u32::MAX;
        observation.by = ["::", "255.255.255.255", "::ffff:10.0.0.1", "ff02::1"][number % 4].to_owned();
        let at = [253_402_207_200, -377_705_023_201, i64::MAX, 4_102_444_800][number % 4];
        observation.observed_at = Some(prost_types::Timestamp { seconds: at, nanos: i32::MIN });
        let integer = [i64::MIN, i64::MAX][number % 2];
        let text = "\0\u{1}\u{1b}]0;x\u{7}\u{202e}\u{ffff}\u{10ffff}\\u0000\"{}".to_owned();
        observation.facts = vec![
            v1::Fact { name: "number".to_owned(), value: Some(v1::fact::Value::Integer(integer)) },
            v1::Fact { name: "banner".to_owned(), value: Some(v1::fact::Value::Text(text)) },
        ];
        observation.evidence = vec![v1::Attempt {
            at_us: u64::MAX,
            took_us: u64::MAX,
            source_port: 65_535,
            signal: "icmp".to_owned(),
            icmp_type: 255,
            icmp_code: 255,
            offender: "::1".to_owned(),
            ttl: 255,
            sent_bytes: u32::MAX,
            received_bytes: u32::MAX,
        }];
    }
    link.send(In::Observations(batch)).await;
    assert!(matches!(link.next().await, Out::Ack(_)));
    let services = &listening.controller.services;
    let matrix = services.matrix(SweepRef::Id(id)).await.unwrap();
    let cells: Vec<_> = matrix.cells.iter().filter(|cell| cell.outcome == Outcome::Wrong).collect();
    assert_eq!(cells.len(), 24);
    assert!(cells.iter().all(|cell| cell.facts.len() == 2 && cell.observed_at.is_some()));
    serde_json::to_string(&matrix).unwrap();
}

#[tokio::test]
async fn a_probe_cannot_touch_the_jobs_of_other_vantages() {
    let listening = listening(LISTED).await;
    let (_, honest) = listening.enrol("vlan10").await;
    let (_, thief) = listening.enrol("vlan20").await;
    let mut honest = listening.session(&honest, Vec::new()).await;
    let id = listening.controller.run().await.summary.id;
    let job = honest.job().await;
    let mut thief = listening.session(&thief, vec![Uuid::from_slice(&job.id).unwrap()]).await;
    let batch = v1::ObservationBatch { batch: 9, ..observations(&job, v1::Outcome::Open) };
    thief.send(In::Observations(batch)).await;
    thief.send(In::JobFinished(v1::JobFinished { job: job.id.clone() })).await;
    while !matches!(thief.next().await, Out::Ack(v1::Ack { batch: 9 })) {}
    honest.send(In::Observations(observations(&job, v1::Outcome::Filtered))).await;
    assert!(matches!(honest.next().await, Out::Ack(_)));
    let matrix = listening.controller.services.matrix(SweepRef::Id(id)).await.unwrap();
    assert_eq!(matrix.cells.len(), 24);
    assert!(matrix.cells.iter().all(|cell| cell.vantage == "vlan10" && cell.outcome == Outcome::Filtered));
}

#[tokio::test]
async fn hundreds_of_sessions_with_one_certificate_leave_the_others_alone() {
    let listening = listening(LISTED).await;
    let (_, thief) = listening.enrol("vlan10").await;
    let (_, honest) = listening.enrol("vlan20").await;
    let mut honest = listening.session(&honest, Vec::new()).await;
    let mut client = listening.fleet(Some(&thief)).await;
    for sequence in 1..=200 {
        let hello = v1::Hello { protocol: 1, icmp: "none".to_owned(), ..v1::Hello::default() };
        let session = crate::link_support::open(&mut client, hello).await.unwrap();
        if sequence % 50 == 0 {
            honest.send(In::Heartbeat(v1::Heartbeat { sequence, ..Default::default() })).await;
            let Out::Heartbeat(reply) = honest.next().await else { panic!("a reply") };
            assert_eq!(reply.sequence, sequence);
        }
        drop(session);
    }
    listening.controller.run().await;
    assert_eq!(honest.job().await.tasks.len(), 24);
}

#[tokio::test]
async fn a_probe_that_floods_and_does_not_read_loses_its_session_and_nobody_elses() {
    let settings = Settings { heartbeat: Duration::from_millis(300), ..Settings::default() };
    let listening = Listening::start(cluster::shared().database().await, settings).await;
    listening.controller.apply(LISTED).await;
    let (_, identity) = listening.enrol("vlan10").await;
    let flood = listening.session(&identity, Vec::new()).await;
    let flooding = tokio::spawn(async move {
        let mut sequence = 0;
        while flood.try_send(In::Heartbeat(v1::Heartbeat { sequence, ..Default::default() })).await {
            sequence += 1;
        }
    });
    wait_for("the session to be closed", || async {
        listening.controller.services.probes().await.unwrap()[0].controller.is_none().then_some(())
    })
    .await;
    flooding.abort();
    let mut again = listening.session(&identity, Vec::new()).await;
    again.send(In::Heartbeat(v1::Heartbeat { sequence: 1, ..Default::default() })).await;
    assert!(matches!(again.next().await, Out::Heartbeat(_)));
}

#[tokio::test]
async fn an_enrolment_of_another_size_is_refused_before_it_is_read() {
    let listening = listening(LISTED).await;
    let (csr, _) = request();
    for (secret, host, expected) in [
        ("x".repeat(100_000), "h".to_owned(), "16384"),
        ("x".to_owned(), "a\0b".to_owned(), "host"),
        ("x".to_owned(), "\u{1b}[31m".to_owned(), "host"),
        ("x".to_owned(), "h".repeat(256), "host"),
        ("' OR 1=1 --".to_owned(), "h".to_owned(), "not known here"),
        ("\0".to_owned(), "h".to_owned(), "not known here"),
    ] {
        let request = v1::EnrolRequest { secret, csr: csr.clone(), host, version: "1".to_owned() };
        let refused = listening.enrolment(request).await.unwrap_err();
        assert!(refused.message().contains(expected), "{expected}: {refused}");
    }
}

#[tokio::test]
async fn a_token_is_good_once_also_for_one_who_copied_it() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let hour = Duration::from_secs(3_600);
    let token = controller.services.create_enrolment_token(&operator(), "vlan10", hour).await.unwrap();
    let enrolled = controller.services.enrol(crate::fleet::enrolment(&token.secret)).await.unwrap();
    controller.services.revoke_probe(&operator(), &enrolled.probe.to_string()).await.unwrap();
    let replay = controller.services.enrol(crate::fleet::enrolment(&token.secret)).await.unwrap_err();
    assert!(replay.to_string().contains("used before"), "{replay}");
}

#[tokio::test]
async fn results_of_discovery_for_checks_and_the_other_way_round_do_no_harm() {
    let controller = Controller::new(settings()).await;
    controller.apply(SEARCHED).await;
    let mut probe = controller.probe("vlan10").await;
    controller.run().await;
    let order = probe.work().await.orders.remove(0);
    assert!(matches!(order.tasks[0].kind, OrderTaskKind::Discovery { .. }));
    let mut strange = observed(order.id, 0, Outcome::Open);
    let anywhere = ["0.0.0.0", "255.255.255.255", "ff02::1", "::", "::ffff:1.2.3.4"];
    strange.discovered = anywhere
        .iter()
        .map(|address| Discovered { host: "dc.corp.example".to_owned(), address: address.parse().unwrap() })
        .chain([Discovered { host: "a b\u{fffd}".to_owned(), address: IpAddr::from([10, 0, 0, 1]) }])
        .collect();
    assert_eq!(probe.hand_in(vec![strange]).await.new, 1);
    assert_eq!(controller.count("SELECT count(*) FROM target").await, 0, "what is no host is no target");
}
