//! CSV bodies of bulk APIs, and their CSV answers.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Items;

/// Columns and rows of an answer that are read.
const COLUMNS: usize = 2_000;
const ROWS: usize = 100_000;

/// Why items are no table, or an answer is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    /// An item that is not an object.
    #[error("a row is not an object of columns")]
    NoObject,
    /// Rows of different lengths, bytes that are no text.
    #[error("it is not a CSV table")]
    Malformed,
    /// More than is ever read.
    #[error("it has more than {ROWS} rows or {COLUMNS} columns")]
    TooLong,
}

/// How a table is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    /// What stands for JSON null.
    pub(crate) null: String,
    pub(crate) delimiter: u8,
    /// The columns; none: one for each name that any item has, in the order of their first appearance.
    pub(crate) columns: Vec<String>,
}

/// Objects as a table. A member that an object lacks is an empty cell. Objects and lists go as JSON.
pub(crate) fn write(items: &Items, part: &[u32], dialect: &Dialect) -> Result<Vec<u8>, CsvError> {
    let mut rows: Vec<Map<String, Value>> = Vec::with_capacity(part.len());
    let mut names = dialect.columns.clone();
    let declared = !names.is_empty();
    let mut places: BTreeMap<String, usize> = names.iter().cloned().zip(0..).collect();
    for at in part {
        let row: Map<String, Value> = serde_json::from_str(items.get(*at)).map_err(|_| CsvError::NoObject)?;
        if !declared {
            for name in row.keys() {
                if !places.contains_key(name) {
                    places.insert(name.clone(), names.len());
                    names.push(name.clone());
                }
            }
        }
        rows.push(row);
    }
    let mut builder = ::csv::WriterBuilder::new();
    builder.terminator(::csv::Terminator::Any(b'\n')).delimiter(dialect.delimiter);
    let mut writer = builder.from_writer(Vec::new());
    let failed = |_| CsvError::Malformed;
    writer.write_record(&names).map_err(failed)?;
    for row in &rows {
        let mut cells = vec![String::new(); names.len()];
        for (name, value) in row {
            if let Some(cell) = places.get(name).and_then(|at| cells.get_mut(*at)) {
                *cell = match value {
                    Value::Null => dialect.null.clone(),
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
            }
        }
        writer.write_record(&cells).map_err(failed)?;
    }
    writer.into_inner().map_err(|_| CsvError::Malformed)
}

/// A table with a header as a list of objects of texts.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, CsvError> {
    let mut reader = ::csv::Reader::from_reader(bytes);
    let names = reader.headers().map_err(|_| CsvError::Malformed)?.clone();
    if names.len() > COLUMNS {
        return Err(CsvError::TooLong);
    }
    let mut rows = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|_| CsvError::Malformed)?;
        if rows.len() == ROWS {
            return Err(CsvError::TooLong);
        }
        let cells = names.iter().zip(row.iter()).map(|(name, cell)| (name.to_owned(), Value::from(cell)));
        rows.push(Value::Object(cells.collect()));
    }
    Ok(Value::Array(rows))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items(texts: &[&str]) -> Items {
        let mut items = Items::default();
        texts.iter().for_each(|text| items.push(text));
        items
    }

    #[test]
    fn rows_are_quoted_aligned_and_tell_null_from_nothing() {
        let items = items(&[
            r#"{"id": 1, "name": "a \"b\", c\nd", "x": null}"#,
            r#"{"name": "", "id": 2, "extra": [1]}"#,
            r#"{"id": 3}"#,
        ]);
        let dialect = Dialect { null: "#N/A".into(), delimiter: b',', columns: Vec::new() };
        let text = |part: &[u32], dialect: &Dialect| String::from_utf8(write(&items, part, dialect).unwrap()).unwrap();
        assert_eq!(text(&[0, 1], &dialect), "id,name,x,extra\n1,\"a \"\"b\"\", c\nd\",#N/A,\n2,,,[1]\n");
        assert_eq!(text(&[2], &dialect), "id\n3\n");
        let other = Dialect { null: String::new(), delimiter: b'|', columns: vec!["name".into(), "id".into()] };
        assert_eq!(text(&[0, 2], &other), "name|id\n\"a \"\"b\"\", c\nd\"|1\n|3\n");
        assert_eq!(write(&self::items(&["[1]"]), &[0], &dialect), Err(CsvError::NoObject));
    }

    #[test]
    fn answers_are_read_as_objects() {
        let read = |text: &str| read(text.as_bytes());
        let table = "sf__Id,sf__Error,email\r\n001,,\"a,b\"\r\n,\"BAD: \"\"x\"\"\nline\",c\r\n";
        assert_eq!(
            read(table),
            Ok(json!([
                {"sf__Id": "001", "sf__Error": "", "email": "a,b"},
                {"sf__Id": "", "sf__Error": "BAD: \"x\"\nline", "email": "c"},
            ]))
        );
        assert_eq!(read(""), Ok(json!([])));
        assert_eq!(read("a,b\n1\n"), Err(CsvError::Malformed));
        assert_eq!(read(&format!("a\n{}", "1\n".repeat(ROWS + 1))), Err(CsvError::TooLong));
    }
}
