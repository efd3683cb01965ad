//! A scripted receiver on loopback: answers request number `n` as the script says, and keeps what it got.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use backflow_core::notes::{Note, Notes};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::http::Network;

thread_local! {
    static NETWORK: RefCell<Option<Arc<dyn Network>>> = const { RefCell::new(None) };
}

/// What clients that are made now talk to, if that is not the network.
pub(crate) fn network() -> Option<Arc<dyn Network>> {
    NETWORK.with_borrow(Clone::clone)
}

/// Makes something whose clients talk to this network.
pub(crate) fn on_network<T>(network: Arc<dyn Network>, make: impl FnOnce() -> T) -> T {
    NETWORK.set(Some(network));
    let made = make();
    NETWORK.set(None);
    made
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The form's or query's pairs.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&self.body).into_owned().collect()
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, headers, body.
    With(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Nothing: the connection is closed after the request was read.
    Lost,
    /// A body of so many bytes, however long that is.
    Long(u16, usize),
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::With(status, Vec::new(), Vec::new())
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::With(status, vec![("content-type", "application/json".into())], body.to_string().into_bytes())
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::With(status, Vec::new(), body.as_bytes().to_vec())
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Self::With(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Script = dyn Fn(usize, &Received) -> Answer + Send + Sync;

/// The receiver; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(script: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let (kept, script): (_, Arc<Script>) = (Arc::clone(&received), Arc::new(script));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&kept)));
            }
        });
        Self { url, received, task }
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("not poisoned").clone()
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>, received: Arc<Mutex<Vec<Received>>>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let answer = {
            let mut all = received.lock().expect("not poisoned");
            all.push(request);
            let number = all.len();
            script(number, &all[number - 1])
        };
        let (status, headers, body, length) = match answer {
            Answer::Lost => return,
            Answer::With(status, headers, body) => (status, headers, body.clone(), body.len()),
            // A document, and blanks behind it.
            Answer::Long(status, length) => (status, Vec::new(), b"{}".to_vec(), length),
        };
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {length}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut left = length - body.len();
        if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
            return;
        }
        while left > 0 {
            let chunk = vec![b' '; left.min(1 << 16)];
            if stream.write_all(&chunk).await.is_err() {
                return;
            }
            left -= chunk.len();
        }
        if stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Received> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, target) = (words.next()?, words.next()?);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Received { method, target, headers, body: Vec::new() };
    let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).await.ok()?;
    Some(request)
}

/// Notes in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryNotes {
    pub(crate) notes: Mutex<BTreeMap<String, Note>>,
    /// So many more writings succeed; the store is away for the others.
    pub(crate) writings: Option<AtomicU32>,
}

impl MemoryNotes {
    /// One text of all.
    pub(crate) fn only(&self) -> Note {
        let notes = self.notes.lock().expect("not poisoned");
        assert_eq!(notes.len(), 1, "{notes:?}");
        notes.values().next().cloned().expect("a note")
    }
}

#[async_trait]
impl Notes for MemoryNotes {
    async fn read(&self, name: &str) -> Result<Option<Note>, Failure> {
        Ok(self.notes.lock().expect("not poisoned").get(name).cloned())
    }

    async fn write(&self, name: &str, before: Option<&Note>, text: &str) -> Result<Option<Note>, Failure> {
        // Whoever writes at the same time gets between.
        tokio::task::yield_now().await;
        if let Some(left) = &self.writings
            && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_err()
        {
            return Err(Failure::new(Code::StateStoreUnavailable, "the store is away"));
        }
        let mut notes = self.notes.lock().expect("not poisoned");
        if notes.get(name) != before {
            return Ok(None);
        }
        let note = Note { version: before.map_or(0, |note| note.version) + 1, text: text.to_owned() };
        notes.insert(name.to_owned(), note.clone());
        Ok(Some(note))
    }
}
