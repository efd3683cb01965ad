//! What the protocols of a server's own share: a stream of bytes, how it is opened, and why a message did not come or go.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use backflow_core::code::{Code, Failure};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How soon it is noticed that the other end is gone while nothing is sent.
const KEEPALIVE: Duration = Duration::from_secs(30);

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

impl Broken {
    /// The connection, and no statement. `longest`: what is read of a row at most.
    pub(crate) fn failure(&self, address: &str, longest: &str) -> Failure {
        let (code, message) = match self {
            Self::TooLong => {
                (Code::LimitExceeded, format!("{address} sent a row of more than {longest}; leave long columns out"))
            }
            Self::Malformed => (
                Code::ConnectionFailed,
                format!("{address} answered in a form that this version does not read; it is tried again"),
            ),
            Self::Silent(patience) => (
                Code::ConnectionFailed,
                format!("{address} did not answer within {} s; it is tried again", patience.as_secs()),
            ),
            Self::Io(_) => return lost(address),
        };
        Failure::new(code, message)
    }
}

/// The connection broke.
pub(crate) fn lost(address: &str) -> Failure {
    Failure::new(Code::ConnectionFailed, format!("the connection to {address} broke; it is tried again"))
}

/// Connects to a host by its name.
pub(crate) async fn connect(host: &str, port: u16, failed: impl Fn(Broken) -> Failure) -> Result<TcpStream, Failure> {
    let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await.map(Iterator::collect).unwrap_or_default();
    if found.is_empty() {
        let message =
            format!("host \"{host}\" cannot be resolved; check the name, and that it is known inside the cluster");
        return Err(Failure::new(Code::HostNotFound, message));
    }
    let stream = TcpStream::connect(found.as_slice()).await.map_err(|error| failed(error.into()))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(4);
    stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive))
        .map_err(|error| failed(error.into()))?;
    Ok(stream)
}
