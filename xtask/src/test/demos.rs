//! The demos, compared with the transcripts that the documentation shows.

use std::fs::File;
use std::io::Write as _;

use anyhow::Result;

use super::Outcome;
use crate::demo::{self, Stage, transcript};
use crate::workspace::Workspace;

pub(super) fn check(workspace: &Workspace, stage: Stage, log: &File) -> Result<Outcome> {
    let printed = demo::recorded(workspace, stage);
    let cleared = if stage == Stage::Cluster { demo::down(workspace) } else { Ok(()) };
    let (printed, ()) = (printed?, cleared?);
    let committed = transcript::committed(workspace, stage)?;
    let (expected, found) = (transcript::normalize(&committed), transcript::normalize(&printed));
    let mut log = log;
    log.write_all(printed.as_bytes())?;
    if expected == found {
        return Ok(Outcome::one(true));
    }
    writeln!(log, "\nThis differs from docs/demo.md; if it should: cargo xtask demo --record")?;
    let lines = expected.lines().zip(found.lines()).filter(|(expected, found)| expected != found);
    for (expected, found) in lines.take(10) {
        writeln!(log, "- {expected}\n+ {found}")?;
    }
    writeln!(log, "{} lines are expected, {} were printed", expected.lines().count(), found.lines().count())?;
    Ok(Outcome::one(false))
}
