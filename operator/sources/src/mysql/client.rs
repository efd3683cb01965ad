//! A connection: the handshake, statements as text, and their answers row by row.
//!
//! Statements are sent as the text protocol has them, one at a time: the server is not told that it may take several. A result is read as it
//! arrives; a connection that is dropped within one is closed, and never used again.

use std::time::Duration;

use bytes::Bytes;

use super::auth::{self, Method};
use super::wire::{Encryption, Fields, Packets, push_sized};
use crate::stream::{Broken, Bytewise};

/// How long a statement of our own may take, and each step of the handshake.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// The largest packet that either side sends.
const MAX_PACKET: u32 = 0x4000_0000;
/// `utf8mb4_general_ci`, which every server knows.
const CHARSET: u8 = 45;

/// Capabilities of the protocol.
mod can {
    /// Told by MySQL and not by MariaDB, which has more capabilities of its own instead.
    pub(super) const MYSQL: u32 = 1;
    pub(super) const FOUND_ROWS: u32 = 1 << 1;
    pub(super) const LONG_FLAG: u32 = 1 << 2;
    pub(super) const WITH_DATABASE: u32 = 1 << 3;
    pub(super) const PROTOCOL_41: u32 = 1 << 9;
    pub(super) const TLS: u32 = 1 << 11;
    pub(super) const TRANSACTIONS: u32 = 1 << 13;
    pub(super) const SECURE: u32 = 1 << 15;
    pub(super) const PLUGINS: u32 = 1 << 19;
    pub(super) const ATTRIBUTES: u32 = 1 << 20;
    pub(super) const LONG_ANSWERS: u32 = 1 << 21;
    pub(super) const NO_EOF: u32 = 1 << 24;
    /// MariaDB's: columns say that they hold JSON, UUIDs or addresses.
    pub(super) const MARIA_METADATA: u32 = 1 << 3;
}

/// Whom to be.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a [u8],
    pub(super) database: &'a str,
    /// What the server shows of the connection.
    pub(super) program: &'a str,
}

/// Why something failed.
#[derive(Debug)]
pub(super) enum Error {
    /// The server says so.
    Server(ServerError),
    /// The connection broke, or is none of this protocol.
    Broken(Broken),
    /// TLS is wanted, and the server has none.
    NoTls,
    /// The user logs in by a method that is not known here, or only with encryption.
    Method(String),
}

/// The server's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) code: u16,
    /// Never passed on.
    pub(super) message: String,
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

fn malformed() -> Error {
    Error::Broken(Broken::Malformed)
}

/// What the server says of itself.
pub(super) struct Greeting {
    /// `10.11.19-MariaDB-0+deb12u1`, `8.4.2`.
    pub(super) version: String,
    /// Of this connection: what a KILL names.
    pub(super) thread: u32,
    capabilities: u32,
    maria: u32,
    random: Vec<u8>,
    plugin: Vec<u8>,
}

impl Greeting {
    fn read(payload: &[u8]) -> Result<Self, Error> {
        if payload.first() == Some(&0xff) {
            return Err(refused(payload));
        }
        let parse = || {
            let mut fields = Fields(payload);
            if fields.int(1)? != 10 {
                return None;
            }
            let version = String::from_utf8_lossy(fields.until_nul()).into_owned();
            let thread = fields.int(4)? as u32;
            let mut random = fields.take(8)?.to_vec();
            fields.take(1)?;
            let low = fields.int(2)? as u32;
            fields.take(3)?;
            let capabilities = low | (fields.int(2)? as u32) << 16;
            let length = fields.int(1)? as usize;
            fields.take(6)?;
            let maria = fields.int(4)? as u32;
            random.extend_from_slice(fields.take(length.saturating_sub(8).max(13))?);
            random.truncate(20);
            let plugin = fields.until_nul().to_vec();
            Some(Self { version, thread, capabilities, maria, random, plugin })
        };
        parse().ok_or_else(malformed)
    }

    pub(super) fn is_maria(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// Its number alone: MariaDB puts one before it for old replicas, and packagers their own behind it.
    pub(super) fn number(&self) -> &str {
        let version = self.version.strip_prefix("5.5.5-").unwrap_or(&self.version);
        version.split('-').next().unwrap_or_default()
    }
}

/// A column of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) flags: u16,
    pub(super) charset: u16,
    pub(super) length: u32,
    pub(super) decimals: u8,
    /// What MariaDB says that it is: `json`, `uuid`, `inet6`.
    pub(super) format: String,
}

/// A connection.
pub(super) struct Client {
    packets: Packets,
    pub(super) greeting: Greeting,
    maria_metadata: bool,
    /// Columns of the result that is being read.
    columns: usize,
}

impl Client {
    /// Logs in, with encryption where there is one to put around the stream.
    pub(super) async fn open(
        stream: Box<dyn Bytewise>,
        login: &Login<'_>,
        encryption: Option<&Encryption>,
    ) -> Result<Self, Error> {
        let mut packets = Packets::new(stream);
        let greeting = Greeting::read(&packets.next(PATIENCE).await?)?;
        let needed = can::PROTOCOL_41 | can::SECURE | can::PLUGINS;
        if greeting.capabilities & needed != needed {
            return Err(malformed());
        }
        let wanted = needed
            | can::FOUND_ROWS
            | can::LONG_FLAG
            | can::WITH_DATABASE
            | can::TRANSACTIONS
            | can::ATTRIBUTES
            | can::LONG_ANSWERS
            | can::NO_EOF
            | can::MYSQL;
        let mut capabilities = wanted & greeting.capabilities;
        // A MariaDB has capabilities of its own, where it does not say that it is a MySQL.
        let is_maria = greeting.capabilities & can::MYSQL == 0;
        let maria = if is_maria { greeting.maria & can::MARIA_METADATA } else { 0 };
        if let Some(encryption) = encryption {
            if greeting.capabilities & can::TLS == 0 {
                return Err(Error::NoTls);
            }
            capabilities |= can::TLS;
            packets.send(&head(capabilities, maria), PATIENCE).await?;
            packets = packets.encrypted(encryption).await?;
        }
        let encrypted = encryption.is_some();
        // A method that is not known is asked for again by the server, with its name.
        let method = Method::of(&greeting.plugin).filter(|method| *method != Method::Clear).unwrap_or(Method::Native);
        let answer = method.answer(login.password, &greeting.random, encrypted).unwrap_or_default();
        packets.send(&response(capabilities, maria, login, method, &answer), PATIENCE).await?;
        let mut client = Self { packets, greeting, maria_metadata: maria != 0, columns: 0 };
        client.authenticate(login.password, encrypted, method).await?;
        Ok(client)
    }

    async fn authenticate(&mut self, password: &[u8], encrypted: bool, mut method: Method) -> Result<(), Error> {
        // Methods change at most once, and each has a few steps.
        for _ in 0..6 {
            let payload = self.packets.next(PATIENCE).await?;
            let mut fields = Fields(&payload);
            match fields.int(1).ok_or_else(malformed)? {
                0x00 => return Ok(()),
                0xff => return Err(refused(&payload)),
                0xfe => {
                    let plugin = fields.until_nul();
                    let unknown = || Error::Method(String::from_utf8_lossy(plugin).into_owned());
                    method = Method::of(plugin).ok_or_else(unknown)?;
                    self.greeting.random = fields.0.get(..20).unwrap_or(fields.0).to_vec();
                    let answer = method.answer(password, &self.greeting.random, encrypted).ok_or_else(unknown)?;
                    self.packets.send(&answer, PATIENCE).await?;
                }
                // The server remembers the password: an OK follows.
                0x01 if method == Method::CachingSha2 && fields.0 == [3] => {}
                0x01 if method == Method::CachingSha2 && fields.0 == [4] => {
                    let answer = if encrypted { auth::clear(password) } else { self.sealed(password).await? };
                    self.packets.send(&answer, PATIENCE).await?;
                }
                _ => return Err(malformed()),
            }
        }
        Err(malformed())
    }

    /// The password for the server's key, which it is asked for.
    async fn sealed(&mut self, password: &[u8]) -> Result<Vec<u8>, Error> {
        self.packets.send(&[2], PATIENCE).await?;
        let payload = self.packets.next(PATIENCE).await?;
        let pem = payload.strip_prefix(&[1]).ok_or_else(malformed)?;
        auth::sealed(password, &self.greeting.random, pem).ok_or_else(malformed)
    }

    /// Runs a statement without rows: how many it changed.
    pub(super) async fn run(&mut self, sql: &[u8]) -> Result<u64, Error> {
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
        let Answer::Columns(columns) = self.start(sql.as_bytes(), PATIENCE).await? else { return Ok(Vec::new()) };
        let mut rows = Vec::new();
        while let Some(row) = self.row(PATIENCE).await? {
            let mut fields = Fields(&row);
            let text = |value: Option<&[u8]>| value.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let values: Option<Vec<_>> = columns.iter().map(|_| fields.value().map(text)).collect();
            rows.push(values.ok_or_else(malformed)?);
        }
        Ok(rows)
    }

    /// Sends a statement: what it changed, or the columns of the rows that follow.
    pub(super) async fn start(&mut self, sql: &[u8], patience: Duration) -> Result<Answer, Error> {
        self.packets.begin();
        self.packets.send(&[&[3], sql].concat(), PATIENCE).await?;
        let payload = self.packets.next(patience).await?;
        let mut fields = Fields(&payload);
        match payload.first() {
            Some(0x00) => {
                fields.take(1);
                return Ok(Answer::Done(fields.length().ok_or_else(malformed)?));
            }
            Some(0xff) => return Err(refused(&payload)),
            // It asks for a file of this machine.
            Some(0xfb) | None => return Err(malformed()),
            Some(_) => {}
        }
        let columns = fields.length().filter(|columns| *columns <= 4096).ok_or_else(malformed)?;
        self.columns = columns as usize;
        let mut definitions = Vec::with_capacity(self.columns);
        for _ in 0..columns {
            let payload = self.packets.next(patience).await?;
            definitions.push(self.definition(&payload).ok_or_else(malformed)?);
        }
        if self.greeting.capabilities & can::NO_EOF == 0 {
            self.packets.next(patience).await?;
        }
        Ok(Answer::Columns(definitions))
    }

    /// The next row of the result, `None` at its end.
    pub(super) async fn row(&mut self, patience: Duration) -> Result<Option<Bytes>, Error> {
        let payload = self.packets.next(patience).await?;
        match payload.first() {
            Some(0xff) => Err(refused(&payload)),
            // A value that begins so is longer than a packet.
            Some(0xfe) if payload.len() < 0xff_ffff => Ok(None),
            _ => Ok(Some(payload)),
        }
    }

    fn definition(&self, payload: &[u8]) -> Option<Definition> {
        let mut fields = Fields(payload);
        // Catalog, schema, table, table in the database.
        for _ in 0..4 {
            fields.sized()?;
        }
        let name = String::from_utf8(fields.sized()?.to_vec()).ok()?;
        fields.sized()?;
        let mut format = String::new();
        if self.maria_metadata {
            let mut more = Fields(fields.sized()?);
            while let Some(_what) = more.int(1) {
                format = String::from_utf8_lossy(more.sized()?).into_owned();
            }
        }
        fields.length()?;
        let charset = fields.int(2)? as u16;
        let length = fields.int(4)? as u32;
        let (kind, flags, decimals) = (fields.int(1)? as u8, fields.int(2)? as u16, fields.int(1)? as u8);
        Some(Definition { name, kind, flags, charset, length, decimals, format })
    }
}

/// What a statement is answered with.
pub(super) enum Answer {
    /// So many rows were changed.
    Done(u64),
    /// Rows of these columns follow.
    Columns(Vec<Definition>),
}

/// The first half of the answer to a greeting, which TLS follows.
fn head(capabilities: u32, maria: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&MAX_PACKET.to_le_bytes());
    out.push(CHARSET);
    out.extend_from_slice(&[0; 19]);
    out.extend_from_slice(&maria.to_le_bytes());
    out
}

fn response(capabilities: u32, maria: u32, login: &Login<'_>, method: Method, answer: &[u8]) -> Vec<u8> {
    let mut out = head(capabilities, maria);
    let text = |text: &str, out: &mut Vec<u8>| {
        out.extend_from_slice(text.as_bytes());
        out.push(0);
    };
    text(login.user, &mut out);
    // An answer is shorter than what needs a longer length.
    push_sized(answer, &mut out);
    if capabilities & can::WITH_DATABASE != 0 {
        text(login.database, &mut out);
    }
    text(method.plugin(), &mut out);
    if capabilities & can::ATTRIBUTES != 0 {
        let mut attributes = Vec::new();
        for (name, value) in [("program_name", login.program), ("_client_name", "backflow")] {
            push_sized(name.as_bytes(), &mut attributes);
            push_sized(value.as_bytes(), &mut attributes);
        }
        push_sized(&attributes, &mut out);
    }
    out
}

/// The server's error.
fn refused(payload: &[u8]) -> Error {
    let mut fields = Fields(payload);
    let code = fields.take(1).and_then(|_| fields.int(2));
    let Some(code) = code else { return malformed() };
    if fields.0.first() == Some(&b'#') {
        fields.take(6);
    }
    Error::Server(ServerError { code: code as u16, message: String::from_utf8_lossy(fields.0).into_owned() })
}
