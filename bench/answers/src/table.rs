//! The table whose rows are answered: the eleven columns of the bench's own, with a decimal among them.

use backflow_core::cell::Cell;
use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_128;

/// Its name.
pub(crate) const TABLE: &str = "customers";

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Text,
    Bool,
    /// Ten digits, two of them behind the point.
    Decimal,
    /// With microseconds.
    Instant,
}

/// The columns in their order.
pub(crate) const COLUMNS: [(&str, Kind); 11] = [
    ("id", Kind::Int),
    ("first_name", Kind::Text),
    ("last_name", Kind::Text),
    ("email", Kind::Text),
    ("phone", Kind::Text),
    ("address", Kind::Text),
    ("plan", Kind::Text),
    ("mrr_cents", Kind::Int),
    ("active", Kind::Bool),
    ("score", Kind::Decimal),
    ("updated_at", Kind::Instant),
];

/// A value, as far as services agree on it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Text(String),
    Bool(bool),
    Decimal(String),
    /// Microseconds since 1970.
    Instant(i64),
}

/// Microseconds of 2024-01-01.
const FIRST: i64 = 1_704_067_200_000_000;

/// The values of row `n`: some texts need escapes in JSON, some are not ASCII, some are NULL.
pub(crate) fn row(n: u64) -> [Value; COLUMNS.len()] {
    let text = Value::Text;
    let number = n.cast_signed();
    let first = match n {
        n if n.is_multiple_of(1000) => format!("O\"Bri\\en \t\n{n}"),
        n if n.is_multiple_of(10) => format!("Zoë {n}"),
        n => format!("First {n}"),
    };
    [
        Value::Int(number),
        text(first),
        text(format!("Last {:032x}", xxh3_128(&n.to_le_bytes()))),
        text(format!("c{n}@example.com")),
        text(format!("+49 30 {n}")),
        text(format!("Street {n}, 10115 Berlin")),
        if n.is_multiple_of(4) { Value::Null } else { text(format!("plan {}", n % 4)) },
        Value::Int(number * 17 % 100_000),
        Value::Bool(n.is_multiple_of(3)),
        Value::Decimal(format!("{}.{:02}", n / 4, n % 4 * 25)),
        Value::Instant(FIRST + number * 60_000_000 + number * 7919 % 1_000_000),
    ]
}

/// What row `n` must become.
pub(crate) fn cells(n: u64) -> Vec<Cell> {
    let cell = |value| match value {
        Value::Null => Cell::Null,
        Value::Int(number) => Cell::Int(number),
        Value::Text(text) => Cell::Text(text.into()),
        Value::Bool(value) => Cell::Bool(value),
        Value::Decimal(digits) => Cell::Decimal(digits.into()),
        Value::Instant(micros) => {
            Cell::Time(Timestamp::from_microsecond(micros).unwrap_or_default().to_string().into())
        }
    };
    row(n).into_iter().map(cell).collect()
}
