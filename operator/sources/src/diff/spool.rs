//! Scratch: one unnamed file of records, in buckets that are written together and read one by one.
//!
//! The file has no name, so nothing is left behind however the process ends. Buckets share it, so that 256 of them need one file
//! descriptor. Blocks are what a bucket's buffer held when it was full; a record never lies across two.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backflow_core::code::Failure;

use super::damage::scratch;

/// Buckets that keys are sorted into by the first eight bits of their hash.
pub(super) const BUCKETS: usize = 256;

/// A bucket's buffer: 2 MiB for 256 of them.
const BUFFER: usize = 8 * 1024;

/// Bytes that a run has in scratch.
#[derive(Clone, Default)]
pub(super) struct Usage(Arc<AtomicU64>);

impl Usage {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: u64) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Bucket {
    buffer: Vec<u8>,
    /// Offset and length of each block.
    blocks: Vec<(u64, u32)>,
}

/// Records in buckets.
pub(super) struct Spool {
    file: File,
    end: u64,
    buckets: Vec<Bucket>,
    usage: Usage,
}

impl Spool {
    pub(super) fn new(folder: &Path, buckets: usize, usage: Usage) -> Result<Self, Failure> {
        let file = tempfile::tempfile_in(folder).map_err(|error| scratch(&error))?;
        Ok(Self { file, end: 0, buckets: std::iter::repeat_with(Bucket::default).take(buckets).collect(), usage })
    }

    /// Appends one record, which `write` makes.
    pub(super) fn push(&mut self, bucket: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), Failure> {
        let Bucket { buffer, blocks } = &mut self.buckets[bucket];
        write(buffer);
        if buffer.len() >= BUFFER {
            self.file.write_all_at(buffer, self.end).map_err(|error| scratch(&error))?;
            blocks.push((self.end, buffer.len() as u32));
            self.end += buffer.len() as u64;
            self.usage.add(buffer.len() as u64);
            buffer.clear();
        }
        Ok(())
    }

    /// All records of a bucket, in the order they were appended.
    pub(super) fn read(&self, bucket: usize) -> Result<Vec<u8>, Failure> {
        let Bucket { buffer, blocks } = &self.buckets[bucket];
        let length = blocks.iter().map(|(_, length)| *length as usize).sum::<usize>() + buffer.len();
        let mut bytes = vec![0; length];
        let mut rest = bytes.as_mut_slice();
        for (offset, length) in blocks {
            let (block, tail) = rest.split_at_mut(*length as usize);
            self.file.read_exact_at(block, *offset).map_err(|error| scratch(&error))?;
            rest = tail;
        }
        rest.copy_from_slice(buffer);
        Ok(bytes)
    }

    /// One block of a bucket, counted from 0; the buffer is the last. `None`: no more.
    pub(super) fn block(&self, bucket: usize, block: usize) -> Result<Option<Vec<u8>>, Failure> {
        let Bucket { buffer, blocks } = &self.buckets[bucket];
        match blocks.get(block) {
            Some((offset, length)) => {
                let mut bytes = vec![0; *length as usize];
                self.file.read_exact_at(&mut bytes, *offset).map_err(|error| scratch(&error))?;
                Ok(Some(bytes))
            }
            None if block == blocks.len() && !buffer.is_empty() => Ok(Some(buffer.clone())),
            None => Ok(None),
        }
    }

    /// Whether a bucket has no record.
    pub(super) fn is_empty(&self, bucket: usize) -> bool {
        self.buckets[bucket].buffer.is_empty() && self.buckets[bucket].blocks.is_empty()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.usage.remove(self.end);
    }
}
