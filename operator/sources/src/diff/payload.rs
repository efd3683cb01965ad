//! Scratch: the rows themselves, in the order in which they were read, compressed in blocks.
//!
//! A change refers to its row by place. Changes are delivered in the order of their places, so that each block is unpacked once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use backflow_core::code::Failure;
use backflow_core::encode::EncodedRow;
use zstd::bulk::{Compressor, Decompressor};

use super::damage::{internal, scratch};
use super::spool::Usage;

/// A block is closed when it has this many bytes.
const BLOCK: usize = 256 * 1024;

/// Where a row is: its block, and the offset in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(pub u64);

impl Place {
    /// Of a row that was not kept, because it is as it was delivered.
    pub(super) const NONE: Self = Self(u64::MAX);

    fn new(block: usize, offset: usize) -> Self {
        Self((block as u64) << 32 | offset as u64)
    }

    /// The block's number.
    pub(super) fn block(self) -> usize {
        (self.0 >> 32) as usize
    }

    fn offset(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }
}

struct Block {
    offset: u64,
    packed: u32,
    raw: u32,
}

/// Writes rows.
pub(super) struct PayloadWriter {
    file: File,
    end: u64,
    blocks: Vec<Block>,
    buffer: Vec<u8>,
    packed: Vec<u8>,
    compressor: Compressor<'static>,
    usage: Usage,
}

impl PayloadWriter {
    pub(super) fn new(folder: &Path, usage: Usage) -> Result<Self, Failure> {
        Ok(Self {
            file: tempfile::tempfile_in(folder).map_err(|error| scratch(&error))?,
            end: 0,
            blocks: Vec::new(),
            buffer: Vec::new(),
            packed: Vec::new(),
            compressor: Compressor::new(1).map_err(|_| internal("the compressor does not start"))?,
            usage,
        })
    }

    /// Appends an encoded row.
    pub(super) fn push(&mut self, row: &[u8]) -> Result<Place, Failure> {
        let place = Place::new(self.blocks.len(), self.buffer.len());
        self.buffer.extend_from_slice(row);
        if self.buffer.len() >= BLOCK {
            self.close_block()?;
        }
        Ok(place)
    }

    fn close_block(&mut self) -> Result<(), Failure> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.buffer.len()));
        self.compressor
            .compress_to_buffer(&self.buffer, &mut self.packed)
            .map_err(|_| internal("a block of scratch cannot be packed"))?;
        self.file.write_all_at(&self.packed, self.end).map_err(|error| scratch(&error))?;
        self.blocks.push(Block { offset: self.end, packed: self.packed.len() as u32, raw: self.buffer.len() as u32 });
        self.end += self.packed.len() as u64;
        self.usage.add(self.packed.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Payload, Failure> {
        if !self.buffer.is_empty() {
            self.close_block()?;
        }
        let decompressor = Decompressor::new().map_err(|_| internal("the decompressor does not start"))?;
        Ok(Payload { file: self.file, blocks: self.blocks, open: None, decompressor })
    }
}

/// Reads rows.
pub(super) struct Payload {
    file: File,
    blocks: Vec<Block>,
    open: Option<(usize, Vec<u8>)>,
    decompressor: Decompressor<'static>,
}

impl Payload {
    /// How many blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The first `columns` values of a row.
    pub(super) fn row(&mut self, place: Place, columns: usize) -> Result<EncodedRow, Failure> {
        let damaged = || internal("a row in scratch cannot be read back");
        let number = place.block();
        if self.open.as_ref().is_none_or(|(open, _)| *open != number) {
            self.open = None;
            let block = self.blocks.get(number).ok_or_else(damaged)?;
            let mut packed = vec![0; block.packed as usize];
            self.file.read_exact_at(&mut packed, block.offset).map_err(|error| scratch(&error))?;
            let raw = self.decompressor.decompress(&packed, block.raw as usize).map_err(|_| damaged())?;
            self.open = Some((number, raw));
        }
        let (_, block) = self.open.as_ref().ok_or_else(damaged)?;
        block.get(place.offset()..).and_then(|input| EncodedRow::read(input, columns)).ok_or_else(damaged)
    }
}
