//! The encoding of values that hashes, keys, the state and scratch are made of.

/// Appends encoded values: a tag, then a fixed-size value or a length (little endian, 32 bits) and the bytes. An encoding is equal exactly
/// for equal values and unambiguous in a sequence. It must never change: hashes of delivered rows are made of it.
///
/// Sources that know a value's form write it here without a [`Cell`](crate::cell::Cell) in between, which costs an allocation for each text.
#[derive(Debug)]
pub struct Encoder<'a>(&'a mut Vec<u8>);

impl<'a> Encoder<'a> {
    /// Appends to these bytes.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// SQL NULL.
    pub fn null(self) {
        self.0.push(0);
    }

    /// A truth value.
    pub fn bool(self, value: bool) {
        self.0.push(1 + u8::from(value));
    }

    /// An integer.
    pub fn int(self, value: i64) {
        self.fixed(3, value.to_le_bytes());
    }

    /// A float. -0.0 and 0.0 are equal to SQL, and so are all NaN: one encoding each.
    pub fn float(self, value: f64) {
        let bits = match value {
            0.0 => 0,
            value if value.is_nan() => f64::NAN.to_bits(),
            value => value.to_bits(),
        };
        self.fixed(4, bits.to_le_bytes());
    }

    /// A decimal, as plain digits.
    pub fn decimal(self, digits: &str) {
        self.sized(5, digits.as_bytes());
    }

    /// Text.
    pub fn text(self, text: &str) {
        self.sized(6, text.as_bytes());
    }

    /// Bytes.
    pub fn bytes(self, bytes: &[u8]) {
        self.sized(7, bytes);
    }

    /// A date, a time or both, in ISO 8601.
    pub fn time(self, text: &str) {
        self.sized(8, text.as_bytes());
    }

    /// A JSON document.
    pub fn json(self, text: &str) {
        self.sized(9, text.as_bytes());
    }

    fn fixed(self, tag: u8, value: [u8; 8]) {
        let [a, b, c, d, e, f, g, h] = value;
        self.0.extend_from_slice(&[tag, a, b, c, d, e, f, g, h]);
    }

    fn sized(self, tag: u8, bytes: &[u8]) {
        let [a, b, c, d] = (bytes.len() as u32).to_le_bytes();
        self.0.extend_from_slice(&[tag, a, b, c, d]);
        self.0.extend_from_slice(bytes);
    }
}
