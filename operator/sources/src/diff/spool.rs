//! Scratch: one unnamed file of records, in buckets that are written together and read one by one.
//!
//! The file has no name, so nothing is left behind however the process ends. Buckets share it, so that 256 of them need one file
//! descriptor. Blocks are what a bucket's buffer held when it was full; a record never lies across two.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backflow_core::code::Failure;

use super::damage::{internal, scratch};

/// Buckets that keys are sorted into by the first eight bits of their hash.
pub(super) const BUCKETS: usize = 256;

/// A bucket's buffer: 2 MiB for 256 of them.
const BUFFER: usize = 8 * 1024;

/// A bucket of more bytes is taken into memory in parts, so that a run with many rows needs no more of it than one with few. In tests,
/// both happens.
const PART: usize = if cfg!(test) { 1024 } else { 256 * 1024 };

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
    folder: PathBuf,
    file: File,
    end: u64,
    buckets: Vec<Bucket>,
    usage: Usage,
}

impl Spool {
    pub(super) fn new(folder: &Path, buckets: usize, usage: Usage) -> Result<Self, Failure> {
        let file = tempfile::tempfile_in(folder).map_err(|error| scratch(&error))?;
        let buckets = std::iter::repeat_with(Bucket::default).take(buckets).collect();
        Ok(Self { folder: folder.to_owned(), file, end: 0, buckets, usage })
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
        let mut bytes = vec![0; self.length(bucket)];
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

    /// The blocks of a bucket, one after another.
    pub(super) fn blocks(&self, bucket: usize) -> impl Iterator<Item = Result<Vec<u8>, Failure>> + '_ {
        (0..).map_while(move |block| self.block(bucket, block).transpose())
    }

    /// All records of a bucket, in parts that fit into memory; those of one part in the order they were appended. `part_of` goes over one
    /// record and says which of so many parts it belongs to: a power of two.
    pub(super) fn parts(
        &self,
        bucket: usize,
        part_of: impl FnMut(&mut &[u8], usize) -> Option<usize>,
    ) -> Result<Parts, Failure> {
        self.parts_with(&[], bucket, part_of)
    }

    /// As [`Spool::parts`], with the records of others after those of this one.
    pub(super) fn parts_with(
        &self,
        others: &[&Self],
        bucket: usize,
        mut part_of: impl FnMut(&mut &[u8], usize) -> Option<usize>,
    ) -> Result<Parts, Failure> {
        let all = || std::iter::once(self).chain(others.iter().copied());
        let length: usize = all().map(|spool| spool.length(bucket)).sum();
        if length <= PART {
            let mut whole = self.read(bucket)?;
            for other in others {
                whole.append(&mut other.read(bucket)?);
            }
            return Ok(Parts(Taken::Whole(whole)));
        }
        let parts = length.div_ceil(PART).next_power_of_two().min(BUCKETS);
        let mut cut = Self::new(&self.folder, parts, self.usage.clone())?;
        for block in all().flat_map(|spool| spool.blocks(bucket)) {
            let block = block?;
            let mut input = block.as_slice();
            while !input.is_empty() {
                let record = input;
                let part = part_of(&mut input, parts).filter(|part| *part < parts);
                let part = part.ok_or_else(|| internal("a record in scratch cannot be read back"))?;
                cut.push(part, |out| out.extend_from_slice(&record[..record.len() - input.len()]))?;
            }
        }
        Ok(Parts(Taken::Cut { cut, next: 0 }))
    }

    fn length(&self, bucket: usize) -> usize {
        let Bucket { buffer, blocks } = &self.buckets[bucket];
        blocks.iter().map(|(_, length)| *length as usize).sum::<usize>() + buffer.len()
    }

    /// Whether a bucket has no record.
    pub(super) fn is_empty(&self, bucket: usize) -> bool {
        self.buckets[bucket].buffer.is_empty() && self.buckets[bucket].blocks.is_empty()
    }
}

/// What a bucket has, part by part.
pub(super) struct Parts(Taken);

enum Taken {
    Whole(Vec<u8>),
    Cut { cut: Spool, next: usize },
    All,
}

impl Parts {
    /// Of a bucket without records.
    pub(super) const NONE: Self = Self(Taken::All);
}

impl Iterator for Parts {
    type Item = Result<Vec<u8>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Taken::Cut { cut, next } if *next < cut.buckets.len() => {
                *next += 1;
                Some(cut.read(*next - 1))
            }
            taken => match std::mem::replace(taken, Taken::All) {
                Taken::Whole(bytes) => Some(Ok(bytes)),
                Taken::Cut { .. } | Taken::All => None,
            },
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.usage.remove(self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many parts a byte belongs to, by its first bits.
    fn part(input: &mut &[u8], parts: usize) -> Option<usize> {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        Some(usize::from(*byte) * parts / 256)
    }

    fn spool(folder: &Path, bytes: impl Iterator<Item = u8>) -> Spool {
        let mut spool = Spool::new(folder, 2, Usage::default()).unwrap();
        bytes.for_each(|byte| spool.push(1, |out| out.push(byte)).unwrap());
        spool
    }

    #[test]
    fn a_bucket_comes_in_parts_that_are_small_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 1, PART, PART + 1, 3 * BUFFER] {
            let bytes = || (0..length).map(|at| (at * 7) as u8);
            let (one, other) = (spool(folder.path(), bytes()), spool(folder.path(), [9, 3].into_iter()));
            let used = one.usage.bytes();
            let parts: Vec<Vec<u8>> = one.parts_with(&[&other], 1, part).unwrap().collect::<Result<_, _>>().unwrap();
            assert_eq!(parts.len() > 1, length + 2 > PART, "{length}");
            let all: Vec<u8> = bytes().chain([9, 3]).collect();
            for (at, found) in parts.iter().enumerate() {
                let wanted = |byte: &u8| part(&mut [*byte].as_slice(), parts.len()) == Some(at);
                assert!(found.iter().eq(all.iter().filter(|byte| wanted(byte))), "{length}: part {at}");
            }
            assert_eq!(one.usage.bytes(), used, "what was cut is given back");
        }
    }

    #[test]
    fn a_record_that_belongs_nowhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), std::iter::repeat_n(0, PART + 1));
        assert!(spool.parts(1, |input, parts| part(input, parts).map(|_| parts)).is_err());
        assert!(spool.parts(1, |_, _| None).is_err());
    }
}
