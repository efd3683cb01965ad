//! The folder of a cluster, and the programs that work on it as the user whose it is.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use super::{SUPERUSER, secret};

/// A cluster in which nothing is yet: to copy it takes a tenth of the time that it takes to make one.
pub(super) struct Empty {
    dir: TempDir,
    pub(super) password: String,
}

impl Empty {
    /// The one that servers of this process were copied from, or a new one.
    pub(super) fn cluster(bin: &Path) -> anyhow::Result<Arc<Self>> {
        static LAST: Mutex<Weak<Empty>> = Mutex::new(Weak::new());
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(empty) = last.upgrade() {
            return Ok(empty);
        }
        let empty = Arc::new(Self::new(bin)?);
        *last = Arc::downgrade(&empty);
        Ok(empty)
    }

    fn new(bin: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("backflow-postgres-").tempdir()?;
        let empty = Self { dir, password: secret() };
        let password = empty.dir.path().join("password");
        std::fs::write(&password, &empty.password)?;
        give_away(empty.dir.path())?;
        run(
            &bin.join("initdb"),
            empty.dir.path(),
            &["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username", SUPERUSER],
            &[("--pwfile", password), ("--pgdata", empty.data())],
        )?;
        Ok(empty)
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Makes a copy of the cluster.
    pub(super) fn copy_to(&self, data: &Path) -> anyhow::Result<()> {
        let copied = Command::new("cp").args(["-a", "--reflink=auto"]).arg(self.data()).arg(data).status();
        ensure!(copied.context("cp cannot be run")?.success(), "the empty cluster cannot be copied");
        Ok(())
    }
}

/// Runs a program of Postgres in the folder `place`, as the user whose the cluster is.
pub(super) fn run(program: &Path, place: &Path, arguments: &[&str], paths: &[(&str, PathBuf)]) -> anyhow::Result<()> {
    let mut command = if other_user()?.is_some() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(place).stdin(Stdio::null());
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    // Into files, not pipes: the server inherits them, and a pipe would never end.
    let path = place.join("output");
    let output = std::fs::File::create(&path)?;
    command.stdout(output.try_clone()?).stderr(output);
    let status = command.status().with_context(|| format!("{} cannot be run", program.display()))?;
    if !status.success() {
        bail!("{} failed: {}", program.display(), std::fs::read_to_string(path).unwrap_or_default());
    }
    Ok(())
}

/// Gives a cluster's folder to the user that its server runs as.
pub(super) fn give_away(place: &Path) -> anyhow::Result<()> {
    if let Some((user, group)) = other_user()? {
        give(place, user, group)?;
    }
    Ok(())
}

/// User and group to run the server as, if this process is root.
fn other_user() -> anyhow::Result<Option<(u32, u32)>> {
    let id = |arguments: &[&str]| -> anyhow::Result<u32> {
        let output = Command::new("id").args(arguments).output().context("the program id cannot be run")?;
        ensure!(output.status.success(), "the system user postgres does not exist; apt-get install postgresql");
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    };
    if id(&["-u"])? != 0 {
        return Ok(None);
    }
    Ok(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?)))
}

fn give(path: &Path, user: u32, group: u32) -> anyhow::Result<()> {
    chown(path, Some(user), Some(group))?;
    // Only what this process makes: the folder itself, and files beside and directly in the data folder.
    for entry in std::fs::read_dir(path)?.flatten() {
        if entry.path().is_file() {
            chown(entry.path(), Some(user), Some(group))?;
        } else if entry.file_name() == "data" {
            give(&entry.path(), user, group)?;
        }
    }
    Ok(())
}
