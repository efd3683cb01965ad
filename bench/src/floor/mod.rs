//! The floor: the least that any program must do for the same work, and nothing else.
//!
//! It reads the table of [`crate::data`] by COPY in the order of its key, hashes each row, merges with the hashes of last time (16 bytes
//! for each row, in a file), writes JSON for what changed and posts it. It knows its table at compile time; it has no types, no retries,
//! no idempotency keys, no limits, no durable checkpoint, no second thought. So it is a bound for what a real program can reach.

mod copy;
mod merge;
mod post;
mod row;

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use backflow_bench_processes::peak_memory;
use copy::Server;
use merge::{Change, Merge};
use post::Poster;

/// What the floor is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Host and port of Postgres.
    #[arg(long)]
    pub server: String,
    /// Database.
    #[arg(long)]
    pub database: String,
    /// Role; its password comes by the variable `FLOOR_PASSWORD`.
    #[arg(long)]
    pub user: String,
    /// The file with the hashes of last time. No file: a first sync.
    #[arg(long)]
    pub state: PathBuf,
    /// Host and port of the receiver.
    #[arg(long)]
    pub receiver: String,
    /// Only read and compare.
    #[arg(long)]
    pub silent: bool,
}

/// What the floor says at its end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Said {
    /// Requests made.
    pub requests: u64,
    /// Added, updated and deleted rows.
    pub changes: u64,
    /// The most memory that was resident, in MiB.
    pub rss_mib: f64,
}

/// Records in a batch.
const BATCH: usize = 1000;

/// Records of one operation that wait for their batch to fill.
struct Batch {
    op: &'static str,
    body: Vec<u8>,
    records: usize,
}

impl Batch {
    fn new(op: &'static str) -> Self {
        Self { op, body: b"[".to_vec(), records: 0 }
    }

    fn push(&mut self, id: u64, data: impl FnOnce(&mut Vec<u8>), poster: &Poster) -> anyhow::Result<()> {
        if self.records > 0 {
            self.body.push(b',');
        }
        write!(self.body, "{{\"id\":{id},\"op\":\"{}\",\"data\":", self.op)?;
        data(&mut self.body);
        self.body.push(b'}');
        self.records += 1;
        if self.records == BATCH { self.send(poster) } else { Ok(()) }
    }

    fn send(&mut self, poster: &Poster) -> anyhow::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        self.body.push(b']');
        let capacity = self.body.len() + self.body.len() / 16;
        let full = std::mem::replace(&mut self.body, Vec::with_capacity(capacity));
        self.body.push(b'[');
        self.records = 0;
        poster.send(full)
    }
}

/// Does the work.
///
/// # Errors
/// Of the server, the receiver or the disk.
pub fn run(args: &Args) -> anyhow::Result<Said> {
    let mut server = Server::connect(args)?;
    let poster = Poster::start(&args.receiver)?;
    let written = args.state.with_extension("new");
    let mut merge = Merge::new(open(&args.state)?, BufWriter::with_capacity(1 << 16, File::create(&written)?));
    let mut batches = [Batch::new("upsert"), Batch::new("upsert"), Batch::new("delete")];
    let mut changes = 0;
    let mut send = |change: Change, id: u64, row: &[u8]| {
        changes += 1;
        if args.silent {
            return Ok(());
        }
        let batch = &mut batches[change as usize];
        match change {
            Change::Deleted => batch.push(id, |out| out.extend_from_slice(b"{}"), &poster),
            Change::Added | Change::Updated => batch.push(id, |out| row::json(row, out), &poster),
        }
    };
    server.copy(&row::copy_statement(), |row| merge.row(row::key(row)?, row, &mut send))?;
    merge.end(&mut send)?;
    for batch in &mut batches {
        batch.send(&poster)?;
    }
    let requests = poster.end()?;
    std::fs::rename(written, &args.state)?;
    Ok(Said { requests, changes, rss_mib: peak_memory() })
}

fn open(state: &Path) -> anyhow::Result<Option<BufReader<File>>> {
    Ok(match state.exists() {
        true => Some(BufReader::with_capacity(1 << 16, File::open(state)?)),
        false => None,
    })
}
