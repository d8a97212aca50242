use std::time::Duration;

use sekisho::service::{Beat, Error, Event, ProbeStatus};
use uuid::Uuid;

use crate::fleet::{Controller, LISTED, Probe, enrolment, operator, settings, wait_for};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_token_enrols_one_probe_however_many_try() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let token = controller.services.create_enrolment_token(&operator(), "vlan20", HOUR).await.unwrap();
    // All of them are held at the token, so that they really meet there.
    let mut barrier = controller.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM enrolment_token FOR UPDATE").execute(&mut *barrier).await.unwrap();
    let tries = (0..6).map(|_| {
        let (services, request) = (controller.services.clone(), enrolment(&token.secret));
        tokio::spawn(async move { services.enrol(request).await })
    });
    let tries: Vec<_> = tries.collect();
    wait_for("six enrolments at the token", || async {
        let waiting = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";
        (controller.count(waiting).await == 6).then_some(())
    })
    .await;
    barrier.commit().await.unwrap();
    let mut enrolled = 0;
    for attempt in tries {
        match attempt.await.unwrap() {
            Ok(probe) => {
                enrolled += 1;
                assert_eq!(probe.vantage, "vlan20");
                assert_eq!(probe.trust.len(), 1);
            }
            Err(error) => assert!(error.to_string().contains("used before"), "{error}"),
        }
    }
    assert_eq!(enrolled, 1);
    assert_eq!(controller.count("SELECT count(*) FROM probe").await, 1);
    assert_eq!(controller.count("SELECT count(*) FROM certificate").await, 1);
}

#[tokio::test]
async fn what_is_not_a_good_token_is_refused_with_the_way_out() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let services = &controller.services;
    let refusal =
        |secret: String| async move { services.enrol(enrolment(&secret)).await.unwrap_err().to_string() };

    let text = refusal("nonsense".to_owned()).await;
    assert!(text.contains("not known here") && text.contains("sekisho probe token"), "{text}");

    let token = services.create_enrolment_token(&operator(), "vlan20", HOUR).await.unwrap();
    sqlx::query("UPDATE enrolment_token SET expires_at = now() - interval '1 s'")
        .execute(&controller.pool)
        .await
        .unwrap();
    assert!(refusal(token.secret).await.contains("has expired"));

    let bad = services.create_enrolment_token(&operator(), "vlan30", HOUR).await;
    let Err(Error::NotFound(text)) = bad else { panic!("{bad:?}") };
    assert!(text.contains("the inventory has vlan10, vlan20"), "{text}");
    let long = services.create_enrolment_token(&operator(), "vlan20", HOUR * 24 * 8).await;
    assert!(matches!(long, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_bad_signing_request_leaves_the_token_usable() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let token = controller.services.create_enrolment_token(&operator(), "vlan20", HOUR).await.unwrap();
    let mut request = enrolment(&token.secret);
    request.csr = b"bad".to_vec();
    assert!(matches!(controller.services.enrol(request).await, Err(Error::Invalid(_))));
    controller.services.enrol(enrolment(&token.secret)).await.unwrap();
}

#[tokio::test]
async fn no_secret_reaches_the_database() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let token = controller.services.create_enrolment_token(&operator(), "vlan20", HOUR).await.unwrap();
    assert_eq!(token.secret.len(), 43);
    assert!(!format!("{token:?}").contains(&token.secret));
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT t::text FROM enrolment_token t UNION ALL SELECT a::text FROM audit a")
            .fetch_all(&controller.pool)
            .await
            .unwrap();
    assert!(rows.iter().all(|row| !row.contains(&token.secret)), "{rows:?}");
}

#[tokio::test]
async fn a_revoked_probe_can_do_nothing_any_more() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let _background = controller.background();
    let probe = controller.probe("vlan20").await;
    let id = probe.session.probe;
    let services = &controller.services;
    assert_eq!(services.probe(&id.to_string()[..8]).await.unwrap().status, ProbeStatus::Online);
    services.renew(id, b"good").await.unwrap();
    assert_eq!(services.revoked_certificates().await.unwrap().len(), 0);

    let mut events = services.subscribe();
    wait_for("the event listener", || async { services.health().await.checks[1].ok.then_some(()) }).await;
    let revoked = services.revoke_probe(&operator(), &id.to_string()).await.unwrap();
    assert_eq!(revoked.status, ProbeStatus::Revoked);
    let event = tokio::time::timeout(Duration::from_secs(5), async {
        while events.recv().await.unwrap() != (Event::ProbeRevoked { probe: id }) {}
    });
    event.await.expect("the revocation is told to every controller");

    assert!(matches!(services.renew(id, b"good").await, Err(Error::Forbidden(_))));
    assert!(matches!(services.heartbeat(&probe.session, &Beat::default()).await, Err(Error::Forbidden(_))));
    assert!(matches!(services.work(&probe.session, &probe.held).await, Err(Error::Forbidden(_))));
    assert!(matches!(services.ingest(id, Vec::new()).await, Err(Error::Forbidden(_))));
    assert_eq!(services.revoked_certificates().await.unwrap().len(), 2);
    assert!(matches!(services.renew(Uuid::new_v4(), b"good").await, Err(Error::Forbidden(_))));
}

#[tokio::test]
async fn the_newest_session_counts() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let old = controller.probe("vlan20").await;
    let new = Probe::connect(&controller, old.session.probe).await;
    let services = &controller.services;
    assert!(matches!(services.heartbeat(&old.session, &Beat::default()).await, Err(Error::Conflict(_))));
    assert!(matches!(services.work(&old.session, &old.held).await, Err(Error::Conflict(_))));
    services.close_session(&old.session).await.unwrap();
    services.heartbeat(&new.session, &Beat { spooled: 7, ..Beat::default() }).await.unwrap();
    assert_eq!(services.probes().await.unwrap()[0].spooled, 7);
}

#[tokio::test]
async fn probes_are_found_by_the_beginning_of_their_id() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    controller.probe("vlan20").await;
    let services = &controller.services;
    for bad in ["", "%", "x"] {
        assert!(matches!(services.probe(bad).await, Err(Error::Invalid(_))), "{bad}");
    }
    let none = Uuid::nil().to_string();
    assert!(matches!(services.probe(&none).await, Err(Error::NotFound(_))));
    sqlx::query(
        "INSERT INTO probe (id, vantage_id, host, version)
         SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, (SELECT min(id) FROM vantage), 'h', 'v'
         FROM generate_series(1, 2) AS n",
    )
    .execute(&controller.pool)
    .await
    .unwrap();
    assert!(matches!(services.probe("00000000-0").await, Err(Error::Conflict(_))));
}
