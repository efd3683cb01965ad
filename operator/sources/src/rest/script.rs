//! A server that gives the answers of a script and keeps what it was asked, for tests of this crate.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path with query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// The body as it is.
    pub(crate) text: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes that are sent before the connection is closed.
    cut: Option<usize>,
}

impl Answer {
    pub(crate) fn text(status: u16, body: impl Into<String>) -> Self {
        Self::raw(status, body.into().into_bytes())
    }

    pub(crate) fn raw(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, cut: None }
    }

    /// Its body.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.body.clone()
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string()).with("content-type", "application/json")
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn gzip(mut self) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&self.body).unwrap();
        self.body = encoder.finish().unwrap();
        self.with("content-encoding", "gzip")
    }

    /// Ends within its body.
    pub(crate) fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }
}

/// The server. A request beyond its script is answered with 418, which nothing takes for an answer.
pub(crate) struct Script {
    pub(crate) endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    left: Arc<Mutex<VecDeque<Answer>>>,
}

impl Script {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let left = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
        let (kept, script) = (Arc::clone(&asked), Arc::clone(&left));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept), Arc::clone(&script)));
            }
        });
        Self { endpoint, asked, left }
    }

    /// More answers, behind those that are left.
    pub(crate) fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        self.left.lock().unwrap().extend(answers);
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Answers that nobody asked for.
    pub(crate) fn left(&self) -> usize {
        self.left.lock().unwrap().len()
    }
}

async fn serve(mut stream: TcpStream, asked: Arc<Mutex<Vec<Asked>>>, script: Arc<Mutex<VecDeque<Answer>>>) {
    while let Some(request) = read(&mut stream).await {
        asked.lock().unwrap().push(request);
        let answer = script.lock().unwrap().pop_front();
        let answer = answer.unwrap_or_else(|| Answer::text(418, "beyond the script"));
        let mut head = format!("HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\n", answer.status, answer.body.len());
        for (name, value) in &answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let end = answer.cut.unwrap_or(answer.body.len());
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&answer.body[..end]).await?;
            stream.flush().await
        };
        if sent.await.is_err() || answer.cut.is_some() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&bytes[head..head + length]).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&bytes[head..head + length]).into_owned();
    Some(Asked { method, path, headers, body, text })
}
