//! Scenes, and what is true with and without them.

use std::process::ExitCode;

use super::Format;
use crate::{
    Lab, WantedFacts,
    scene::{Scene, User, scenes},
    truth, ui, verify,
};

pub(super) fn list_scenes() {
    let rows: Vec<Vec<String>> =
        scenes().iter().map(|scene| vec![scene.name.to_owned(), scene.about.clone()]).collect();
    ui::table(&["SCENE", "WHAT IS WRONG"], &rows);
}

pub(super) fn set_scene(lab: &str, name: &str, off: bool) -> anyhow::Result<()> {
    let mut lab = Lab::open(lab)?;
    if off {
        lab.end_scene(name)?;
        ui::say(&format!("lab {}: scene {name} has ended", lab.name()));
    } else {
        let scene = lab.scene(name)?;
        ui::say(&format!("lab {}: {}", lab.name(), scene.about));
    }
    Ok(())
}

pub(super) fn show_truth(
    scene: Option<&str>,
    vantage: Option<&str>,
    target: Option<&str>,
    format: Format,
) -> anyhow::Result<()> {
    let scene = scene.map(crate::scene).transpose()?;
    let wanted = |asked: Option<&str>, is: &str| asked.is_none_or(|asked| asked == is);
    let all = scene.map_or_else(truth, |scene| scene.flows(User::Nobody));
    let of_flows =
        all.into_iter().filter(|e| wanted(vantage, &e.vantage) && wanted(target, &e.target)).map(|e| {
            let by = e.by.map_or_else(|| "-".to_owned(), |by| by.to_string());
            let what =
                [e.service.to_string(), e.outcome.to_string(), by, e.signal.to_string(), words(&e.facts)];
            [vec![e.vantage, e.target, e.address.to_string()], what.to_vec()].concat()
        });
    let checks = scene.map(Scene::checks).unwrap_or_default();
    let of_checks = checks
        .iter()
        .filter(|c| wanted(vantage, &c.vantage) && wanted(target, c.target.as_deref().unwrap_or("-")))
        .map(|c| {
            let address = c.target.as_ref().and_then(|target| scene?.address(target));
            vec![
                c.vantage.clone(),
                c.target.clone().unwrap_or_else(|| "-".to_owned()),
                address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
                c.check.to_string(),
                c.status.to_string(),
                "-".to_owned(),
                "-".to_owned(),
                words(&c.facts),
            ]
        });
    let rows: Vec<Vec<String>> = of_flows.chain(of_checks).collect();
    match format {
        Format::Table => {
            ui::table(
                &["VANTAGE", "TARGET", "ADDRESS", "SERVICE", "OUTCOME", "BY", "SIGNAL", "FACTS"],
                &rows,
            );
        }
        Format::Csv => {
            ui::say("vantage,target,address,service,outcome,by,signal,facts");
            for row in rows {
                ui::say(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","));
            }
        }
    }
    Ok(())
}

/// A field of CSV (RFC 4180): in quotes where it holds a comma.
fn quoted(field: &str) -> String {
    if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

fn words(facts: &WantedFacts) -> String {
    facts.iter().map(|(name, wanted)| format!("{name}={wanted}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn verify(name: &str, scene: Option<&str>) -> anyhow::Result<ExitCode> {
    let lab = Lab::open(name)?;
    let flows = match scene.map(crate::scene).transpose()? {
        Some(scene) => scene.flows(User::Root),
        None => truth(),
    };
    let differences = verify::verify(&lab, &flows)?;
    for difference in &differences {
        ui::say(difference);
    }
    if differences.is_empty() {
        ui::say(&format!("lab {name}: all {} flows are as the truth says", flows.len()));
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
