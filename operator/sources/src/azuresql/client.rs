//! A connection: how it begins, statements as text, and their answers row by row.
//!
//! Statements are sent one batch at a time. A result is read as it arrives; a connection that is dropped within one is closed, and never used
//! again.

use std::time::Duration;

use backflow_core::cell::Cell;
use backflow_core::encode::Encoder;

use super::login::{Encrypts, Login, Prelogin, prelogin};
use super::tokens::{Change, Row, ServerError, Token, next};
use super::types::Column;
use super::values::{Wire, encode, wire};
use super::wire::{Packets, kind, units};
use super::wrapped::{Encryption, encrypted};
use crate::stream::{Broken, Bytewise};

/// How long a statement of our own may take, the wait for other writers or in a pool's queue included.
pub(super) const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// The longest answer to a prelogin.
const PRELOGIN: usize = 4096;
/// What stands before a batch: that it belongs to no transaction, and is the only one.
const HEADERS: [u8; 22] = [22, 0, 0, 0, 18, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];

/// Why something failed.
#[derive(Debug)]
pub(super) enum Error {
    /// The server says so.
    Server(ServerError),
    /// The connection broke, or is none of this protocol.
    Broken(Broken),
    /// TLS is wanted, and the server has none.
    NoTls,
    /// The server wants TLS.
    NeedsTls,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// What comes of a login.
pub(super) enum Opened {
    Client(Box<Client>),
    /// The database is to be reached there.
    Route {
        host: String,
        port: u16,
    },
}

/// What a statement is answered with.
pub(super) enum Answer {
    /// So many rows were changed.
    Done(u64),
    /// Rows of these columns follow.
    Columns(Vec<Column>),
}

/// A connection.
pub(super) struct Client {
    packets: Packets,
    /// Of the result that is being read.
    columns: Vec<Column>,
}

impl Client {
    /// Logs in, with encryption where there is one to put around the stream.
    pub(super) async fn open(
        stream: Box<dyn Bytewise>,
        login: &Login<'_>,
        encryption: Option<&Encryption>,
    ) -> Result<Opened, Error> {
        let mut packets = Packets::new(stream);
        let token = matches!(login.identity, super::login::Identity::Token(_));
        packets.send(kind::PRELOGIN, &prelogin(encryption.is_some(), token), PATIENCE).await?;
        let told = packets.whole(PRELOGIN, PATIENCE).await?;
        let told = Prelogin::read(&told).ok_or(Broken::Malformed)?;
        match (encryption, told.encrypts) {
            (Some(encryption), Encrypts::On | Encrypts::Required) => {
                packets = Packets::new(encrypted(packets.into_stream()?, encryption).await?);
            }
            (Some(_), Encrypts::Login | Encrypts::NotSupported) => return Err(Error::NoTls),
            (None, Encrypts::On | Encrypts::Required) => return Err(Error::NeedsTls),
            (None, Encrypts::Login | Encrypts::NotSupported) => {}
        }
        packets.send(kind::LOGIN, &login.message(&told), PATIENCE).await?;
        let mut client = Self { packets, columns: Vec::new() };
        let (mut error, mut logged_in, mut route) = (None, false, None);
        loop {
            match client.token(PATIENCE).await? {
                Token::Error(found) => drop(error.get_or_insert(found)),
                Token::Login => logged_in = true,
                Token::Change(Change::Route { host, port }) => route = Some(Opened::Route { host, port }),
                Token::Done(done) if !done.goes_on() => break,
                Token::Columns(_) | Token::Row(_) => return Err(Broken::Malformed.into()),
                Token::Done(_) | Token::Change(_) | Token::Other => {}
            }
        }
        match (error, route, logged_in) {
            (Some(error), _, _) => Err(Error::Server(error)),
            (None, Some(route), _) => Ok(route),
            (None, None, true) => Ok(Opened::Client(Box::new(client))),
            (None, None, false) => Err(Broken::Malformed.into()),
        }
    }

    /// The next token of an answer. Where it waits, it may be dropped and called again.
    async fn token(&mut self, patience: Duration) -> Result<Token, Broken> {
        loop {
            if let Some(token) = next(&mut self.packets.data, &self.columns)? {
                if let Token::Change(Change::Size(size)) = token {
                    self.packets.size = size;
                }
                return Ok(token);
            }
            self.packets.more(patience).await?;
        }
    }

    /// Sends a batch: what it changed, or the columns of the rows that follow.
    pub(super) async fn start(&mut self, sql: &str, patience: Duration) -> Result<Answer, Error> {
        self.columns.clear();
        let batch = [&HEADERS[..], &units(sql)].concat();
        self.packets.send(kind::BATCH, &batch, PATIENCE).await?;
        let mut changed = 0;
        loop {
            match self.token(patience).await? {
                Token::Columns(columns) if !columns.is_empty() => {
                    self.columns.clone_from(&columns);
                    return Ok(Answer::Columns(columns));
                }
                Token::Error(error) => return Err(self.failed(error).await),
                Token::Done(done) => {
                    changed = done.rows().unwrap_or(changed);
                    if !done.goes_on() {
                        return Ok(Answer::Done(changed));
                    }
                }
                Token::Row(_) => return Err(Broken::Malformed.into()),
                Token::Columns(_) | Token::Login | Token::Change(_) | Token::Other => {}
            }
        }
    }

    /// The next row of the result, `None` at its end.
    pub(super) async fn row(&mut self, patience: Duration) -> Result<Option<Row>, Error> {
        loop {
            match self.token(patience).await? {
                Token::Row(row) => return Ok(Some(row)),
                Token::Error(error) => return Err(self.failed(error).await),
                Token::Done(done) if done.failed() || done.is_stopped() => return Err(Broken::Malformed.into()),
                Token::Done(done) if !done.goes_on() => return Ok(None),
                // A second result.
                Token::Columns(_) => return Err(Broken::Malformed.into()),
                Token::Done(_) | Token::Login | Token::Change(_) | Token::Other => {}
            }
        }
    }

    /// Reads on to the end of an answer that failed: errors come in any number, and the first one says why.
    async fn failed(&mut self, error: ServerError) -> Error {
        loop {
            match self.token(PATIENCE).await {
                Ok(Token::Done(done)) if !done.goes_on() => break,
                Ok(_) => {}
                // The server closes a connection behind a grave error.
                Err(_) => break,
            }
        }
        Error::Server(error)
    }

    /// Runs a batch without rows: how many it changed.
    pub(super) async fn run(&mut self, sql: &str) -> Result<u64, Error> {
        match self.start(sql, PATIENCE).await? {
            Answer::Done(changed) => Ok(changed),
            Answer::Columns(_) => {
                while self.row(PATIENCE).await?.is_some() {}
                Ok(0)
            }
        }
    }

    /// All rows of a statement of our own, as text.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        self.rows_within(sql, PATIENCE).await
    }

    /// The same of one that may take longer.
    pub(super) async fn rows_within(
        &mut self,
        sql: &str,
        patience: Duration,
    ) -> Result<Vec<Vec<Option<String>>>, Error> {
        let Answer::Columns(columns) = self.start(sql, patience).await? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        while let Some(row) = self.row(patience).await? {
            let values: Option<Vec<_>> = row
                .values(&columns)
                .zip(&columns)
                .map(|(value, column)| Some(value?.map(|value| text(column, &value.bytes()))))
                .collect();
            rows.push(values.ok_or(Broken::Malformed)?);
        }
        Ok(rows)
    }

    /// Asks the server to stop what it does, and waits until it says that it has.
    pub(super) async fn stop(&mut self, patience: Duration) -> Result<(), Broken> {
        let stopped = async {
            self.packets.attention(patience).await?;
            loop {
                // The answer may have ended just before: what says that it stopped comes as an answer of its own.
                if self.packets.is_done() {
                    self.packets.expect();
                }
                match self.token(patience).await? {
                    Token::Columns(columns) => self.columns = columns,
                    Token::Done(done) if done.is_stopped() => return Ok(()),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(patience, stopped).await.unwrap_or(Err(Broken::Silent(patience)))
    }
}

/// A value of a statement of our own. What stands in a code page there are letters and digits of ASCII.
fn text(column: &Column, bytes: &[u8]) -> String {
    let mut out = Vec::new();
    let kind = wire(&column.kind).unwrap_or(Wire::Text);
    let encoded = encode(kind, bytes, Encoder::new(&mut out));
    let cell = encoded.and_then(|()| Cell::decode(&mut out.as_slice()));
    match cell.map(|cell| cell.to_json()) {
        Some(serde_json::Value::String(text)) => text,
        Some(value) => value.to_string(),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;
    use crate::azuresql::wire::HEAD;

    /// A column of numbers, and a row of it.
    const COLUMNS: [u8; 14] = [0x81, 1, 0, 0, 0, 0, 0, 9, 0, 0x38, 1, b'n', 0, 0xd1];
    const ROW: [u8; 4] = [7, 0, 0, 0];

    fn done(status: u8) -> [u8; 13] {
        [0xfd, status, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn client() -> (Client, DuplexStream) {
        let (one, other) = tokio::io::duplex(1 << 16);
        (Client { packets: Packets::new(Box::new(one)), columns: Vec::new() }, other)
    }

    /// Says a packet, which is the last one of its message or not.
    async fn say(server: &mut DuplexStream, last: bool, parts: &[&[u8]]) {
        let payload = parts.concat();
        let length = (HEAD + payload.len()) as u16;
        let [high, low] = length.to_be_bytes();
        server.write_all(&[kind::REPLY, last.into(), high, low, 0, 0, 1, 0]).await.unwrap();
        server.write_all(&payload).await.unwrap();
    }

    /// The type of the next packet.
    async fn heard(server: &mut DuplexStream) -> u8 {
        let mut head = [0; HEAD];
        server.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]])) - HEAD];
        server.read_exact(&mut payload).await.unwrap();
        head[0]
    }

    #[tokio::test]
    async fn a_query_stops_in_the_middle_of_its_rows_and_behind_them() {
        for ended in [false, true] {
            let (mut client, mut server) = client();
            let end = done(0x10);
            let more: &[u8] = if ended { &end } else { &[] };
            say(&mut server, ended, &[&COLUMNS, &ROW, more]).await;
            assert!(
                matches!(client.start("SELECT", PATIENCE).await, Ok(Answer::Columns(columns)) if columns.len() == 1)
            );
            let stopping = client.stop(PATIENCE);
            let serving = async {
                assert_eq!(heard(&mut server).await, kind::BATCH);
                assert_eq!(heard(&mut server).await, kind::ATTENTION);
                say(&mut server, true, &[&done(0x20)]).await;
            };
            let (stopped, ()) = tokio::join!(stopping, serving);
            assert!(stopped.is_ok(), "{ended}: {stopped:?}");
            say(&mut server, true, &[&COLUMNS, &ROW, &done(0x10)]).await;
            let rows = client.rows("SELECT").await.unwrap();
            assert_eq!(rows, [[Some("7".to_owned())]], "{ended}: it goes on");
        }
    }

    #[tokio::test]
    async fn of_several_errors_the_first_says_why() {
        let error = |number: u8| [0xaa, 14, 0, number, 0, 0, 0, 1, 16, 0, 0, 0, 0, 1, 0, 0, 0];
        let (mut client, mut server) = client();
        say(&mut server, true, &[&COLUMNS, &ROW, &error(8), &error(9), &done(0x02)]).await;
        say(&mut server, true, &[&done(0x10)]).await;
        assert!(matches!(client.start("SELECT", PATIENCE).await, Ok(Answer::Columns(_))));
        assert!(matches!(client.row(PATIENCE).await, Ok(Some(_))));
        assert!(matches!(client.row(PATIENCE).await, Err(Error::Server(error)) if error.number == 8));
        assert_eq!(client.run("UPDATE").await.unwrap(), 0, "it goes on");
    }

    #[tokio::test]
    async fn rows_that_end_without_their_end_are_not_all() {
        let (mut client, mut server) = client();
        say(&mut server, true, &[&COLUMNS, &ROW]).await;
        client.start("SELECT", PATIENCE).await.unwrap();
        assert!(matches!(client.row(PATIENCE).await, Ok(Some(_))));
        assert!(matches!(client.row(PATIENCE).await, Err(Error::Broken(Broken::Malformed))));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_a_silent_server_without_end() {
        let (mut client, _server) = client();
        assert!(matches!(client.run("SELECT").await, Err(Error::Broken(Broken::Silent(_)))));
        assert!(matches!(client.stop(PATIENCE).await, Err(Broken::Silent(_))));
    }
}
