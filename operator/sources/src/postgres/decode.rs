//! Cells from Postgres's binary forms.

use backflow_core::cell::{Cell, write_string};

use super::instant;
use super::types::Wire;

/// Reads one value. `None` if the bytes are not of that form.
pub(crate) fn cell(wire: &Wire, bytes: &[u8]) -> Option<Cell> {
    Some(match wire {
        Wire::Bool => Cell::Bool(*bytes.first()? != 0),
        Wire::Int2 => Cell::Int(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Wire::Int4 => Cell::Int(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Wire::Int8 => Cell::Int(i64::from_be_bytes(bytes.try_into().ok()?)),
        Wire::Oid => Cell::Int(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        // The shortest decimal that is this float4, as people see it, not its digits as a float8.
        Wire::Float4 => {
            let value = f32::from_be_bytes(bytes.try_into().ok()?);
            Cell::Float(if value.is_finite() { value.to_string().parse().ok()? } else { value.into() })
        }
        Wire::Float8 => Cell::Float(f64::from_be_bytes(bytes.try_into().ok()?)),
        Wire::Numeric => Cell::Decimal(numeric(bytes)?.into()),
        Wire::Text => Cell::Text(std::str::from_utf8(bytes).ok()?.into()),
        Wire::Uuid => Cell::Text(uuid(bytes.try_into().ok()?)),
        Wire::Bytea => Cell::Bytes(bytes.into()),
        Wire::Date => Cell::Time(instant::date(i32::from_be_bytes(bytes.try_into().ok()?)).into()),
        Wire::Time => Cell::Time(instant::time(i64::from_be_bytes(bytes.try_into().ok()?)).into()),
        Wire::TimeTz => {
            let (time, zone) = bytes.split_at_checked(8)?;
            let time = i64::from_be_bytes(time.try_into().ok()?);
            Cell::Time(instant::time_with_zone(time, i32::from_be_bytes(zone.try_into().ok()?)).into())
        }
        Wire::Timestamp => Cell::Time(instant::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "").into()),
        Wire::TimestampTz => Cell::Time(instant::timestamp(i64::from_be_bytes(bytes.try_into().ok()?), "Z").into()),
        Wire::Interval => {
            let mut input = Input(bytes);
            let micros = i64::from_be_bytes(input.take(8)?.try_into().ok()?);
            let (days, months) = (input.int()?, input.int()?);
            Cell::Time(instant::interval(months, days, micros).into())
        }
        Wire::Json => Cell::Json(std::str::from_utf8(bytes).ok()?.into()),
        Wire::Jsonb => match bytes.split_first()? {
            (1, json) => Cell::Json(std::str::from_utf8(json).ok()?.into()),
            _ => return None,
        },
        Wire::Array(_) | Wire::Composite(_) => {
            let mut json = String::new();
            write_json(wire, bytes, &mut json)?;
            Cell::Json(json.into())
        }
    })
}

/// The front of some bytes.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(bytes)?;
        self.0 = tail;
        Some(head)
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
            cell(scalar, bytes)?.write_json(out);
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

fn uuid(bytes: [u8; 16]) -> Box<str> {
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    out.into()
}

/// Groups of four decimal digits: count, weight of the first, sign, digits after the point; then the groups.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut input = Input(bytes);
    let count = usize::try_from(input.short()?).ok()?;
    let weight = i32::from(input.short()?);
    let sign = input.short()? as u16;
    let scale = usize::try_from(input.short()?).ok()?;
    let mut out = String::with_capacity(4 * count + 8);
    match sign {
        0x0000 => {}
        0x4000 => out.push('-'),
        0xC000 => return Some("NaN".into()),
        0xD000 => return Some("Infinity".into()),
        0xF000 => return Some("-Infinity".into()),
        _ => return None,
    }
    let mut groups = Vec::with_capacity(count);
    for _ in 0..count {
        groups.push(u16::try_from(input.short()?).ok().filter(|&group| group < 10_000)?);
    }
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    if weight < 0 {
        out.push('0');
    } else {
        for at in 0..=weight {
            let digits = if at == 0 { group(at).to_string() } else { format!("{:04}", group(at)) };
            out.push_str(&digits);
        }
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale;
        let mut at = weight + 1;
        while out.len() < end {
            out.push_str(&format!("{:04}", group(at)));
            at += 1;
        }
        out.truncate(end);
    }
    Some(out)
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
            assert_eq!(numeric(&wire_numeric(weight, sign, scale, groups)).as_deref(), Some(text));
        }
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
