//! Four keep-alive connections that post bodies.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};

/// As many as a webhook Destination has.
const CONNECTIONS: usize = 4;
/// The longest silence of the receiver.
const TIMEOUT: Duration = Duration::from_secs(60);

type Bodies = Arc<Mutex<mpsc::Receiver<Vec<u8>>>>;

pub(super) struct Poster {
    bodies: mpsc::SyncSender<Vec<u8>>,
    threads: Vec<JoinHandle<anyhow::Result<u64>>>,
}

impl Poster {
    pub(super) fn start(receiver: &str) -> anyhow::Result<Self> {
        let (bodies, from) = mpsc::sync_channel(CONNECTIONS);
        let from: Bodies = Arc::new(Mutex::new(from));
        let thread = |_| {
            let (receiver, from) = (receiver.to_owned(), Arc::clone(&from));
            std::thread::spawn(move || post(&receiver, &from))
        };
        Ok(Self { bodies, threads: (0..CONNECTIONS).map(thread).collect() })
    }

    pub(super) fn send(&self, body: Vec<u8>) -> anyhow::Result<()> {
        self.bodies.send(body).context("no connection to the receiver is left")
    }

    /// Waits for all answers; returns how many there were.
    pub(super) fn end(self) -> anyhow::Result<u64> {
        drop(self.bodies);
        let mut requests = 0;
        for thread in self.threads {
            requests += thread.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        Ok(requests)
    }
}

fn post(receiver: &str, bodies: &Bodies) -> anyhow::Result<u64> {
    let mut stream: Option<TcpStream> = None;
    let mut answer = [0; 1024];
    let mut requests = 0;
    loop {
        let next = bodies.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(body) = next else { return Ok(requests) };
        let stream = match &mut stream {
            Some(stream) => stream,
            none => {
                let fresh = TcpStream::connect(receiver)?;
                fresh.set_nodelay(true)?;
                fresh.set_read_timeout(Some(TIMEOUT))?;
                none.insert(fresh)
            }
        };
        let head = format!(
            "POST /hook HTTP/1.1\r\nHost: {receiver}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        let mut length = 0;
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[length..])?;
            ensure!(read > 0, "the receiver closed the connection");
            length += read;
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "the receiver refused a batch");
        requests += 1;
    }
}
