//! What an answer is made of: columns, rows, errors, and how a statement ended.

use bytes::{Buf as _, Bytes, BytesMut};

use super::types::Column;
use super::wire::{Fields, utf16};
use crate::stream::Broken;

/// The most columns that a result may have.
const MAX_COLUMNS: usize = 4096;

/// One of them.
#[derive(Debug)]
pub(super) enum Token {
    /// Rows of these columns follow.
    Columns(Vec<Column>),
    Row(Row),
    Error(ServerError),
    Done(Done),
    /// The login came through.
    Login,
    /// What the session is set to has changed.
    Change(Change),
    /// Of no use here.
    Other,
}

/// A row as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    bytes: Bytes,
    /// The row begins with a bit for each column, which says that it is NULL.
    compressed: bool,
}

impl Row {
    /// The values, one after another; `None` for what is no value.
    pub(super) fn values<'a>(&'a self, columns: &'a [Column]) -> impl Iterator<Item = Option<Option<Value<'a>>>> {
        let mut fields = Fields(&self.bytes);
        let nulls = if self.compressed { fields.take(columns.len().div_ceil(8)) } else { None };
        columns.iter().enumerate().map(move |(at, column)| match nulls {
            Some(nulls) if nulls.get(at / 8).is_some_and(|bits| bits >> (at % 8) & 1 == 1) => Some(None),
            _ => column.kind.value(&mut fields),
        })
    }
}

/// A value's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Whole(&'a [u8]),
    /// Behind their lengths in pieces, and a length of 0.
    Pieces(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The bytes, in one piece.
    pub(super) fn bytes(self) -> std::borrow::Cow<'a, [u8]> {
        let mut fields = match self {
            Self::Whole(bytes) => return bytes.into(),
            Self::Pieces(bytes) => Fields(bytes),
        };
        let first = fields.sized(4).unwrap_or_default();
        let mut all = std::borrow::Cow::Borrowed(first);
        while let Some(piece) = fields.sized(4).filter(|piece| !piece.is_empty()) {
            all.to_mut().extend_from_slice(piece);
        }
        all
    }
}

/// The server's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerError {
    pub(super) number: u32,
    /// More of why a login failed.
    pub(super) state: u8,
    /// Never passed on.
    pub(super) message: String,
    /// Of the statement, from 1.
    pub(super) line: usize,
}

/// A statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    status: u16,
    rows: u64,
}

impl Done {
    /// More follows.
    pub(super) fn goes_on(self) -> bool {
        self.status & 0x01 != 0
    }

    /// It failed.
    pub(super) fn failed(self) -> bool {
        self.status & 0x102 != 0
    }

    /// It stopped because it was asked to.
    pub(super) fn is_stopped(self) -> bool {
        self.status & 0x20 != 0
    }

    /// How many rows there were.
    pub(super) fn rows(self) -> Option<u64> {
        (self.status & 0x10 != 0).then_some(self.rows)
    }
}

/// What a session is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Bytes of a packet.
    Size(usize),
    /// The database is to be reached at another server.
    Route {
        host: String,
        port: u16,
    },
    Other,
}

/// Takes the next token off the front; `None` if it is not there whole.
pub(super) fn next(data: &mut BytesMut, columns: &[Column]) -> Result<Option<Token>, Broken> {
    let mut fields = Fields(data);
    let Some(kind) = fields.int(1) else { return Ok(None) };
    let token = match kind {
        0xd1 => whole_row(&mut fields, columns, false),
        0xd2 => whole_row(&mut fields, columns, true),
        0x81 => self::columns(&mut fields)?.map(Token::Columns),
        0xfd..=0xff => done(&mut fields).map(Token::Done),
        0xaa => fields.sized(2).map(|bytes| error(bytes).map_or(Token::Other, Token::Error)),
        0xe3 => fields.sized(2).map(|bytes| Token::Change(change(bytes).unwrap_or(Change::Other))),
        0xad => fields.sized(2).map(|_| Token::Login),
        // Information, order, names of tables and of columns, and what single sign-on says.
        0xab | 0xa9 | 0xa4 | 0xa5 | 0xed => fields.sized(2).map(|_| Token::Other),
        // A session's state, and where tokens are made.
        0xe4 | 0xee => fields.sized(4).map(|_| Token::Other),
        0x79 => fields.take(4).map(|_| Token::Other),
        0xae => features(&mut fields).map(|()| Token::Other),
        _ => return Err(Broken::Malformed),
    };
    let Some(token) = token else { return Ok(None) };
    let taken = data.len() - fields.0.len();
    let mut bytes = data.split_to(taken);
    Ok(Some(match token {
        Token::Row(row) => {
            bytes.advance(1);
            Token::Row(Row { bytes: bytes.freeze(), ..row })
        }
        other => other,
    }))
}

/// Goes over a row, whose bytes are taken when all of it is there.
fn whole_row(fields: &mut Fields<'_>, columns: &[Column], compressed: bool) -> Option<Token> {
    let nulls = if compressed { fields.take(columns.len().div_ceil(8))? } else { &[] };
    for (at, column) in columns.iter().enumerate() {
        if nulls.get(at / 8).is_none_or(|bits| bits >> (at % 8) & 1 == 0) {
            column.kind.value(fields)?;
        }
    }
    Some(Token::Row(Row { bytes: Bytes::new(), compressed }))
}

fn columns(fields: &mut Fields<'_>) -> Result<Option<Vec<Column>>, Broken> {
    let Some(count) = fields.int(2) else { return Ok(None) };
    let count = count as usize;
    // No columns at all.
    if count == 0xffff {
        return Ok(Some(Vec::new()));
    }
    if count > MAX_COLUMNS {
        return Err(Broken::Malformed);
    }
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        match Column::read(fields)? {
            Some(column) => columns.push(column),
            None => return Ok(None),
        }
    }
    Ok(Some(columns))
}

fn done(fields: &mut Fields<'_>) -> Option<Done> {
    let status = fields.int(2)? as u16;
    fields.int(2)?;
    Some(Done { status, rows: fields.int(8)? })
}

fn error(bytes: &[u8]) -> Option<ServerError> {
    let mut fields = Fields(bytes);
    let number = fields.int(4)? as u32;
    let state = fields.int(1)? as u8;
    fields.int(1)?;
    let message = fields.text(2)?;
    // Server and procedure.
    fields.text(1)?;
    fields.text(1)?;
    Some(ServerError { number, state, message, line: fields.int(4)? as usize })
}

fn change(bytes: &[u8]) -> Option<Change> {
    let mut fields = Fields(bytes);
    match fields.int(1)? {
        4 => Some(Change::Size(fields.text(1)?.parse().ok().filter(|size| (512..=32_767).contains(size))?)),
        20 => {
            let mut route = Fields(fields.sized(2)?);
            // 0 is TCP.
            let port = (route.int(1)? == 0).then(|| route.int(2))?? as u16;
            let length = route.int(2)? as usize;
            Some(Change::Route { host: utf16(route.take(length.checked_mul(2)?)?), port })
        }
        _ => None,
    }
}

fn features(fields: &mut Fields<'_>) -> Option<()> {
    while fields.int(1)? != 0xff {
        fields.sized(4)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns and three rows, one of them with bits for what is NULL, an error, and an end.
    fn answer() -> Vec<u8> {
        let mut out = vec![0x81, 2, 0];
        out.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0x26, 4, 1, b'a', 0]);
        out.extend_from_slice(&[0, 0, 0, 0, 9, 0, 0xe7, 0xff, 0xff, 9, 4, 0xd0, 0, 0x34, 1, b'b', 0]);
        out.extend_from_slice(&[0xd1, 4, 7, 0, 0, 0]);
        out.extend_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, b'x', 0, 0, 0, 0, 0]);
        out.extend_from_slice(&[0xd2, 0b10, 4, 8, 0, 0, 0]);
        out.extend_from_slice(&[0xd2, 0b11]);
        let mut error = 208_u32.to_le_bytes().to_vec();
        error.extend_from_slice(&[1, 16, 1, 0, b'e', 0, 0, 0, 3, 0, 0, 0]);
        out.extend_from_slice(&[0xaa, error.len() as u8, 0]);
        out.extend_from_slice(&error);
        out.extend_from_slice(&[0xe3, 11, 0, 4, 3, b'5', 0, b'1', 0, b'2', 0, 0, 0, 0]);
        out.extend_from_slice(&[0xae, 0x0a, 1, 0, 0, 0, 1, 0xff]);
        out.extend_from_slice(&[0xfd, 0x12, 0, 0xc1, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
        out
    }

    /// What comes of an answer that arrives in pieces of so many bytes.
    fn read(bytes: &[u8], piece: usize) -> Vec<String> {
        let (mut data, mut columns, mut found) = (BytesMut::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            data.extend_from_slice(piece);
            while let Some(token) = next(&mut data, &columns).unwrap() {
                match token {
                    Token::Columns(read) => {
                        found.push(format!("{:?}", read.iter().map(|column| &column.name).collect::<Vec<_>>()));
                        columns = read;
                    }
                    Token::Row(row) => {
                        let values =
                            row.values(&columns).map(|value| value.unwrap().map(|value| value.bytes().into_owned()));
                        found.push(format!("{:?}", values.collect::<Vec<_>>()));
                    }
                    other => found.push(format!("{other:?}")),
                }
            }
        }
        assert!(data.is_empty(), "{found:?}");
        found
    }

    #[test]
    fn an_answer_means_the_same_in_whatever_pieces_it_arrives() {
        let answer = answer();
        let whole = read(&answer, answer.len());
        assert_eq!(
            whole,
            [
                "[\"a\", \"b\"]",
                "[Some([7, 0, 0, 0]), Some([120, 0])]",
                "[Some([8, 0, 0, 0]), None]",
                "[None, None]",
                "Error(ServerError { number: 208, state: 1, message: \"e\", line: 3 })",
                "Change(Size(512))",
                "Other",
                "Done(Done { status: 18, rows: 3 })",
            ]
        );
        for piece in 1..answer.len() {
            assert_eq!(read(&answer, piece), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_server_names_another_one() {
        let host = "a\0.\0b\0";
        let value = [&[0, 0x99, 0x2b, 3, 0], host.as_bytes()].concat();
        let change = [&[20, value.len() as u8, 0][..], &value, &[0, 0]].concat();
        assert_eq!(super::change(&change), Some(Change::Route { host: "a.b".into(), port: 11_161 }));
        for end in 0..change.len() - 2 {
            assert_eq!(super::change(&change[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn what_is_no_token_ends_the_connection() {
        for bytes in [&[0x00][..], &[0xac, 1], &[0x81, 0x01, 0x20], &[0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0x99]] {
            assert!(matches!(next(&mut BytesMut::from(bytes), &[]), Err(Broken::Malformed)), "{bytes:?}");
        }
    }
}
