//! The container of entries that a store keeps: a header, then compressed blocks, each with its checksum. `docs/state-format.md` is
//! the specification.

use backflow_core::code::Failure;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::{Compressor, Decompressor};

use super::damage::{Damage, internal};
use super::entry::{Entry, Plain, take, take_u32, take_u64};

/// The version of the container, of the entries in it, and of the document beside it. Every earlier one is read.
pub(super) const FORMAT: u32 = 2;

const MAGIC: &[u8; 4] = b"BFST";
const HEADER: usize = 36;
/// A block is closed when it has this many bytes.
const BLOCK: usize = 64 * 1024;
/// No block has more: one entry beyond [`BLOCK`], whose texts a destination may have made long.
const MAX_BLOCK: usize = 64 * 1024 * 1024;

/// What a container holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A partition: sorted by key hash and key, each key once.
    Partition {
        /// Its number.
        index: u32,
        /// There are two to the power of `bits` partitions.
        bits: u8,
    },
    /// A journal segment: in the order of acknowledgement.
    Segment {
        /// Its number.
        number: u64,
    },
}

impl Content {
    fn parts(self) -> (u8, u8, u64) {
        match self {
            Self::Partition { index, bits } => (b'P', bits, u64::from(index)),
            Self::Segment { number } => (b'J', 0, number),
        }
    }
}

/// Packs entries.
pub(super) struct Packer {
    content: Content,
    out: Vec<u8>,
    block: Vec<u8>,
    entries: u64,
    blocks: u32,
    compressor: Compressor<'static>,
}

impl Packer {
    pub(super) fn new(content: Content) -> Result<Self, Failure> {
        // A segment lives until the next fold.
        let level = if matches!(content, Content::Segment { .. }) { 1 } else { 3 };
        let compressor = Compressor::new(level).map_err(|_| internal("the compressor does not start"))?;
        Ok(Self { content, out: vec![0; HEADER], block: Vec::new(), entries: 0, blocks: 0, compressor })
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Failure> {
        entry.encode(&mut self.block);
        self.entries += 1;
        if self.block.len() >= BLOCK { self.close_block() } else { Ok(()) }
    }

    /// Adds entries that are encoded one after another.
    pub(super) fn push_all(&mut self, entries: &[u8]) -> Result<(), Failure> {
        let mut rest = entries;
        while !rest.is_empty() {
            let entry = rest;
            Entry::skip(&mut rest).ok_or_else(|| internal("an entry of a segment cannot be read back"))?;
            self.block.extend_from_slice(&entry[..entry.len() - rest.len()]);
            self.entries += 1;
            if self.block.len() >= BLOCK {
                self.close_block()?;
            }
        }
        Ok(())
    }

    fn close_block(&mut self) -> Result<(), Failure> {
        let packed =
            self.compressor.compress(&self.block).map_err(|_| internal("a block of state cannot be packed"))?;
        self.out.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        self.out.extend_from_slice(&xxh3_64(&packed).to_le_bytes());
        self.out.extend_from_slice(&packed);
        self.block.clear();
        self.blocks += 1;
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Vec<u8>, Failure> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        let (kind, bits, number) = self.content.parts();
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&(FORMAT as u16).to_le_bytes());
        header.extend_from_slice(&[kind, bits]);
        header.extend_from_slice(&number.to_le_bytes());
        header.extend_from_slice(&self.entries.to_le_bytes());
        header.extend_from_slice(&self.blocks.to_le_bytes());
        header.extend_from_slice(&xxh3_64(&header).to_le_bytes());
        self.out[..HEADER].copy_from_slice(&header);
        Ok(self.out)
    }
}

/// Unpacks entries, one block in memory at a time.
pub(super) struct Unpacker {
    bytes: Vec<u8>,
    at: usize,
    entries_left: u64,
    blocks_left: u32,
    block: Vec<u8>,
    block_at: usize,
    decompressor: Decompressor<'static>,
}

impl Unpacker {
    /// Checks the header.
    pub(super) fn new(bytes: Vec<u8>, content: Content) -> Result<Self, Damage> {
        let header = bytes.get(..HEADER).ok_or(Damage::Truncated)?;
        let (body, sum) = header.split_at(HEADER - 8);
        if xxh3_64(body).to_le_bytes() != sum {
            return Err(Damage::Checksum);
        }
        let number = |from: usize| {
            body.get(from..from + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes).unwrap_or_default()
        };
        let (kind, bits, expected) = content.parts();
        let format = u16::from_le_bytes([body[4], body[5]]);
        if !body.starts_with(MAGIC)
            || !(1..=FORMAT).contains(&u32::from(format))
            || body[6..8] != [kind, bits]
            || number(8) != expected
        {
            return Err(Damage::Foreign);
        }
        let decompressor = Decompressor::new().map_err(|_| Damage::Foreign)?;
        let entries_left = number(16);
        let blocks_left = u32::from_le_bytes([body[24], body[25], body[26], body[27]]);
        Ok(Self { bytes, at: HEADER, entries_left, blocks_left, block: Vec::new(), block_at: 0, decompressor })
    }

    /// Goes over entries as long as they are plain and `passes` takes them.
    pub(super) fn pass(&mut self, mut passes: impl FnMut(&Plain<'_>) -> Result<bool, Damage>) -> Result<(), Damage> {
        while self.block_at < self.block.len() || self.open_block()? {
            let mut input = &self.block[self.block_at..];
            while let Some(plain) = Plain::read(&mut input) {
                if !passes(&plain)? {
                    return Ok(());
                }
                self.block_at = self.block.len() - input.len();
                self.entries_left = self.entries_left.checked_sub(1).ok_or(Damage::Entry)?;
            }
            if !input.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Damage> {
        if self.block_at == self.block.len() && !self.open_block()? {
            return Ok(None);
        }
        let mut input = &self.block[self.block_at..];
        let entry = Entry::decode(&mut input).ok_or(Damage::Entry)?;
        self.block_at = self.block.len() - input.len();
        self.entries_left = self.entries_left.checked_sub(1).ok_or(Damage::Entry)?;
        Ok(Some(entry))
    }

    fn open_block(&mut self) -> Result<bool, Damage> {
        if self.blocks_left == 0 {
            let whole = self.at == self.bytes.len() && self.entries_left == 0;
            return if whole { Ok(false) } else { Err(Damage::Truncated) };
        }
        let mut input = self.bytes.get(self.at..).ok_or(Damage::Truncated)?;
        let raw = take_u32(&mut input).ok_or(Damage::Truncated)? as usize;
        let length = take_u32(&mut input).ok_or(Damage::Truncated)? as usize;
        let sum = take_u64(&mut input).ok_or(Damage::Truncated)?;
        let packed = take(&mut input, length).ok_or(Damage::Truncated)?;
        if xxh3_64(packed) != sum || raw > MAX_BLOCK {
            return Err(Damage::Checksum);
        }
        self.block.clear();
        self.block.reserve_exact(raw);
        self.decompressor.decompress_to_buffer(packed, &mut self.block).map_err(|_| Damage::Checksum)?;
        if self.block.len() != raw || raw == 0 {
            return Err(Damage::Checksum);
        }
        self.block_at = 0;
        self.at = self.bytes.len() - input.len();
        self.blocks_left -= 1;
        Ok(true)
    }
}
