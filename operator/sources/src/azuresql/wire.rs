//! The protocol's frames: packets of a message, and the fields in it.
//!
//! A packet has eight bytes of head: its type, whether it ends its message, its length with the head (the most significant byte first), and
//! numbers that mean nothing to a client. All other integers have the least significant byte first, and texts are UTF-16.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stream::{Broken, Bytewise};

/// The longest token that is read: a row, of which no value could be sent anywhere.
const LONGEST: usize = 16 << 20;
/// Bytes that are asked for at once.
const CHUNK: usize = 32 << 10;
/// Bytes of a packet's head.
pub(super) const HEAD: usize = 8;
/// Bytes of a packet before the two sides have agreed on more.
const FIRST_SIZE: usize = 4096;

/// Types of packets.
pub(super) mod kind {
    pub(in super::super) const BATCH: u8 = 0x01;
    pub(in super::super) const REPLY: u8 = 0x04;
    pub(in super::super) const ATTENTION: u8 = 0x06;
    pub(in super::super) const LOGIN: u8 = 0x10;
    pub(in super::super) const PRELOGIN: u8 = 0x12;
}

/// Messages over a stream.
pub(super) struct Packets {
    stream: Box<dyn Bytewise>,
    /// Arrived, and not taken out of its packets.
    raw: BytesMut,
    /// What is known of the message that is being read, but for what was taken.
    pub(super) data: BytesMut,
    /// Whether that is all of it.
    ended: bool,
    /// Bytes of a packet that is sent.
    pub(super) size: usize,
    /// A message was begun and not sent whole: nothing can be said any more.
    broken_off: bool,
}

impl Packets {
    pub(super) fn new(stream: Box<dyn Bytewise>) -> Self {
        Self { stream, raw: BytesMut::new(), data: BytesMut::new(), ended: true, size: FIRST_SIZE, broken_off: false }
    }

    /// The stream, to put encryption around it. What was sent ahead of that, unencrypted, is not taken for a part of it.
    pub(super) fn into_stream(self) -> Result<Box<dyn Bytewise>, Broken> {
        if self.raw.is_empty() && self.data.is_empty() && self.ended { Ok(self.stream) } else { Err(Broken::Malformed) }
    }

    /// Sends a message, whose answer is read next. What was not read of the last one is dropped.
    pub(super) async fn send(&mut self, kind: u8, payload: &[u8], patience: Duration) -> Result<(), Broken> {
        self.data.clear();
        self.ended = false;
        self.write(kind, payload, patience).await
    }

    /// Asks the server to stop, within an answer.
    pub(super) async fn attention(&mut self, patience: Duration) -> Result<(), Broken> {
        self.write(kind::ATTENTION, &[], patience).await
    }

    async fn write(&mut self, kind: u8, payload: &[u8], patience: Duration) -> Result<(), Broken> {
        if std::mem::replace(&mut self.broken_off, true) {
            return Err(Broken::Malformed);
        }
        let sent = async {
            for packet in packets(kind, payload, self.size) {
                self.stream.write_all(&packet).await?;
            }
            self.stream.flush().await
        };
        tokio::time::timeout(patience, sent).await.map_err(|_| Broken::Silent(patience))??;
        self.broken_off = false;
        Ok(())
    }

    /// Waits for one more packet of the message, for which the other end may take so long.
    pub(super) async fn more(&mut self, patience: Duration) -> Result<(), Broken> {
        if self.ended {
            return Err(Broken::Malformed);
        }
        if self.data.len() > LONGEST {
            return Err(Broken::TooLong);
        }
        tokio::time::timeout(patience, self.packet()).await.unwrap_or(Err(Broken::Silent(patience)))
    }

    /// Dropped where it waits, it has taken nothing.
    async fn packet(&mut self) -> Result<(), Broken> {
        self.fill(HEAD).await?;
        let [kind, status, high, low, ..] = self.raw[..] else { return Err(Broken::Malformed) };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != kind::REPLY || length < HEAD {
            return Err(Broken::Malformed);
        }
        self.fill(length).await?;
        self.raw.advance(HEAD);
        let payload = self.raw.split_to(length - HEAD);
        if self.data.is_empty() {
            self.data = payload;
        } else {
            self.data.extend_from_slice(&payload);
        }
        self.ended = status & 1 != 0;
        Ok(())
    }

    /// Another message follows without being asked for.
    pub(super) fn expect(&mut self) {
        self.ended = false;
    }

    /// Whether the message has been read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.ended && self.data.is_empty()
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Broken> {
        while self.raw.len() < bytes {
            self.raw.reserve(CHUNK);
            if self.stream.read_buf(&mut self.raw).await? == 0 {
                return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }

    /// Reads a message whole, which has this many bytes at most.
    pub(super) async fn whole(&mut self, most: usize, patience: Duration) -> Result<BytesMut, Broken> {
        while !self.ended {
            self.more(patience).await?;
            if self.data.len() > most {
                return Err(Broken::Malformed);
            }
        }
        Ok(self.data.split())
    }
}

/// The packets of a message, one at least.
pub(super) fn packets(kind: u8, payload: &[u8], size: usize) -> impl Iterator<Item = Vec<u8>> {
    let room = size - HEAD;
    let count = payload.len().div_ceil(room).max(1);
    (0..count).map(move |at| {
        let part = &payload[at * room..payload.len().min((at + 1) * room)];
        let last = u8::from(at + 1 == count);
        let [high, low] = ((part.len() + HEAD) as u16).to_be_bytes();
        let mut packet = Vec::with_capacity(part.len() + HEAD);
        packet.extend_from_slice(&[kind, last, high, low, 0, 0, (at + 1) as u8, 0]);
        packet.extend_from_slice(part);
        packet
    })
}

/// Reads fields from the front of a message; each is `None` if it is not there yet.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(bytes)?;
        self.0 = tail;
        Some(head)
    }

    /// An integer of so many bytes, eight at most.
    pub(super) fn int(&mut self, bytes: usize) -> Option<u64> {
        Some(number(self.take(bytes)?))
    }

    /// Bytes behind their number, which has so many bytes.
    pub(super) fn sized(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let length = usize::try_from(self.int(bytes)?).ok()?;
        self.take(length)
    }

    /// A text behind the number of its units, which has so many bytes.
    pub(super) fn text(&mut self, bytes: usize) -> Option<String> {
        let units = usize::try_from(self.int(bytes)?).ok()?;
        Some(utf16(self.take(units.checked_mul(2)?)?))
    }
}

/// The number that these bytes are, eight at most.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The text that these bytes are.
pub(super) fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|unit| number(unit) as u16);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// A text as it is sent.
pub(super) fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn messages_arrive_whole_whatever_packets_they_need() {
        for length in [0, 1, FIRST_SIZE - HEAD, FIRST_SIZE - HEAD + 1, 5 * FIRST_SIZE] {
            let (one, mut other) = tokio::io::duplex(1 << 20);
            let payload = vec![7; length];
            for packet in packets(kind::REPLY, &payload, FIRST_SIZE) {
                assert!(packet.len() <= FIRST_SIZE);
                other.write_all(&packet).await.unwrap();
            }
            let mut packets = Packets::new(Box::new(one));
            packets.ended = false;
            assert_eq!(packets.whole(1 << 20, PATIENCE).await.unwrap(), payload, "{length}");
            assert!(packets.is_done());
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_not_taken_for_one() {
        for bytes in [&b"HTTP/1.1 400 Bad Request"[..], &[4, 1, 0, 7, 0, 0, 1, 0], &[1, 1, 0, 8, 0, 0, 1, 0]] {
            let (one, mut other) = tokio::io::duplex(1 << 10);
            other.write_all(bytes).await.unwrap();
            let mut packets = Packets::new(Box::new(one));
            packets.ended = false;
            assert!(matches!(packets.whole(100, PATIENCE).await, Err(Broken::Malformed)), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn what_has_no_end_does_not_fill_the_memory() {
        let (one, mut other) = tokio::io::duplex(1 << 20);
        let packet =
            packets(kind::REPLY, &[7; 32_000], 32_767).next().map(|packet| [&packet[..1], &[0], &packet[2..]].concat());
        let saying = tokio::spawn(async move { while other.write_all(packet.as_deref().unwrap()).await.is_ok() {} });
        let mut packets = Packets::new(Box::new(one));
        packets.ended = false;
        let broken = loop {
            if let Err(broken) = packets.more(PATIENCE).await {
                break broken;
            }
        };
        assert!(matches!(broken, Broken::TooLong) && packets.data.len() < LONGEST + 64_000, "{broken:?}");
        drop(packets);
        saying.await.unwrap();
    }

    #[test]
    fn texts_come_back_as_they_were_sent() {
        for text in ["", "a", "é 😀", "\u{ffff}"] {
            assert_eq!(utf16(&units(text)), text);
        }
        assert_eq!(utf16(&[0x3d, 0xd8]), "\u{fffd}", "half of a pair");
    }
}
