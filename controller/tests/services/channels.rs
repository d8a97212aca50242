//! Channels against what they are for: a real mail server, a real Alertmanager.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use sekisho::{
    notify::{Endpoint, How, Mail, Secret, Setup, Tls},
    service::{NoticeState, NoticeSummary},
};
use sekisho_domain::alert::Filter;
use serde_json::Value;

use crate::{
    alerts::{SMB, fleet, night, patient},
    fleet::{operator, wait_for},
};

/// A program that ends with the test.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn setup(name: &str, how: How) -> Setup {
    Setup { name: name.to_owned(), filter: Filter::default(), how }
}

struct MailServer {
    _program: Program,
    _stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
    port: u16,
    /// Its certificate, which is its own authority.
    certificate: Vec<u8>,
}

impl MailServer {
    fn new(directory: &Path, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut command = Command::new("/usr/bin/python3");
        command.arg("tests/support/mail_server.py").arg(certificate).arg(key).args(["sekisho", "hunter2"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let program = Program(child);
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        let port = port.trim().parse();
        let port = port.expect("the mail server starts: it needs the Debian package python3-aiosmtpd");
        Self { _program: program, _stdin: stdin, lines, port, certificate: made.cert.pem().into_bytes() }
    }

    fn mail(&self, password: &str) -> Mail {
        Mail {
            host: "localhost".to_owned(),
            port: self.port,
            tls: Tls::Starttls,
            authorities: Some(self.certificate.clone()),
            login: Some(("sekisho".to_owned(), Secret::new(password))),
            from: "関所 <sekisho@example.com>".parse().unwrap(),
            to: vec!["ops@example.com".parse().unwrap(), "b@example.com".parse().unwrap()],
        }
    }

    fn message(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test]
async fn mail_goes_out_over_starttls() {
    let place = tempfile::tempdir().unwrap();
    let mut server = MailServer::new(place.path(), "localhost");
    let strange = Mail { authorities: None, ..server.mail("hunter2") };
    let setups = [("mail", server.mail("hunter2")), ("denied", server.mail("*******")), ("strange", strange)]
        .map(|(name, mail)| setup(name, How::Email(Box::new(mail))));
    let mut fleet = fleet(patient(), setups.into()).await;
    night(&mut fleet, &SMB[..1]).await;
    let services = fleet.0.services.clone();
    services.consider_sweeps().await.unwrap();
    assert_eq!(services.deliver_notices("mail").await.unwrap(), 1);
    let message = server.message();
    let notice = services.alerts(false, 9).await.unwrap().remove(0).notices;
    let notice = notice.into_iter().find(|notice| notice.channel == "mail").unwrap();
    assert_eq!((&message["tls"], &message["authenticated"]), (&true.into(), &true.into()));
    assert_eq!(message["from"], "sekisho@example.com");
    assert_eq!(message["to"], serde_json::json!(["ops@example.com", "b@example.com"]));
    let content = message["content"].as_str().unwrap();
    assert!(content.contains(&format!("Message-ID: <{}@example.com>", notice.key)), "{content}");
    assert!(content.contains("Subject: [sekisho] gap: 1 flow filtered"), "{content}");
    assert!(content.contains("vlan20 -> dc1.corp.example 10.77.1.10 smb"), "{content}");
    assert_eq!(notice.state, NoticeState::Sent);

    for (channel, why) in [("denied", "authentication"), ("strange", "certificate")] {
        let asked = services.test_channel(&operator(), channel).await.unwrap();
        services.deliver_notices(channel).await.unwrap();
        let became: NoticeSummary = services.notice(asked.key).await.unwrap();
        let error = became.error.unwrap().to_lowercase();
        assert_eq!(became.state, NoticeState::Failed);
        assert!(error.contains(why) && !error.contains("*******"), "{channel}: {error}");
    }
}

/// An Alertmanager of its own, and its address.
async fn alertmanager(directory: &Path) -> (Program, String) {
    let config = directory.join("alertmanager.yml");
    std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").unwrap();
    // Free when it is asked for, and asked for by nobody else on this machine's loopback.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let mut command = Command::new("/usr/bin/prometheus-alertmanager");
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.path={}", directory.join("data").display()));
    command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn();
    let child = child.expect("this test needs the Debian package prometheus-alertmanager");
    let url = format!("http://{address}");
    wait_for("Alertmanager", async || reqwest::get(format!("{url}/-/ready")).await.ok()).await;
    (Program(child), url)
}

async fn shown(url: &str, active: bool) -> Vec<Value> {
    let url = format!("{url}/api/v2/alerts?active={active}");
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn alertmanager_shows_an_alert_and_its_end() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let place = tempfile::tempdir().unwrap();
    let (_program, url) = alertmanager(place.path()).await;
    let endpoint = Endpoint { url: url.parse().unwrap(), secret: None, authorities: None };
    let mut fleet = fleet(patient(), vec![setup("am", How::Alertmanager(endpoint))]).await;
    let services = fleet.0.services.clone();
    night(&mut fleet, &SMB[..1]).await;
    services.consider_sweeps().await.unwrap();
    assert_eq!(services.deliver_notices("am").await.unwrap(), 1);
    let alert = services.alerts(false, 9).await.unwrap().remove(0);
    assert_eq!(alert.notices[0].state, NoticeState::Sent, "{:?}", alert.notices[0]);
    let active = shown(&url, true).await;
    assert_eq!(active.len(), 1, "{active:?}");
    let labels = serde_json::json!(
        {"alertname": "Sekisho", "kind": "gap", "cause": "path-filter", "alert": alert.id.to_string()});
    assert_eq!((&active[0]["labels"], &active[0]["status"]["state"]), (&labels, &"active".into()));
    assert_eq!(active[0]["annotations"]["summary"], alert.summary);

    night(&mut fleet, &[]).await;
    services.consider_sweeps().await.unwrap();
    assert_eq!(services.deliver_notices("am").await.unwrap(), 1);
    wait_for("the end of the alert", async || shown(&url, true).await.is_empty().then_some(())).await;
    let asked = services.test_channel(&operator(), "am").await.unwrap();
    services.deliver_notices("am").await.unwrap();
    assert_eq!(services.notice(asked.key).await.unwrap().state, NoticeState::Sent);
}
