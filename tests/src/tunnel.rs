//! An HTTP proxy that leads the name of a service to the fake that stands for it, for clients that cannot be told of another address. TLS
//! goes through it and ends at the fake. Other names lead nowhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest `CONNECT`.
const HEAD: usize = 16 * 1024;

/// A running proxy; it ends with this value.
pub struct Tunnel {
    address: SocketAddr,
    refused: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Tunnel {
    /// Starts one at an address of this machine. It leads `name`, at the port of HTTPS, to `fake`.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(at: IpAddr, name: &str, fake: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((at, 0)).await.context("no free port")?;
        let address = listener.local_addr()?;
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let (said, target) = (Arc::clone(&refused), format!("{name}:443"));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (said, target) = (Arc::clone(&said), target.clone());
                // An error of one connection is its client's matter.
                tokio::spawn(async move { lead(client, &target, fake, &said).await });
            }
        });
        Ok(Self { address, refused, task })
    }

    /// What a worker gets as `HTTPS_PROXY`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The targets that it led nowhere.
    #[must_use]
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(
    mut client: TcpStream,
    target: &str,
    fake: SocketAddr,
    refused: &Mutex<Vec<String>>,
) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    let asked = connect_target(&mut client).await?;
    if asked != target {
        refused.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        return Ok(client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await?);
    }
    let mut fake = TcpStream::connect(fake).await?;
    fake.set_nodelay(true)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut client, &mut fake).await?;
    Ok(())
}

/// Reads the head of a `CONNECT`: its target.
pub(crate) async fn connect_target(client: &mut TcpStream) -> anyhow::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < HEAD, "the head is too long");
        head.push(client.read_u8().await?);
    }
    let line = String::from_utf8(head)?;
    let target = line.strip_prefix("CONNECT ").and_then(|line| line.split(' ').next());
    Ok(target.context("it is no CONNECT")?.to_owned())
}
