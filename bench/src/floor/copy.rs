//! As much of Postgres's protocol as one COPY needs: log in by SCRAM-SHA-256, read rows as text.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::Args;

/// The longest silence of the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection, and what of it was received and not yet read.
pub(super) struct Server {
    stream: TcpStream,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
}

/// A message: its type, and where in the buffer its content is.
type Message = (u8, std::ops::Range<usize>);

impl Server {
    pub(super) fn connect(args: &Args) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(&args.server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let mut server = Self { stream, buffer: vec![0; 1 << 18], from: 0, to: 0 };
        let mut start = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", &args.user, "database", &args.database, "client_encoding", "UTF8", "TimeZone", "UTC"] {
            start.extend_from_slice(text.as_bytes());
            start.push(0);
        }
        start.push(0);
        server.stream.write_all(&(u32::try_from(start.len())? + 4).to_be_bytes())?;
        server.stream.write_all(&start)?;
        server.log_in(&std::env::var("FLOOR_PASSWORD").unwrap_or_default())?;
        Ok(server)
    }

    fn log_in(&mut self, password: &str) -> anyhow::Result<()> {
        let nonce: String = std::iter::repeat_with(fastrand::alphanumeric).take(24).collect();
        let first = format!("n=,r={nonce}");
        let mut proof = None;
        loop {
            let (kind, content) = self.message()?;
            let content = self.buffer[content].to_vec();
            match (kind, content.get(..4)) {
                (b'R', Some([0, 0, 0, 0])) => {}
                (b'R', Some([0, 0, 0, 10])) => {
                    let mut body = b"SCRAM-SHA-256\0".to_vec();
                    let text = format!("n,,{first}");
                    body.extend_from_slice(&u32::try_from(text.len())?.to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                    self.send(b'p', &body)?;
                }
                (b'R', Some([0, 0, 0, 11])) => {
                    let (last, signature) = scram(password, &first, std::str::from_utf8(&content[4..])?)?;
                    proof = Some(signature);
                    self.send(b'p', last.as_bytes())?;
                }
                (b'R', Some([0, 0, 0, 12])) => {
                    ensure!(proof.as_deref() == content.get(4..), "the server does not know the password");
                }
                (b'Z', _) => return Ok(()),
                (b'E', _) => bail!("the server refuses: {}", String::from_utf8_lossy(&content)),
                _ => {}
            }
        }
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let mut message = vec![kind];
        message.extend_from_slice(&(u32::try_from(body.len())? + 4).to_be_bytes());
        message.extend_from_slice(body);
        Ok(self.stream.write_all(&message)?)
    }

    /// Reads until a whole message is there.
    fn message(&mut self) -> anyhow::Result<Message> {
        loop {
            if let [kind, a, b, c, d, ..] = self.buffer[self.from..self.to] {
                let end = self.from + 1 + usize::try_from(u32::from_be_bytes([a, b, c, d]))?;
                if end <= self.to {
                    let content = self.from + 5..end;
                    self.from = end;
                    return Ok((kind, content));
                }
            }
            self.buffer.copy_within(self.from..self.to, 0);
            self.to -= self.from;
            self.from = 0;
            if self.to == self.buffer.len() {
                self.buffer.resize(2 * self.to, 0);
            }
            let read = self.stream.read(&mut self.buffer[self.to..])?;
            ensure!(read > 0, "the server closed the connection");
            self.to += read;
        }
    }

    /// Runs a `COPY … TO STDOUT` and hands out its rows, each without its line feed.
    pub(super) fn copy(
        &mut self,
        statement: &str,
        mut row: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.send(b'Q', format!("{statement}\0").as_bytes())?;
        loop {
            let (kind, content) = self.message()?;
            match kind {
                b'd' => row(self.buffer[content].trim_suffix_line())?,
                b'Z' => return Ok(()),
                b'E' => bail!("the server says: {}", String::from_utf8_lossy(&self.buffer[content])),
                _ => {}
            }
        }
    }
}

trait Line {
    fn trim_suffix_line(&self) -> &[u8];
}

impl Line for [u8] {
    fn trim_suffix_line(&self) -> &[u8] {
        self.strip_suffix(b"\n").unwrap_or(self)
    }
}

/// The client's last message, and what the server must answer (RFC 5802).
fn scram(password: &str, client_first: &str, server_first: &str) -> anyhow::Result<(String, Vec<u8>)> {
    let part = |name: &str| server_first.split(',').find_map(|part| part.strip_prefix(name));
    let nonce = part("r=").context("no nonce")?;
    let salt = STANDARD.decode(part("s=").context("no salt")?)?;
    let rounds: u32 = part("i=").context("no rounds")?.parse()?;
    let mut block = mac(password.as_bytes(), &[&salt, &1_u32.to_be_bytes()])?;
    let mut salted = block.clone();
    for _ in 1..rounds {
        block = mac(password.as_bytes(), &[&block])?;
        salted.iter_mut().zip(&block).for_each(|(all, byte)| *all ^= byte);
    }
    let key = mac(&salted, &[b"Client Key"])?;
    let last = format!("c=biws,r={nonce}");
    let message = format!("{client_first},{server_first},{last}");
    let signature = mac(&Sha256::digest(&key), &[message.as_bytes()])?;
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = mac(&mac(&salted, &[b"Server Key"])?, &[message.as_bytes()])?;
    Ok((format!("{last},p={}", STANDARD.encode(proof)), format!("v={}", STANDARD.encode(server)).into_bytes()))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> anyhow::Result<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7677() {
        let server = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, answer) = scram("pencil", "n=user,r=rOprNGfwEbeRWgbNEkqO", server).unwrap();
        assert!(last.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{last}");
        assert_eq!(answer, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }
}
