//! The command line as a contract.

use clap::{CommandFactory, Parser};

use super::{Cli, duration};

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples() {
    fn check(command: &clap::Command, path: &str) {
        let path = format!("{path} {}", command.get_name());
        if command.has_subcommands() {
            command.get_subcommands().filter(|c| c.get_name() != "help").for_each(|c| check(c, &path));
        } else {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{path} has no examples");
        }
    }
    check(&Cli::command(), "");
}

#[test]
fn the_contract_of_the_command_line_parses() {
    for line in [
        "serve --data-dir d --database-url postgres://h/d --fleet-listen 127.0.0.1:0 --web-listen 127.0.0.1:0 --config c --user u --postgres-bin b --log json",
        "serve --data-dir d --log-format json --metrics-listen 127.0.0.1:0",
        "--data-dir d apply inventory.toml --dry-run",
        "--server http://h:1 --token t apply -",
        "probe token --vantage v --ttl 30m",
        "probe list --format json",
        "probe list --check",
        "probe show 1 --format csv",
        "probe revoke 1",
        "sweep run --domain d --profile p --vantage a --vantage b --wait --format json",
        "sweep run --computer PC8 --computer PC9 --capture dc1.corp.example/smb --capture 10.0.0.10/tcp/8443",
        "sweep list --limit 5 --format table",
        "sweep show latest",
        "sweep watch 17",
        "sweep cancel 17",
        "schedule list --format csv",
        "schedule show nightly --format json",
        "schedule run nightly --wait --format json",
        "schedule run nightly --dry-run --format csv",
        "schedule pause nightly",
        "schedule pause nightly --until 2026-12-31 --reason freeze",
        "schedule resume nightly --format json",
        "matrix --checks --format json",
        "diff",
        "diff latest~1 latest --fail-on regression,exposure --format json",
        "diff 16 17 --fail-on gone --fail-on untested --format csv",
        "diff --vantage a --vantage b 17",
        "diff baseline latest --fail-on regression",
        "diff baseline:before-move",
        "baseline set --sweep 17 --name before-move --note x",
        "baseline show --name before-move --format csv",
        "baseline list --format json",
        "baseline clear",
        "policy suggest --baseline before-move --deny",
        "policy suggest --sweep 17 --format csv",
        "gaps --sweep latest~2 --format csv",
        "gaps --format json",
        "export change-request",
        "export change-request --sweep latest~1 --format csv --output rules.csv --force",
        "export change-request --format aerleon --output d --aerleon-target srx --from-zone a --to-zone b",
        "history --vantage v --target dc1.corp.example --service smb --limit 5 --format json",
        "export matrix --sweep latest~1 --format parquet --output f --force",
        "export matrix --checks --format csv --no-bom --output -",
        "export history --vantage v --target t --service smb --since 2026-11-01T00:00:00+09:00 --format ndjson",
        "export gaps --sweep 17 --format json",
        "readiness --domain d --vantage v --sweep 17 --allow at-risk --lang ja --format json",
        "readiness --format csv",
        "alert list",
        "alert list --open --format csv",
        "alert list --all --limit 5 --format json",
        "alert test --channel operators",
        "matrix --sweep latest~1 --format csv --color never --data-dir d",
    ] {
        let words = std::iter::once("sekisho").chain(line.split(' '));
        if let Err(error) = Cli::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn every_target_of_aerleon_is_in_the_help() {
    let command = Cli::command();
    let export = command.find_subcommand("export").and_then(|c| c.find_subcommand("change-request")).unwrap();
    let help = export.get_after_help().unwrap().to_string();
    let names: Vec<&str> = sekisho_domain::change_request::aerleon::Target::names().collect();
    assert!(help.contains(&format!("Targets of Aerleon: {}.", names.join(", "))), "{names:?}");
}

#[test]
fn durations_parse_as_people_write_them() {
    for (text, seconds) in [("1h", 3_600), ("30m", 1_800), ("90s", 90), ("1h 30m", 5_400), ("1h30m", 5_400)] {
        assert_eq!(duration::parse(text).unwrap().as_secs(), seconds, "{text}");
    }
    for text in ["", "1", "-1h", "0s", "soon"] {
        assert!(duration::parse(text).is_err(), "{text}");
    }
}
