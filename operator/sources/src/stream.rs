//! What the protocols of a server's own share: a stream of bytes, and why a message did not come or go.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream of bytes, encrypted or not.
pub(crate) trait Bytewise: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Bytewise for T {}

/// Why a message did not come or go.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection.
    Io(io::Error),
    /// Nothing came for so long.
    Silent(Duration),
    /// It is not what the protocol says.
    Malformed,
    /// It is longer than any that is read.
    TooLong,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
