//! Cells from Postgres's binary forms.

use backflow_core::cell::{Cell, write_string};
use backflow_core::encode::Encoder;

use super::instant;
use super::types::Wire;

/// Reads one value and writes its encoding. `text` is room for values whose text has to be made. `None` if the bytes are not of that
/// form: then something may have been written.
pub(crate) fn encode(wire: &Wire, bytes: &[u8], text: &mut String, out: Encoder<'_>) -> Option<()> {
    text.clear();
    match wire {
        Wire::Bool => out.bool(*bytes.first()? != 0),
        Wire::Int2 => out.int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Wire::Int4 => out.int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Wire::Int8 => out.int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Wire::Oid => out.int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        // The shortest decimal that is this float4, as people see it, not its digits as a float8.
        Wire::Float4 => {
            let value = f32::from_be_bytes(bytes.try_into().ok()?);
            out.float(if value.is_finite() { value.to_string().parse().ok()? } else { value.into() });
        }
        Wire::Float8 => out.float(f64::from_be_bytes(bytes.try_into().ok()?)),
        Wire::Numeric => {
            numeric(bytes, text)?;
            out.decimal(text);
        }
        Wire::Text => out.text(std::str::from_utf8(bytes).ok()?),
        Wire::Uuid => {
            uuid(bytes.try_into().ok()?, text);
            out.text(text);
        }
        Wire::Bytea => out.bytes(bytes),
        Wire::Date | Wire::Time | Wire::TimeTz | Wire::Timestamp | Wire::TimestampTz | Wire::Interval => {
            moment(wire, bytes, text)?;
            out.time(text);
        }
        Wire::Json => out.json(std::str::from_utf8(bytes).ok()?),
        Wire::Jsonb => match bytes.split_first()? {
            (1, json) => out.json(std::str::from_utf8(json).ok()?),
            _ => return None,
        },
        Wire::Array(_) | Wire::Composite(_) => {
            write_json(wire, bytes, text)?;
            out.json(text);
        }
    }
    Some(())
}

/// The text of a date, a time or both.
fn moment(wire: &Wire, bytes: &[u8], out: &mut String) -> Option<()> {
    let mut input = Input(bytes);
    match wire {
        Wire::Date => instant::date(input.int()?, out),
        Wire::Time => instant::time(input.long()?, out),
        Wire::TimeTz => instant::time_with_zone(input.long()?, input.int()?, out),
        Wire::Timestamp => instant::timestamp(input.long()?, "", out),
        Wire::TimestampTz => instant::timestamp(input.long()?, "Z", out),
        _ => {
            let (micros, days, months) = (input.long()?, input.int()?, input.int()?);
            instant::interval(months, days, micros, out);
        }
    }
    input.0.is_empty().then_some(())
}

/// The front of some bytes.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(bytes)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn long(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_be_bytes)
    }

    pub(crate) fn int(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    pub(crate) fn short(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    /// A length and so many bytes; a length of -1 is NULL.
    pub(crate) fn value(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }
}

fn write_json(wire: &Wire, bytes: &[u8], out: &mut String) -> Option<()> {
    match wire {
        Wire::Array(of) => array(of, bytes, out),
        Wire::Composite(fields) => composite(fields, bytes, out),
        scalar => {
            let mut encoded = Vec::with_capacity(bytes.len() + 16);
            encode(scalar, bytes, &mut String::new(), Encoder::new(&mut encoded))?;
            Cell::decode(&mut encoded.as_slice())?.write_json(out);
            Some(())
        }
    }
}

fn member(wire: &Wire, bytes: Option<&[u8]>, out: &mut String) -> Option<()> {
    match bytes {
        Some(bytes) => write_json(wire, bytes, out),
        None => {
            out.push_str("null");
            Some(())
        }
    }
}

fn array(of: &Wire, bytes: &[u8], out: &mut String) -> Option<()> {
    let mut input = Input(bytes);
    let dimensions = usize::try_from(input.int()?).ok()?;
    let (_has_nulls, _element) = (input.int()?, input.int()?);
    let mut lengths = Vec::with_capacity(dimensions.min(6));
    for _ in 0..dimensions {
        lengths.push(usize::try_from(input.int()?).ok()?);
        let _lower_bound = input.int()?;
    }
    if lengths.is_empty() {
        out.push_str("[]");
        return Some(());
    }
    nested(of, &lengths, &mut input, out)
}

fn nested(of: &Wire, lengths: &[usize], input: &mut Input<'_>, out: &mut String) -> Option<()> {
    let (&length, inner) = lengths.split_first()?;
    out.push('[');
    for at in 0..length {
        if at > 0 {
            out.push(',');
        }
        if inner.is_empty() {
            member(of, input.value()?, out)?;
        } else {
            nested(of, inner, input, out)?;
        }
    }
    out.push(']');
    Some(())
}

fn composite(fields: &[(String, Wire)], bytes: &[u8], out: &mut String) -> Option<()> {
    let mut input = Input(bytes);
    if usize::try_from(input.int()?).ok()? != fields.len() {
        return None;
    }
    out.push('{');
    for (at, (name, wire)) in fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let _type = input.int()?;
        write_string(name, out);
        out.push(':');
        member(wire, input.value()?, out)?;
    }
    out.push('}');
    Some(())
}

fn uuid(bytes: [u8; 16], out: &mut String) {
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
}

/// Groups of four decimal digits: count, weight of the first, sign, digits after the point; then the groups.
fn numeric(bytes: &[u8], out: &mut String) -> Option<()> {
    let mut input = Input(bytes);
    let count = usize::try_from(input.short()?).ok()?;
    let weight = i32::from(input.short()?);
    let sign = input.short()? as u16;
    let scale = usize::try_from(input.short()?).ok()?;
    let special = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xC000 => "NaN",
        0xD000 => "Infinity",
        0xF000 => "-Infinity",
        _ => return None,
    };
    out.push_str(special);
    if special.len() > 1 {
        return Some(());
    }
    let groups = input.0.get(..2 * count)?;
    if groups.chunks_exact(2).any(|group| u16::from_be_bytes([group[0], group[1]]) >= 10_000) {
        return None;
    }
    let group = |at: i32| {
        let at = usize::try_from(at).ok().and_then(|at| groups.get(2 * at..2 * at + 2));
        at.map_or(0, |group| u16::from_be_bytes([group[0], group[1]]))
    };
    let mut digits = itoa::Buffer::new();
    out.push_str(digits.format(if weight < 0 { 0 } else { group(0) }));
    for at in 1..=weight {
        push_group(group(at), out);
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale;
        let mut at = weight + 1;
        while out.len() < end {
            push_group(group(at), out);
            at += 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// Four digits.
fn push_group(group: u16, out: &mut String) {
    let digit = |value: u16| char::from(b'0' + (value % 10) as u8);
    out.extend([digit(group / 1000), digit(group / 100), digit(group / 10), digit(group)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_numeric(weight: i16, sign: u16, scale: i16, groups: &[i16]) -> Vec<u8> {
        let mut out = Vec::new();
        for short in [groups.len() as i16, weight, sign as i16, scale].iter().chain(groups) {
            out.extend_from_slice(&short.to_be_bytes());
        }
        out
    }

    #[test]
    fn numerics_keep_every_digit() {
        for (weight, sign, scale, groups, text) in [
            (0, 0, 2, &[1, 1000][..], "1.10"),
            (-1, 0x4000, 4, &[1], "-0.0001"),
            (-2, 0, 6, &[1234], "0.000012"),
            (2, 0, 0, &[1, 0, 5], "100000005"),
            (1, 0, 0, &[12], "120000"),
            (0, 0, 0, &[], "0"),
            (0, 0, 3, &[], "0.000"),
            (0, 0xC000, 0, &[], "NaN"),
            (0, 0xF000, 0, &[], "-Infinity"),
        ] {
            let mut out = String::new();
            numeric(&wire_numeric(weight, sign, scale, groups), &mut out).unwrap();
            assert_eq!(out, text);
        }
    }

    fn cell(wire: &Wire, bytes: &[u8]) -> Option<Cell> {
        let mut out = Vec::new();
        encode(wire, bytes, &mut String::new(), Encoder::new(&mut out))?;
        Cell::decode(&mut out.as_slice())
    }

    #[test]
    fn damaged_bytes_are_no_value() {
        for wire in [Wire::Int4, Wire::Numeric, Wire::Uuid, Wire::Interval, Wire::Jsonb, Wire::Array(Wire::Int4.into())]
        {
            assert_eq!(cell(&wire, &[0, 0, 0]), None, "{wire:?}");
        }
        assert_eq!(cell(&Wire::Text, &[0xff]), None);
    }
}
