//! The protocol's frames and fields: packets of a stream, and the integers and strings in them.
//!
//! A packet has three bytes of length, one of sequence, and its payload. A payload that fills a packet goes on in the next one.

use std::io;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;

use crate::stream::{Broken, Bytewise};

/// What a packet can hold.
const FULL: usize = 0xff_ffff;
/// The longest payload that is read: a row, of which no value could be sent anywhere.
const LONGEST: usize = 64 << 20;
/// Bytes that are asked for at once.
const CHUNK: usize = 64 << 10;

/// TLS, and the host that is to prove itself by it.
pub(super) struct Encryption {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

/// Packets over a stream.
pub(super) struct Packets {
    stream: Box<dyn Bytewise>,
    buffer: BytesMut,
    sequence: u8,
}

impl Packets {
    pub(super) fn new(stream: Box<dyn Bytewise>) -> Self {
        Self { stream, buffer: BytesMut::new(), sequence: 0 }
    }

    /// Goes on encrypted. What was sent ahead of it, unencrypted, is not taken for a part of it.
    pub(super) async fn encrypted(self, encryption: &Encryption) -> Result<Self, Broken> {
        if !self.buffer.is_empty() {
            return Err(Broken::Malformed);
        }
        let stream = encryption.connector.connect(encryption.name.clone(), self.stream).await?;
        Ok(Self { stream: Box::new(stream), ..self })
    }

    /// A command begins to count anew.
    pub(super) fn begin(&mut self) {
        self.sequence = 0;
    }

    /// The next payload, for which the other end may take so long.
    pub(super) async fn next(&mut self, patience: Duration) -> Result<Bytes, Broken> {
        tokio::time::timeout(patience, self.payload()).await.unwrap_or(Err(Broken::Silent(patience)))
    }

    async fn payload(&mut self) -> Result<Bytes, Broken> {
        let mut whole = BytesMut::new();
        loop {
            let part = self.packet().await?;
            let full = part.len() == FULL;
            if whole.is_empty() && !full {
                return Ok(part);
            }
            if whole.len() + part.len() > LONGEST {
                return Err(Broken::TooLong);
            }
            whole.extend_from_slice(&part);
            if !full {
                return Ok(whole.freeze());
            }
        }
    }

    async fn packet(&mut self) -> Result<Bytes, Broken> {
        self.fill(4).await?;
        let length = self.buffer.get_uint_le(3) as usize;
        let sequence = self.buffer.get_u8();
        if sequence != self.sequence {
            return Err(Broken::Malformed);
        }
        self.sequence = sequence.wrapping_add(1);
        self.fill(length).await?;
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), Broken> {
        while self.buffer.len() < bytes {
            self.buffer.reserve(CHUNK);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(())
    }

    /// Sends a payload.
    pub(super) async fn send(&mut self, payload: &[u8], patience: Duration) -> Result<(), Broken> {
        let sent = async {
            let mut rest = payload;
            loop {
                let part = &rest[..rest.len().min(FULL)];
                let [a, b, c, ..] = (part.len() as u32).to_le_bytes();
                let mut packet = Vec::with_capacity(part.len() + 4);
                packet.extend_from_slice(&[a, b, c, self.sequence]);
                packet.extend_from_slice(part);
                self.sequence = self.sequence.wrapping_add(1);
                self.stream.write_all(&packet).await?;
                rest = &rest[part.len()..];
                if part.len() < FULL {
                    return self.stream.flush().await;
                }
            }
        };
        Ok(tokio::time::timeout(patience, sent).await.map_err(|_| Broken::Silent(patience))??)
    }
}

/// Reads fields from the front of a payload; each is `None` if it is not there.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(bytes)?;
        self.0 = tail;
        Some(head)
    }

    /// An integer of so many bytes, the least significant first.
    pub(super) fn int(&mut self, bytes: usize) -> Option<u64> {
        Some(self.take(bytes)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An integer whose first byte says its length.
    pub(super) fn length(&mut self) -> Option<u64> {
        match self.int(1)? {
            small @ 0..=0xfa => Some(small),
            0xfc => self.int(2),
            0xfd => self.int(3),
            0xfe => self.int(8),
            _ => None,
        }
    }

    /// Bytes behind their length.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length()?).ok()?;
        self.take(length)
    }

    /// Bytes before a NUL, or all.
    pub(super) fn until_nul(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let (text, rest) = (&self.0[..end.unwrap_or(self.0.len())], &self.0[end.map_or(self.0.len(), |end| end + 1)..]);
        self.0 = rest;
        text
    }

    /// A value of a row: `Some(None)` is NULL.
    pub(super) fn value(&mut self) -> Option<Option<&'a [u8]>> {
        if self.0.first() == Some(&0xfb) {
            self.0 = &self.0[1..];
            return Some(None);
        }
        self.sized().map(Some)
    }
}

/// Appends bytes behind their length.
pub(super) fn push_sized(bytes: &[u8], out: &mut Vec<u8>) {
    match bytes.len() {
        small @ 0..=0xfa => out.push(small as u8),
        length @ ..=0xffff => {
            out.push(0xfc);
            out.extend_from_slice(&(length as u16).to_le_bytes());
        }
        length => {
            out.push(0xfe);
            out.extend_from_slice(&(length as u64).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn payloads_arrive_whole_whatever_packets_they_need() {
        for length in [0, 1, FULL - 1, FULL, FULL + 1, 2 * FULL] {
            let (one, other) = tokio::io::duplex(1 << 20);
            let (mut sender, mut receiver) = (Packets::new(Box::new(one)), Packets::new(Box::new(other)));
            let payload = vec![7; length];
            let (sent, received) = tokio::join!(sender.send(&payload, PATIENCE), receiver.next(PATIENCE));
            sent.unwrap();
            assert_eq!(received.unwrap().len(), length);
            assert_eq!(receiver.sequence, sender.sequence);
        }
    }

    #[tokio::test]
    async fn a_packet_out_of_its_turn_and_an_early_end_are_told() {
        let (mut one, other) = tokio::io::duplex(100);
        let mut packets = Packets::new(Box::new(other));
        one.write_all(&[1, 0, 0, 3, 9]).await.unwrap();
        assert!(matches!(packets.next(PATIENCE).await, Err(Broken::Malformed)));
        let (mut one, other) = tokio::io::duplex(100);
        let mut packets = Packets::new(Box::new(other));
        one.write_all(&[9, 0, 0, 0, 9]).await.unwrap();
        drop(one);
        assert!(matches!(packets.next(PATIENCE).await, Err(Broken::Io(_))));
    }

    #[test]
    fn fields_are_read_back() {
        let mut out = Vec::new();
        for length in [0, 250, 251, 70_000] {
            push_sized(&vec![1; length], &mut out);
        }
        out.extend_from_slice(b"\xfbab\0c");
        let mut fields = Fields(&out);
        let lengths: Vec<usize> = (0..4).map(|_| fields.value().unwrap().unwrap().len()).collect();
        assert_eq!(lengths, [0, 250, 251, 70_000]);
        assert_eq!(fields.value(), Some(None));
        assert_eq!((fields.until_nul(), fields.until_nul(), fields.int(1)), (&b"ab"[..], &b"c"[..], None));
        assert_eq!(Fields(&[0xfc, 1]).sized(), None);
    }
}
