use super::*;

fn checked(text: &str, directory: &Path) -> Checked<Vec<Setup>> {
    #[derive(Deserialize)]
    struct File {
        alert: Vec<AlertWish>,
    }
    let file: File = toml::from_str(text).unwrap();
    channels(&file.alert, directory)
}

fn directory() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("key"), "hunter2\n").unwrap();
    std::fs::write(place.path().join("url"), "https://hooks.example/services/T0KEN\n").unwrap();
    std::fs::write(place.path().join("empty"), "\n").unwrap();
    place
}

#[test]
fn every_kind_of_channel_is_read() {
    let place = directory();
    let text = r#"
        [[alert]]
        name = "operators"
        kind = "webhook"
        url = "https://alerts.example/sekisho"
        secret_file = "key"
        kinds = ["gap", "lost-vantage"]
        sites = ["tokyo"]
        min_flows = 3
        [[alert]]
        name = "chat"
        kind = "slack"
        url_file = "url"
        [[alert]]
        name = "am"
        kind = "alertmanager"
        url = "http://localhost:9093/prefix"
        [[alert]]
        name = "mail"
        kind = "email"
        smtp = "mail.example:587"
        tls = "starttls"
        from = "関所 <sekisho@example.com>"
        to = ["network@example.com", "\"Ops, Night\" <ops@example.com>"]
        user = "sekisho"
        password_file = "key"
        [[alert]]
        name = "local"
        kind = "email"
        smtp = "[::1]:25"
        tls = "none"
        from = "sekisho@example.com"
        to = ["root@example.com"]
    "#;
    let setups = checked(text, place.path()).unwrap();
    let names: Vec<&str> = setups.iter().map(|setup| setup.name.as_str()).collect();
    assert_eq!(names, ["operators", "chat", "am", "mail", "local"]);
    let filter = &setups[0].filter;
    assert_eq!((filter.kinds.len(), filter.sites.len(), filter.min_flows), (2, 1, 3));
    let How::Webhook(webhook) = &setups[0].how else { panic!("{:?}", setups[0]) };
    assert_eq!(webhook.secret, Some(Secret::new("hunter2")));
    let How::Slack(slack) = &setups[1].how else { panic!("{:?}", setups[1]) };
    assert_eq!(slack.url.path(), "/services/T0KEN");
    assert!(!setups[2].filter.kinds.contains(&AlertKind::Fix), "what is over at once is nothing for it");
    let How::Email(mail) = &setups[3].how else { panic!("{:?}", setups[3]) };
    assert_eq!(
        (mail.host.as_str(), mail.port, mail.tls, mail.to.len()),
        ("mail.example", 587, Tls::Starttls, 2)
    );
    let shown = format!("{setups:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("T0KEN"), "{shown}");
}

#[test]
fn faults_name_the_channel_and_the_field_and_hide_what_is_secret() {
    let place = directory();
    let mail = "kind = \"email\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n";
    for (fields, said) in [
        ("kind = \"pager\"", "kind is \"pager\""),
        ("kind = \"webhook\"", "url is needed"),
        ("kind = \"webhook\"\nurl = \"https://h/hunter2\"\nurl_file = \"url\"", "url and url_file"),
        ("kind = \"webhook\"\nurl = \"hunter2\"", "url is no address"),
        ("kind = \"webhook\"\nurl = \"ftp://h/hunter2\"", "https://"),
        ("kind = \"webhook\"\nurl = \"http://h.example/hunter2\"", "insecure = true"),
        ("kind = \"webhook\"\nurl = \"https://u:hunter2@h\"", "user or a password"),
        ("kind = \"webhook\"\nurl = \"https://h\"\nsecret_file = \"none\"", "secret_file: cannot read"),
        ("kind = \"webhook\"\nurl = \"https://h\"\nsecret_file = \"empty\"", "it is empty"),
        ("kind = \"webhook\"\nurl = \"https://h\"\nsmtp = \"m:25\"", "smtp is no field of kind webhook"),
        (
            "kind = \"slack\"\nurl = \"https://h\"\nsecret_file = \"key\"",
            "secret_file is no field of kind slack",
        ),
        ("kind = \"webhook\"\nurl = \"https://h\"\nkinds = [\"gone\"]", "kinds has \"gone\""),
        ("kind = \"alertmanager\"\nurl = \"https://h\"\nkinds = [\"fix\"]", "kinds has \"fix\""),
        ("kind = \"email\"", "smtp is needed"),
        (&format!("{mail}smtp = \"m\"\ntls = \"starttls\""), "smtp is \"m\""),
        (&format!("{mail}smtp = \"m:25\""), "tls is needed"),
        (&format!("{mail}smtp = \"m:25\"\ntls = \"none\""), "not this machine"),
        (&format!("{mail}smtp = \"m:25\"\ntls = \"ssl\""), "tls is \"ssl\""),
        (&format!("{mail}smtp = \"m:25\"\ntls = \"starttls\"\nuser = \"u\""), "user needs a password_file"),
        (
            &format!("{mail}smtp = \"m:25\"\ntls = \"starttls\"\nurl = \"https://h\""),
            "url is no field of kind email",
        ),
        (
            "kind = \"email\"\nsmtp = \"m:25\"\ntls = \"starttls\"\nfrom = \"nobody\"\nto = [\"a@b.example\"]",
            "from has \"nobody\"",
        ),
        ("kind = \"email\"\nsmtp = \"m:25\"\ntls = \"starttls\"\nfrom = \"a@b.example\"", "to is needed"),
    ] {
        let text = format!("[[alert]]\nname = \"x\"\n{fields}\n");
        let fault = checked(&text, place.path()).unwrap_err();
        assert!(fault.starts_with("alert \"x\": ") && fault.contains(said), "{fields}: {fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    let twice = "[[alert]]\nname = \"x\"\nkind = \"slack\"\nurl = \"https://h\"\n".repeat(2);
    assert!(checked(&twice, place.path()).unwrap_err().contains("two channels"));
    assert!(checked("[[alert]]\nkind = \"slack\"\n", place.path()).unwrap_err().contains("name is needed"));
}

#[test]
fn the_example_is_a_configuration() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("sekisho.toml");
    std::fs::copy("../deploy/examples/sekisho.toml", &path).unwrap();
    for (file, text) in [
        ("traces.headers", "Authorization: Bearer k"),
        ("webhook.key", "k"),
        ("slack.url", "https://hooks.example/x"),
        ("mail.password", "p"),
    ] {
        std::fs::write(place.path().join(file), text).unwrap();
    }
    let config = crate::config::Config::new(crate::config::Wishes::default(), Some(&path)).unwrap();
    let kinds: Vec<&str> = config.alerts.iter().map(|setup| setup.name.as_str()).collect();
    assert_eq!(kinds, ["operators", "chat", "alertmanager", "mail"]);
    let traces = config.traces.unwrap();
    assert_eq!(traces.endpoint.url.as_str(), "https://otlp.example.com/v1/traces");
    assert!(traces.headers.contains_key("authorization"));
    std::fs::remove_file(place.path().join("mail.password")).unwrap();
    let fault =
        crate::config::Config::new(crate::config::Wishes::default(), Some(&path)).unwrap_err().to_string();
    assert!(fault.contains("sekisho.toml: alert \"mail\": password_file"), "{fault}");
}
