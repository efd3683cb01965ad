//! The protocol between a client and the server: how a session begins, and what may be said in it.

use std::sync::{Mutex, PoisonError};

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::rules::reworded;

/// The longest message: a statement has at most 16 MB.
const LONGEST: usize = 16 << 20;
const SSL_REQUEST: u32 = 80_877_103;
const PROTOCOL: u32 = 196_608;
/// What a session may begin with.
const PARAMETERS: &[&str] =
    &["user", "database", "client_encoding", "DateStyle", "TimeZone", "application_name", "extra_float_digits"];

/// Passes messages on until one side ends.
pub(super) async fn serve(client: TcpStream, server: TcpStream, refused: &Mutex<Vec<String>>) -> anyhow::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from, mut to) = client.into_split();
    let (mut answers, mut server) = server.into_split();
    let startup = loop {
        let (code, message) = begin(&mut from).await?;
        match code {
            SSL_REQUEST => to.write_all(b"N").await?,
            PROTOCOL => break message,
            code => bail!("a session does not begin with {code}"),
        }
    };
    server.write_all(&checked(&startup)?).await?;
    let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to).await });
    while let Ok(kind) = from.read_u8().await {
        let length = usize::try_from(from.read_u32().await?)?;
        ensure!((4..=LONGEST).contains(&length), "a message of {length} bytes");
        let mut body = vec![0; length - 4];
        from.read_exact(&mut body).await?;
        let (kind, body) = match kind {
            b'Q' => (kind, query(&body, refused)?),
            // Passwords, the end, and a Sync, which changes nothing.
            b'p' | b'X' | b'S' => (kind, body),
            kind => {
                let reason = format!("message {} of the extended protocol", char::from(kind));
                refused.lock().unwrap_or_else(PoisonError::into_inner).push(reason.clone());
                bail!(reason);
            }
        };
        // In one piece: the kernel would wait for an answer to the first of several.
        let mut message = vec![kind];
        message.extend_from_slice(&u32::try_from(body.len() + 4)?.to_be_bytes());
        message.extend_from_slice(&body);
        server.write_all(&message).await?;
    }
    // A client that is gone leaves no session behind.
    server.shutdown().await?;
    back.await??;
    Ok(())
}

/// The first message: its code, and all that follows it.
async fn begin(from: &mut OwnedReadHalf) -> anyhow::Result<(u32, Vec<u8>)> {
    let length = usize::try_from(from.read_u32().await?)?;
    ensure!((8..=10_000).contains(&length), "a first message of {length} bytes");
    let code = from.read_u32().await?;
    let mut rest = vec![0; length - 8];
    from.read_exact(&mut rest).await?;
    Ok((code, rest))
}

/// The start of a session as Postgres is given it.
fn checked(parameters: &[u8]) -> anyhow::Result<Vec<u8>> {
    let texts: Vec<&str> = std::str::from_utf8(parameters)?.split('\0').collect();
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for pair in texts.chunks_exact(2).take_while(|pair| !pair[0].is_empty()) {
        ensure!(PARAMETERS.contains(&pair[0]), "Redshift takes no parameter {}", pair[0]);
        ensure!(
            pair[0] != "extra_float_digits" || matches!(pair[1], "0" | "1" | "2"),
            "extra_float_digits is 2 at most"
        );
        for text in pair {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    // Backslashes escape in Redshift's strings, and a transaction sees nothing that is newer than what it saw first.
    body.extend_from_slice(b"standard_conforming_strings\0off\0escape_string_warning\0off\0");
    body.extend_from_slice(b"default_transaction_isolation\0repeatable read\0\0");
    let mut message = u32::try_from(body.len() + 4)?.to_be_bytes().to_vec();
    message.extend_from_slice(&body);
    Ok(message)
}

/// A statement as Postgres is given it: one that is refused becomes one that raises the error.
fn query(body: &[u8], refused: &Mutex<Vec<String>>) -> anyhow::Result<Vec<u8>> {
    let sql = std::str::from_utf8(body)?.trim_end_matches('\0');
    let sql = reworded(sql).unwrap_or_else(|reason| {
        refused.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{reason}: {sql}"));
        let message = reason.replace('\'', "''''");
        format!("DO 'BEGIN RAISE EXCEPTION USING ERRCODE = ''0A000'', MESSAGE = ''{message}''; END'")
    });
    let mut body = sql.into_bytes();
    body.push(0);
    Ok(body)
}
