use std::error::Error as _;

use sqlx::postgres::PgSslMode;

use super::*;

fn places(url: &str) -> Vec<String> {
    let hosts = Hosts::parse(url).unwrap_or_else(|error| panic!("{url}: {error}: {:?}", error.source()));
    hosts.list.into_iter().map(|host| host.place).collect()
}

fn fault(url: &str) -> String {
    Hosts::parse(url).unwrap_err().to_string()
}

#[test]
fn lists_as_libpq_takes_them() {
    for (url, expected) in [
        ("postgres://u:p@h1/d", &["h1:5432"][..]),
        ("postgresql://h1:1,h2:2", &["h1:1", "h2:2"]),
        (
            "postgres://u:p@h1:1,h2,10.0.0.3:3/d?target_session_attrs=read-write",
            &["h1:1", "h2:5432", "10.0.0.3:3"],
        ),
        ("postgres://u@[fd00::1]:1,[fd00::2]/d", &["[fd00::1]:1", "[fd00::2]:5432"]),
        ("postgres://u@%2Frun%2Fa,%2Frun%2Fb:5433/d", &["/run/a:5432", "/run/b:5433"]),
        ("postgres://u@%2Frun%2Fa%2Cb,%2Frun%2Fc/d", &["/run/a,b:5432", "/run/c:5432"]),
        ("postgres://u@/d?host=h1%2Ch2&port=7%2c8", &["h1:7", "h2:8"]),
        ("postgres://u@h1,h2/d?port=7", &["h1:7", "h2:7"]),
        ("postgres://u@h1:1,h2:2/d?port=7,8", &["h1:7", "h2:8"]),
        ("postgres://u@/d?host=h1,h2&port=7,8", &["h1:7", "h2:8"]),
        ("postgres:///d?host=%2Frun%2Fa,/run/b", &["/run/a:5432", "/run/b:5432"]),
        ("postgres://u@ignored/d?host=h1&host=h2", &["h1:5432", "h2:5432"]),
        ("postgres://u@localhost/d?host=/run/postgresql", &["/run/postgresql:5432"]),
        ("postgres://u@h1/d?hostaddr=10.0.0.1", &["10.0.0.1:5432"]),
        ("postgres://u:a@b,c@h1,h2/d", &["h1:5432", "h2:5432"]),
    ] {
        assert_eq!(places(url), expected, "{url}");
    }
}

#[test]
fn everything_else_holds_for_each_host() {
    let url = "postgres://u:p%40w@h1,h2:5/d%2Fb?sslmode=verify-full&sslrootcert=/etc/ca.pem&target_session_attrs=primary\
               &options[work_mem]=8MB#x";
    let hosts = Hosts::parse(url).unwrap();
    assert_eq!((hosts.list.len(), hosts.ignored.len()), (2, 0));
    for host in &hosts.list {
        let options = &host.options;
        assert!(matches!(options.get_ssl_mode(), PgSslMode::VerifyFull));
        assert_eq!((options.get_username(), options.get_database()), ("u", Some("d/b")));
        assert_eq!(options.get_options(), Some("-c work_mem=8MB"));
        assert!(format!("{options:?}").contains("/etc/ca.pem"));
        assert_eq!(format!("{host:?}"), format!("Host({})", host.place));
    }
    // The name that a certificate has to have is that of each host.
    let names: Vec<&str> = hosts.list.iter().map(|host| host.options.get_host()).collect();
    assert_eq!(names, ["h1", "h2"]);
}

#[test]
fn what_is_wrong_is_named_and_no_secret_with_it() {
    let many = format!("postgres://u:hunter2@{}/d", vec!["h"; 17].join(","));
    for (url, expected) in [
        ("postgres://u:hunter2@h1,,h3/d", "host 2 in the list of hosts of the database URL is empty"),
        ("postgres://u:hunter2@,h2/d", "host 1 in the list"),
        ("postgres://u:hunter2@h1,:5432/d", "host 2 in the list"),
        ("postgres://u:hunter2@/d?host=h1,", "host 2 in the list"),
        (
            "postgres://u:hunter2@h1:1,h2:x/d",
            "the port of host 2 in the database URL is no number from 1 to 65535",
        ),
        ("postgres://u:hunter2@h1:1,h2:65536/d", "the port of host 2"),
        ("postgres://u:hunter2@h1,h2/d?port=0", "the port of host 1"),
        ("postgres://u:hunter2@h1,h2/d?port=1,2,3", "has 3 ports for 2 hosts"),
        (many.as_str(), "names 17 hosts; at most 16"),
        ("postgres://u:hunter2@h1,h2/d?hostaddr=10.0.0.1", "hostaddr"),
        (
            "postgres://u:hunter2@h1/d?target_session_attrs=standby",
            "target_session_attrs in the database URL is \"standby\"",
        ),
        ("postgres://u:hunter2@h1,h2/d?target_session_attrs=prefer-standby", "target_session_attrs"),
        ("postgres://u:hunter2@h1,h2/d?target_session_attrs=", "is \"\""),
        ("postgres://u:hunter2,h2/d", "the port of host 1"),
        ("postgres://u:hunter2@h1,h2/d?sslmode=perhaps", "the database URL is not usable"),
        ("postgres://u:hunt/er2@h1/d", "the database URL is not usable"),
        ("host=h password=hunter2", "the database URL is not usable"),
        ("", "the database URL is not usable"),
    ] {
        let said = fault(url);
        assert!(said.contains(expected), "{url}: {said}");
        let error = Hosts::parse(url).unwrap_err();
        let chain = format!("{error:?} {}", error.source().map(ToString::to_string).unwrap_or_default());
        assert!(!chain.contains("hunt") && !said.contains("hunt"), "{said} {chain}");
    }
}

#[test]
fn parameters_that_mean_nothing_are_named_without_their_values() {
    let hosts = Hosts::parse("postgres://u@h1,h2/d?sslpassword=hunter2&connect_timeout=3&passwd").unwrap();
    assert_eq!(hosts.ignored, ["sslpassword", "connect_timeout", "passwd"]);
    assert!(!format!("{hosts:?}").contains("hunter2"));
}
