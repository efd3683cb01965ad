//! The redirect address: the smallest HTTP server that takes a browser's answer. Browsers open connections that they do not use, and ask
//! for icons, so each connection is read beside the others, and none for long.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

/// The longest head of a request that is read, in bytes. Codes have some hundred.
const LONGEST: usize = 16 << 10;
/// The longest that a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections at once.
const MOST: usize = 16;

/// Waits for visits at the redirect address.
pub(super) struct Listener {
    redirect: Url,
    visits: mpsc::Receiver<Visit>,
    /// Dropping it ends the connections.
    _accepting: JoinSet<()>,
}

/// A visit at the redirect address.
pub(super) struct Visit {
    /// What stands behind the question mark.
    pub(super) query: String,
    /// What is said to the visitor.
    pub(super) reply: Reply,
}

/// The other end of a visit.
pub(super) struct Reply(TcpStream);

impl Listener {
    /// Listens where `redirect` says; port 0 is any that is free.
    ///
    /// # Errors
    /// In a sentence: the port is taken.
    pub(super) async fn bind(redirect: &Url) -> Result<Self, String> {
        let mut redirect = redirect.clone();
        let port = redirect.port_or_known_default().unwrap_or_default();
        let host = redirect.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let busy = |error: std::io::Error| {
            format!("nothing can listen at {host}:{port} ({}); name a free port with --redirect-url", error.kind())
        };
        let listener = TcpListener::bind((host.as_str(), port)).await.map_err(busy)?;
        let taken = listener.local_addr().map_err(busy)?;
        let _ = redirect.set_port(Some(taken.port()));
        let (sender, visits) = mpsc::channel(1);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, redirect.path().to_owned(), sender));
        Ok(Self { redirect, visits, _accepting: accepting })
    }

    /// The redirect address, with the port that it got.
    pub(super) fn redirect(&self) -> &Url {
        &self.redirect
    }

    /// The next visit.
    pub(super) async fn next(&mut self) -> Visit {
        match self.visits.recv().await {
            Some(visit) => visit,
            // The other end lives as long as the listener.
            None => std::future::pending().await,
        }
    }
}

async fn accept(listener: TcpListener, path: String, visits: mpsc::Sender<Visit>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => {
                let Ok((stream, _)) = accepted else { continue };
                let (path, visits) = (path.clone(), visits.clone());
                connections.spawn(async move {
                    let Ok(Some(visit)) = timeout(PATIENCE, read(stream, &path)).await else { return };
                    let _ = visits.send(visit).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Reads a request; nothing if it is for another path, which it is told.
async fn read(mut stream: TcpStream, path: &str) -> Option<Visit> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut chunk = [0; 2048];
        let read = stream.read(&mut chunk).await.ok()?;
        head.extend_from_slice(chunk.get(..read)?);
        if read == 0 || head.len() > LONGEST {
            return None;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (asked, query) = target.split_once('?').unwrap_or((target, ""));
    let reply = Reply(stream);
    if method == "GET" && asked == path {
        return Some(Visit { query: query.to_owned(), reply });
    }
    reply.send(404, "Nothing is here.").await;
    None
}

impl Reply {
    /// Says something to the visitor and ends the connection.
    pub(super) async fn send(mut self, status: u16, sentence: &str) {
        let body = format!("<!doctype html><meta charset=\"utf-8\"><title>Backflow</title><p>{sentence}</p>\n");
        let name = match status {
            200 => "OK",
            400 => "Bad Request",
            _ => "Not Found",
        };
        // The address holds the code: it goes nowhere else.
        let answer = format!(
            "HTTP/1.1 {status} {name}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nReferrer-Policy: no-referrer\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let written = async {
            self.0.write_all(answer.as_bytes()).await?;
            self.0.shutdown().await
        };
        let _ = timeout(PATIENCE, written).await;
    }
}
