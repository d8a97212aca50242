//! The schema keeps to what distributing its large tables would need, with the exceptions that `migrations/README.md` names.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgPool;

use crate::cluster;

const README: &str = include_str!("../../../migrations/README.md");

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Distributed(String),
    Reference,
    Local,
}

impl Kind {
    fn column(&self) -> Option<&str> {
        match self {
            Self::Distributed(column) => Some(column),
            Self::Reference | Self::Local => None,
        }
    }
}

/// The cells of the lines of the table that has this heading.
fn rows(heading: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = README.lines().skip_while(move |line| !line.starts_with(heading)).skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn kinds() -> BTreeMap<String, Kind> {
    let kind = |text: &str| match text.split('`').nth(1) {
        Some(column) => Kind::Distributed(column.to_owned()),
        None if text == "reference" => Kind::Reference,
        None => {
            assert_eq!(text, "local");
            Kind::Local
        }
    };
    rows("| table | kind |").map(|row| (row[0].trim_matches('`').to_owned(), kind(row[1]))).collect()
}

fn exceptions() -> BTreeSet<String> {
    rows("| what | it would").map(|row| row[0].replace('`', "")).collect()
}

/// Tables, each with the one that it is a partition of, or itself.
const TABLES: &str = "WITH t AS (
    SELECT c.oid, c.relname::text AS name, coalesce(pg_partition_root(c.oid), c.oid) AS root FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')), n AS (
    SELECT t.oid, root.relname::text AS name FROM t JOIN pg_class root ON root.oid = t.root) ";

async fn ask<T>(pool: &PgPool, question: &str) -> Vec<T>
where
    T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
{
    let sql = sqlx::AssertSqlSafe(format!("{TABLES}{question}"));
    sqlx::query_as(sql).fetch_all(pool).await.unwrap()
}

async fn uniques(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> Vec<String> {
    let found: Vec<(String, Vec<String>)> = ask(
        pool,
        "SELECT DISTINCT n.name, ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = x.indrelid AND a.attnum = ANY (x.indkey) ORDER BY a.attnum)
         FROM pg_index x JOIN n ON n.oid = x.indrelid WHERE x.indisunique OR x.indisexclusion",
    )
    .await;
    let is_wrong = |(table, columns): &(String, Vec<String>)| {
        kinds[table].column().is_some_and(|column| !columns.iter().any(|found| found == column))
    };
    let wrong = found.into_iter().filter(is_wrong);
    wrong.map(|(table, columns)| format!("unique {table} ({})", columns.join(", "))).collect()
}

async fn foreign_keys(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> Vec<String> {
    // The types are those of the pairs of columns, which a foreign key may have different.
    let found: Vec<(String, String, Vec<String>, Vec<String>)> = ask(
        pool,
        "SELECT DISTINCT n.name, f.name,
                ARRAY(SELECT a.attname || ' ' || a.atttypid::regtype FROM unnest(k.conkey) WITH ORDINALITY AS c (attnum, place)
                      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.attnum ORDER BY place),
                ARRAY(SELECT a.attname || ' ' || a.atttypid::regtype FROM unnest(k.confkey) WITH ORDINALITY AS c (attnum, place)
                      JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.attnum ORDER BY place)
         FROM pg_constraint k JOIN n ON n.oid = k.conrelid JOIN n f ON f.oid = k.confrelid WHERE k.contype = 'f'",
    )
    .await;
    let named = |column: &str| column.split(' ').next().unwrap().to_owned();
    let is_wrong = |(table, other, columns, others): &(String, String, Vec<String>, Vec<String>)| {
        match (&kinds[table], &kinds[other]) {
            (Kind::Distributed(mine), Kind::Distributed(theirs)) => {
                let of_one_type = |(a, b): (&String, &String)| {
                    &named(a) == mine
                        && &named(b) == theirs
                        && a.split_once(' ').map(|x| x.1) == b.split_once(' ').map(|x| x.1)
                };
                !columns.iter().zip(others).any(of_one_type)
            }
            (Kind::Distributed(_), Kind::Reference) => false,
            (Kind::Distributed(_), Kind::Local) | (Kind::Reference | Kind::Local, Kind::Distributed(_)) => {
                true
            }
            // What Citus makes of a reference table that refers to a local one depends on its version.
            (Kind::Reference, Kind::Local) => true,
            (Kind::Reference | Kind::Local, Kind::Reference) | (Kind::Local, Kind::Local) => false,
        }
    };
    let wrong = found.into_iter().filter(is_wrong);
    wrong
        .map(|(table, other, columns, _)| {
            let columns: Vec<String> = columns.iter().map(|column| named(column)).collect();
            format!("foreign key {table} ({}) to {other}", columns.join(", "))
        })
        .collect()
}

async fn sequences(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> Vec<String> {
    let found: Vec<(String, String)> = ask(
        pool,
        "SELECT DISTINCT n.name, a.attname::text FROM pg_sequence s JOIN pg_depend d ON d.objid = s.seqrelid
             AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
         JOIN n ON n.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE s.seqtypid <> 'bigint'::regtype",
    )
    .await;
    let wrong = found.into_iter().filter(|(table, _)| kinds[table].column().is_some());
    wrong.map(|(table, column)| format!("sequence {table} ({column})")).collect()
}

async fn triggers(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> Vec<String> {
    let found: Vec<(String,)> = ask(
        pool,
        "SELECT DISTINCT n.name FROM pg_trigger t JOIN n ON n.oid = t.tgrelid WHERE NOT t.tgisinternal",
    )
    .await;
    let wrong = found.into_iter().filter(|(table,)| kinds[table] != Kind::Local);
    let rules: Vec<(String,)> =
        ask(pool, "SELECT DISTINCT n.name FROM pg_rewrite r JOIN n ON n.oid = r.ev_class").await;
    wrong
        .map(|(table,)| format!("trigger {table}"))
        .chain(rules.into_iter().map(|(table,)| format!("rule {table}")))
        .collect()
}

/// Distribution columns that may be null, and partitions that are partitioned.
async fn shapes(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> Vec<String> {
    let columns: Vec<(String, String, bool)> = ask(
        pool,
        "SELECT DISTINCT n.name, a.attname::text, a.attnotnull FROM n JOIN pg_attribute a ON a.attrelid = n.oid
         WHERE a.attnum > 0 AND NOT a.attisdropped",
    )
    .await;
    let of = |table: &str, column: &str| {
        columns.iter().any(|(t, c, not_null)| t == table && c == column && *not_null)
    };
    let wrong = kinds.iter().filter_map(|(table, kind)| Some((table, kind.column()?)));
    let wrong = wrong.filter(|(table, column)| !of(table, column));
    let deep: Vec<(String,)> = ask(
        pool,
        "SELECT n.name FROM n JOIN pg_class c ON c.oid = n.oid WHERE c.relispartition AND c.relkind = 'p'",
    )
    .await;
    wrong
        .map(|(table, column)| format!("nullable {table} ({column})"))
        .chain(deep.into_iter().map(|(table,)| format!("partitions of partitions {table}")))
        .collect()
}

async fn broken(pool: &PgPool, kinds: &BTreeMap<String, Kind>) -> BTreeSet<String> {
    let mut all = uniques(pool, kinds).await;
    all.extend(foreign_keys(pool, kinds).await);
    all.extend(sequences(pool, kinds).await);
    all.extend(triggers(pool, kinds).await);
    all.extend(shapes(pool, kinds).await);
    all.into_iter().collect()
}

#[tokio::test]
async fn large_tables_could_be_distributed() {
    let pool = cluster::shared().database().await;
    let kinds = kinds();
    let tables: Vec<(String,)> = ask(&pool, "SELECT DISTINCT name FROM n").await;
    let tables: BTreeSet<&str> = tables.iter().map(|(table,)| table.as_str()).collect();
    let listed: BTreeSet<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(tables, listed, "every table is listed in migrations/README.md, and no other");
    assert_eq!(broken(&pool, &kinds).await, exceptions());
}

#[tokio::test]
async fn what_breaks_a_rule_is_found() {
    let pool = cluster::shared().database().await;
    let known = exceptions();
    for (sql, expected) in [
        ("CREATE UNIQUE INDEX ON span (target_id)", "unique span (target_id)"),
        ("ALTER TABLE alert_sweep ADD FOREIGN KEY (sweep_id) REFERENCES sweep", ""),
        ("ALTER TABLE share ADD FOREIGN KEY (job_id) REFERENCES job", "foreign key share (job_id) to job"),
        ("ALTER TABLE span ADD profile text REFERENCES profile", "foreign key span (profile) to profile"),
        (
            "ALTER TABLE sweep ADD FOREIGN KEY (schedule) REFERENCES schedule (name)",
            "foreign key sweep (schedule) to schedule",
        ),
        ("ALTER TABLE span ADD number serial", "sequence span (number)"),
        ("ALTER TABLE check_result ADD number bigserial", ""),
        (
            "CREATE TRIGGER t BEFORE UPDATE ON sweep FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "trigger sweep",
        ),
        ("CREATE RULE r AS ON DELETE TO audit DO INSTEAD NOTHING", "rule audit"),
    ] {
        let before = broken(&pool, &kinds()).await;
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
        let after = broken(&pool, &kinds()).await;
        let new: Vec<&String> = after.difference(&before).collect();
        assert_eq!(new, Vec::from_iter((!expected.is_empty()).then_some(expected)), "{sql}");
        assert!(known.is_subset(&after), "{sql}");
    }
}
