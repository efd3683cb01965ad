//! TLS inside of the protocol: the records of its handshake travel in packets of the prelogin, and all that follows travels without.
//!
//! A server that speaks TLS 1.3 sends tickets behind the handshake, with packets around them or without: either is taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;

use super::wire::{HEAD, kind, packets};
use crate::stream::{Broken, Bytewise};

/// Bytes of a packet around a part of the handshake.
const SIZE: usize = 4096;
/// Bytes of a record's head.
const RECORD: usize = 5;

/// TLS, and the host that is to prove itself by it.
pub(super) struct Encryption {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

/// Encrypts a stream.
pub(super) async fn encrypted(stream: Box<dyn Bytewise>, encryption: &Encryption) -> Result<Box<dyn Bytewise>, Broken> {
    let wrapped = Wrapped {
        stream,
        handshake: true,
        through: false,
        said: BytesMut::new(),
        framed: BytesMut::new(),
        head: Vec::new(),
        given: BytesMut::new(),
        left: 0,
    };
    let mut stream = encryption.connector.connect(encryption.name.clone(), wrapped).await?;
    stream.get_mut().0.handshake = false;
    Ok(Box::new(stream))
}

struct Wrapped {
    stream: Box<dyn Bytewise>,
    /// What is said belongs to the handshake.
    handshake: bool,
    /// What is heard is in no packet any more.
    through: bool,
    /// Said, and not in packets yet: they are made when the other end is to hear it.
    said: BytesMut,
    /// In packets, and not on its way.
    framed: BytesMut,
    /// Of a packet or of a record, until it is complete.
    head: Vec<u8>,
    /// Heard, and not given out: the head of a record.
    given: BytesMut,
    /// Bytes that follow before there is a head again.
    left: usize,
}

impl Wrapped {
    /// Reads into `buffer`, so many bytes at most.
    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>, most: usize) -> Poll<io::Result<usize>> {
        let room = most.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let heard = part.filled().len();
        buffer.advance(heard);
        Poll::Ready(Ok(heard))
    }

    /// Reads on with a head: how much of it is there decides.
    fn read_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            let whole = match self.head.first() {
                None => 1,
                Some(&(kind::PRELOGIN | kind::REPLY)) => HEAD,
                Some(_) => RECORD,
            };
            if self.head.len() >= whole && whole > 1 {
                break;
            }
            let mut bytes = [0; HEAD];
            let mut part = ReadBuf::new(&mut bytes[..whole - self.head.len()]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            self.head.extend_from_slice(part.filled());
        }
        match self.head[..] {
            [_, _, high, low, _, _, _, _] => {
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.left = length.checked_sub(HEAD).ok_or(io::ErrorKind::InvalidData)?;
            }
            [_, _, _, high, low] => {
                self.given.extend_from_slice(&self.head);
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.through = !self.handshake;
            }
            _ => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        }
        self.head.clear();
        Poll::Ready(Ok(true))
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.given.is_empty() {
                let part = this.given.len().min(buffer.remaining());
                buffer.put_slice(&this.given[..part]);
                this.given.advance(part);
                return Poll::Ready(Ok(()));
            }
            if this.through {
                return Pin::new(&mut this.stream).poll_read(cx, buffer);
            }
            if this.left > 0 {
                let heard = ready!(this.read(cx, buffer, this.left))?;
                this.left -= heard;
                return Poll::Ready(Ok(()));
            }
            if !ready!(this.read_head(cx))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.handshake {
            this.said.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.said.is_empty() {
            packets(kind::PRELOGIN, &this.said, SIZE).for_each(|packet| this.framed.extend_from_slice(&packet));
            this.said.clear();
        }
        while !this.framed.is_empty() {
            let written = ready!(Pin::new(&mut this.stream).poll_write(cx, &this.framed))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.framed.advance(written);
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
