use sekisho::service::Error;

use crate::fleet::{Controller, LISTED, operator, settings};

/// Everything that an inventory can have.
const FULL: &str = r#"
[[domain]]
name = "corp.example"
dns_servers = ["10.77.1.10", "fd00::10"]
discover = true
[[target]]
domain = "corp.example"
host = "dc1.corp.example"
address = "10.77.1.10"
[[computer]]
name = "PC8"
domain = "corp.example"
[[vantage]]
name = "東京-20"
subnet = "10.77.20.0/24"
vlan = 20
site = "tokyo"
labels = { role = "server", "階" = "3" }
[[vantage]]
name = "v6"
subnet = "fd00:20::/64"
[[profile]]
name = "web"
services = ["tcp/443", "icmp"]
[[policy]]
name = "b"
from = { role = "server" }
to = { domain = "corp.example" }
profile = "domain-join"
expect = "allow"
[[policy]]
name = "a"
services = ["smb"]
expect = "deny"
[[schedule]]
name = "nightly"
cron = "0 2 * * *"
time_zone = "Asia/Tokyo"
window = "2h"
domains = ["corp.example"]
vantages = ["v6"]
profile = "web"
"#;

#[tokio::test]
async fn applying_twice_changes_nothing_the_second_time() {
    let controller = Controller::new(settings()).await;
    let apply = |text: &'static str, dry_run| {
        let services = controller.services.clone();
        async move { services.apply_inventory(&operator(), "inventory.toml", text, dry_run).await.unwrap() }
    };
    let dry = apply(FULL, true).await;
    assert!(dry.dry_run);
    assert_eq!(dry.lines.len(), 9, "{:#?}", dry.lines);
    assert_eq!(controller.count("SELECT count(*) FROM vantage").await, 0, "a dry run writes nothing");
    assert_eq!(apply(FULL, false).await.lines, dry.lines);
    let again = apply(FULL, false).await;
    assert_eq!(again.lines, [""; 0]);
    assert_eq!(controller.count("SELECT count(*) FROM audit WHERE action = 'apply'").await, 1);

    let refused = controller.services.apply_inventory(&operator(), "f.toml", "# nothing\n", false).await;
    let Err(Error::Invalid(text)) = refused else { panic!("an empty file removes everything: {refused:?}") };
    assert!(text.starts_with("f.toml: it declares nothing") && text.contains("9 entries"), "{text}");
    let other = "[[vantage]]\nname = \"other\"\n";
    assert_eq!(apply(other, false).await.lines.len(), 10);
    assert_eq!(apply(other, false).await.lines.len(), 0);
    assert_eq!(controller.count("SELECT count(*) FROM vantage").await, 3, "rows stay for the results");
    assert_eq!(apply(FULL, false).await.lines.len(), 10);
    assert_eq!(apply(FULL, false).await.lines.len(), 0);
    assert_eq!(controller.count("SELECT count(*) FROM vantage").await, 3);
}

#[tokio::test]
async fn a_file_with_a_fault_changes_nothing() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    let text =
        format!("{LISTED}\n[[vantage]]\nname = \"vlan30\"\n[[vantage]]\nname = \"vlan40\"\nvlan = 5000\n");
    let refused = controller.services.apply_inventory(&operator(), "fleet.toml", &text, false).await;
    let Err(Error::Invalid(text)) = refused else { panic!("{refused:?}") };
    assert!(text.contains("fleet.toml:22: [[vantage]] number 4 \"vlan40\": vlan: 5000"), "{text}");
    assert_eq!(controller.count("SELECT count(*) FROM vantage").await, 2);
}

#[tokio::test]
async fn an_interrupted_apply_is_rolled_back() {
    let controller = Controller::new(settings()).await;
    controller.apply(LISTED).await;
    // The last table that is written fails.
    sqlx::query("ALTER TABLE schedule ADD CHECK (name <> 'nightly')")
        .execute(&controller.pool)
        .await
        .unwrap();
    let failed = controller.services.apply_inventory(&operator(), "f", FULL, false).await;
    assert!(matches!(failed, Err(Error::Internal(_))), "{failed:?}");
    let again = controller.services.apply_inventory(&operator(), "f", LISTED, false).await.unwrap();
    assert_eq!(again.lines, [""; 0], "nothing of the failed file is left");
}

#[tokio::test]
async fn applies_at_the_same_time_happen_one_after_the_other() {
    let controller = Controller::new(settings()).await;
    let applies = (0..6).map(|number| {
        let services = controller.services.clone();
        let text = if number % 2 == 0 { LISTED } else { FULL };
        tokio::spawn(async move { services.apply_inventory(&operator(), "f", text, false).await })
    });
    for apply in applies.collect::<Vec<_>>() {
        apply.await.unwrap().unwrap();
    }
    controller.apply(FULL).await;
    let again = controller.services.apply_inventory(&operator(), "f", FULL, false).await.unwrap();
    assert_eq!(again.lines, [""; 0]);
}
