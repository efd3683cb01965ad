//! The demo without a cluster: the same engine, on a SQLite file.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::shop::{Receiver, sqlite};
use super::{build, chapter, relative, show, tell, tilde};
use crate::packages::{self, Purpose};
use crate::steps::step;
use crate::workspace::Workspace;

/// Where the sample Destination sends to.
const RECEIVER: &str = "127.0.0.1:8090";

pub(super) fn demo(workspace: &Workspace, install: bool) -> Result<()> {
    chapter("The parts");
    packages::ensure(&[Purpose::Build, Purpose::Sqlite], install)?;
    let [backflow, player] = build(workspace, ["backflow", "backflow-receiver"], install)?;
    let samples = workspace.root.join("deploy/samples/local");
    let folder = workspace.output().join("demo");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for entry in fs::read_dir(&samples)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let database = folder.join("shop.db");
    step("a shop with 10,000 customers, in SQLite", || sqlite(&database, &folder.join("shop.sql")))?;
    let receiver = Receiver::new(&workspace.cache.join("demo").join("local"), RECEIVER);
    step("a receiver that plays the business tool", || receiver.start(&player, &[]))?;
    let result = scenes(workspace, &backflow, &folder, &receiver);
    receiver.stop();
    result
}

fn scenes(
    workspace: &Workspace,
    program: &std::path::Path,
    folder: &std::path::Path,
    receiver: &Receiver,
) -> Result<()> {
    let shown = relative(workspace, folder);
    let backflow = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).arg("-f").arg(folder);
        command
    };
    let mut said = 0;
    // Its first line says where it listens, which is no news.
    receiver.said(&mut said)?;
    let mut received = || receiver.tell(&mut said);

    chapter("First sync: everything is new");
    show(&format!("backflow validate -f {shown}"), &mut backflow(&["validate"]))?;
    show(&format!("backflow run -f {shown}"), &mut backflow(&["run"]))?;
    received()?;

    chapter("A day in the shop: 3 customers come, 5 change, 2 go");
    sqlite(&folder.join("shop.db"), &folder.join("changes.sql"))?;
    show(&format!("backflow run -f {shown}"), &mut backflow(&["run"]))?;
    received()?;

    chapter("Nothing changed: nothing is sent");
    show(&format!("backflow run -f {shown}"), &mut backflow(&["run"]))?;

    chapter("How to go on");
    tell(&format!(
        "  The manifests are in {shown}; the originals in deploy/samples/local.\n  \
         backflow is at {}.\n  \
         backflow preview -f {shown} --model customers     the first rows of the model\n  \
         cargo xtask demo                                  the same on a real Kubernetes",
        tilde(program)
    ));
    Ok(())
}
