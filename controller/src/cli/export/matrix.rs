//! `sekisho export matrix`.

use std::{
    fmt,
    io::{BufReader, Read},
};

use clap::Args;
use sekisho_model::SweepSummary;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::destination::Output;
use crate::cli::{
    Exit,
    client::Client,
    connection::Global,
    matrix::{CHECKS, FLOWS, OfSweep, PlaceArgs, exit},
    sweep,
    table::{Column, Sheet},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct MatrixArgs {
    /// A number, latest, or latest~1 for the one before.
    #[arg(long, default_value = "latest", value_name = "ID", value_parser = sweep::reference, allow_negative_numbers = true)]
    sweep: String,
    /// The checks of the vantages in place of the flows.
    #[arg(long)]
    checks: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    pub(super) to: Output,
}

pub(super) async fn run(args: &MatrixArgs, global: &Global) -> anyhow::Result<Exit> {
    let client = Client::new(global)?;
    if args.checks {
        export(&client, args, "checks", CHECKS).await
    } else {
        export(&client, args, "cells", FLOWS).await
    }
}

async fn export<T: for<'de> Deserialize<'de> + 'static>(
    client: &Client,
    args: &MatrixArgs,
    list: &'static str,
    columns: &'static [Column<OfSweep<T>>],
) -> anyhow::Result<Exit> {
    let mut sheet = args.to.sheet(columns)?;
    let doing = format!("export the matrix of sweep {}", args.sweep);
    let answer = client.download(&doing, &["matrix"], &args.place.with(&[("sweep", &args.sweep)])).await?;
    let sweep = read(BufReader::new(answer), list, sheet.as_mut());
    let sweep = sweep.map_err(|error| error.unwrap_or_else(|| client.strange(&doing).into()))?;
    sheet.finish()?.finish()?;
    Ok(exit(&sweep))
}

/// Reads a matrix, and writes each item of `list` on the way. An error of the sheet; none where it is no matrix.
fn read<T: for<'de> Deserialize<'de>, W>(
    answer: impl Read,
    list: &'static str,
    sheet: &mut dyn Sheet<OfSweep<T>, W>,
) -> Result<SweepSummary, Option<anyhow::Error>> {
    let mut failed = None;
    let mut json = serde_json::Deserializer::from_reader(answer);
    let sweep = json.deserialize_map(Answer { list, sheet, failed: &mut failed });
    sweep.and_then(|sweep| json.end().map(|()| sweep)).map_err(|_| failed)
}

/// The whole answer: the sweep, and after it its flows and its checks.
struct Answer<'a, T, W> {
    list: &'static str,
    sheet: &'a mut dyn Sheet<OfSweep<T>, W>,
    failed: &'a mut Option<anyhow::Error>,
}

impl<'de, T: Deserialize<'de>, W> Visitor<'de> for Answer<'_, T, W> {
    type Value = SweepSummary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a matrix")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SweepSummary, A::Error> {
        let Self { list, sheet, failed } = self;
        let mut sweep: Option<SweepSummary> = None;
        while let Some(name) = map.next_key::<String>()? {
            if name == "sweep" {
                sweep = Some(map.next_value()?);
            } else if name == list {
                let id = sweep.as_ref().ok_or_else(|| A::Error::custom("rows before their sweep"))?.id;
                map.next_value_seed(Items { sweep: id, sheet: &mut *sheet, failed: &mut *failed })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        sweep.ok_or_else(|| A::Error::missing_field("sweep"))
    }
}

/// One of its lists.
struct Items<'a, T, W> {
    sweep: i64,
    sheet: &'a mut dyn Sheet<OfSweep<T>, W>,
    failed: &'a mut Option<anyhow::Error>,
}

impl<'de, T: Deserialize<'de>, W> DeserializeSeed<'de> for Items<'_, T, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>, W> Visitor<'de> for Items<'_, T, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(item) = list.next_element()? {
            if let Err(error) = self.sheet.row(&OfSweep { sweep: Some(self.sweep), item }) {
                *self.failed = Some(error);
                return Err(A::Error::custom("the rows cannot be written"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sekisho_model::Check;
    use serde_json::json;

    use super::*;
    use crate::cli::table::{Shape, sheet};

    fn lines(answer: &str) -> Result<String, Option<anyhow::Error>> {
        let mut sheet = sheet::<OfSweep<Check>, Vec<u8>>(Shape::Ndjson, CHECKS, Vec::new())?;
        read(answer.as_bytes(), "checks", sheet.as_mut())?;
        Ok(String::from_utf8(sheet.finish()?).unwrap())
    }

    #[test]
    fn what_is_no_matrix_is_not_taken_for_an_empty_one() {
        let sweep = json!({
            "id": 7, "state": "complete", "profile": "ports", "started_at": "2026-11-20T02:00:00Z", "finished_at": null,
            "planned": 1, "observed": 1, "missed": 0,
        });
        let check = json!({
            "vantage": "東京", "domain": "corp.example", "target": null, "check": "clock", "status": "ok", "facts": {},
            "observed_at": null, "later": [1],
        });
        let written = lines(&json!({ "checks": [check], "more": { "a": [] }, "sweep": sweep }).to_string());
        // The map above is sorted by name: the rows come before their sweep.
        assert!(matches!(written, Err(None)));
        let whole =
            format!(r#"{{"sweep":{sweep},"cells":[{{"any":1}}],"checks":[{check},{check}],"later":null}}"#);
        assert_eq!(lines(&whole).unwrap().matches(r#"{"sweep":7,"vantage":"東京","#).count(), 2);
        for strange in ["", "[]", "{}", r#"{"checks":[]}"#, whole.trim_end_matches('}'), &format!("{whole}x")]
        {
            assert!(matches!(lines(strange), Err(None)), "{strange}");
        }
    }
}
