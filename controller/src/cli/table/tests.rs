use serde_json::json;

use super::*;

/// A row of every type, each of which may be missing.
#[derive(Default, Clone)]
struct Row {
    name: Option<&'static str>,
    number: Option<i64>,
    at: Option<Timestamp>,
    by: Option<&'static str>,
    facts: Option<serde_json::Value>,
    flag: Option<bool>,
}

const COLUMNS: &[Column<Row>] = &[
    text("name", |row| row.name.map(str::to_owned)),
    integer("number", |row| row.number),
    time("at", |row| row.at),
    address("by", |row| row.by.map(str::to_owned)),
    json("facts", |row| row.facts.clone()),
    flag("flag", |row| row.flag),
];

fn rows() -> Vec<Row> {
    let full = Row {
        name: Some("東京-サーバー"),
        number: Some(-12),
        at: Some("2026-11-20T02:00:00.5Z".parse().unwrap()),
        by: Some("10.77.20.1"),
        facts: Some(json!({ "port": 49671, "reason": "say \"no\",\nor more", "proxy": true })),
        flag: Some(false),
    };
    vec![full, Row::default()]
}

fn written(shape: Shape, rows: &[Row]) -> String {
    String::from_utf8(write(shape, COLUMNS, rows, Vec::new()).unwrap()).unwrap()
}

#[test]
fn csv_for_spreadsheets_is_rfc_4180_in_utf_8() {
    let header = "name,number,at,by,facts,flag\r\n";
    let full = "東京-サーバー,-12,2026-11-20T02:00:00.5Z,10.77.20.1,\"port=49671; proxy=true; reason=say \"\"no\"\",\nor more\",false\r\n";
    let bytes = written(Shape::Csv(Csv::Spreadsheet { bom: true }), &rows());
    assert_eq!(bytes, format!("\u{feff}{header}{full},,,,,\r\n"));
    assert_eq!(bytes.as_bytes()[..3], [0xef, 0xbb, 0xbf]);
    assert_eq!(written(Shape::Csv(Csv::Spreadsheet { bom: false }), &[]), header);
    assert_eq!(written(Shape::Csv(Csv::Lines), &rows()[1..]), "name,number,at,by,facts,flag\n,,,,,\n");
}

#[test]
fn csv_holds_no_formula_of_a_stranger() {
    for (name, cell) in [
        ("=1+1", "'=1+1"),
        ("+x", "'+x"),
        ("-12", "'-12"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "\"'\r=1\""),
        ("\n=1", "\"'\n=1\""),
        ("＝1", "'＝1"),
        ("=\"a\",b", "\"'=\"\"a\"\",b\""),
        ("a=b", "a=b"),
        (" x", "\" x\""),
    ] {
        let row = Row { name: Some(name), number: Some(-1), ..Row::default() };
        let csv = written(Shape::Csv(Csv::Lines), &[row]);
        assert_eq!(csv, format!("name,number,at,by,facts,flag\n{cell},-1,,,,\n"));
    }
    let row = Row { facts: Some(json!({ "=1+1": "x" })), ..Row::default() };
    assert!(written(Shape::Csv(Csv::Lines), &[row]).ends_with(",,,,'=1+1=x,\n"));
}

#[test]
fn json_has_the_columns_in_their_order() {
    let full = r#"{"name":"東京-サーバー","number":-12,"at":"2026-11-20T02:00:00.5Z","by":"10.77.20.1","facts":{"port":49671,"proxy":true,"reason":"say \"no\",\nor more"},"flag":false}"#;
    let empty = r#"{"name":null,"number":null,"at":null,"by":null,"facts":null,"flag":null}"#;
    assert_eq!(written(Shape::Ndjson, &rows()), format!("{full}\n{empty}\n"));
    assert_eq!(written(Shape::Json, &rows()), format!("[\n{full},\n{empty}\n]\n"));
    assert_eq!(written(Shape::Json, &[]), "[]\n");
    assert_eq!(written(Shape::Ndjson, &[]), "");
}

#[test]
fn a_closed_pipe_is_known_as_such_in_every_format() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.write(&[]).map(drop)
        }
    }
    for shape in [Shape::Csv(Csv::Lines), Shape::Json, Shape::Ndjson, Shape::Parquet] {
        let Err(error) = write(shape, COLUMNS, rows(), Closed) else { panic!("{shape:?} says nothing") };
        assert!(crate::cli::output::is_broken_pipe(&error), "{shape:?}: {error:#}");
    }
}

#[test]
fn parquet_keeps_a_bounded_number_of_rows_and_bytes() {
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    let group_sizes = |rows: Vec<Row>| -> Vec<i64> {
        let file = write(Shape::Parquet, COLUMNS, rows, tempfile::tempfile().unwrap()).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
    };
    assert_eq!(group_sizes(vec![Row::default(); 40_000]), [32_768, 7_232]);
    let long = Row { facts: Some(json!("x".repeat(9 << 20))), ..Row::default() };
    assert_eq!(group_sizes(vec![long; 3]), [2, 1]);
    assert_eq!(group_sizes(vec![]), [0; 0]);
}
