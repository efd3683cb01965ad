//! Names of objects: safe in every bucket and file system, readable where the text is.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// The longest name of a part. Some servers keep an object in a file whose name is made of all parts, and file systems end at 255 bytes.
const LONGEST: usize = 80;

/// A text as one part of an object's name. Lower-case letters, digits, `.` and `-` stand for themselves, `/` is `_`, every other byte
/// is `!` and two hexadecimal digits: file systems that fold case keep names apart. What is too long is cut, and ends in its hash.
pub(super) fn part(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => name.push(char::from(byte)),
            b'.' if at > 0 => name.push('.'),
            b'/' => name.push('_'),
            other => {
                let _ = write!(name, "!{other:02x}");
            }
        }
    }
    if name.len() > LONGEST {
        let hash = Sha256::digest(text.as_bytes());
        name.truncate(LONGEST - 34);
        name.push_str("!!");
        for byte in &hash[..16] {
            let _ = write!(name, "{byte:02x}");
        }
    }
    name
}

/// A number that sorts as text.
pub(super) fn number(number: u64) -> String {
    format!("{number:020}")
}

/// The numbers at the start of an object's last name part, up to `N` of them, and what follows them.
pub(super) fn numbers<const N: usize>(name: &str) -> Option<([u64; N], &str)> {
    let mut rest = name.rsplit('/').next()?;
    let mut found = [0; N];
    for (at, slot) in found.iter_mut().enumerate() {
        if at > 0 {
            rest = rest.strip_prefix('-')?;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        *slot = rest[..end].parse().ok()?;
        rest = &rest[end..];
    }
    Some((found, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_apart_and_short() {
        assert_eq!(part("growth/customers-to-hubspot"), "growth_customers-to-hubspot");
        assert_eq!(part("a_B"), "a!5f!42");
        assert_eq!(part(".."), "!2e.");
        let long = ["k".repeat(253), "k".repeat(254), "鍵".repeat(84)].map(|text| part(&text));
        assert!(long.iter().all(|name| name.len() <= LONGEST && name.is_ascii()));
        assert_ne!(long[0], long[1]);
    }

    #[test]
    fn numbers_come_back() {
        let name = format!("k/runs/{}-{}-{}.json", number(7), number(u64::MAX), part("a-1"));
        assert_eq!(numbers::<2>(&name), Some(([7, u64::MAX], "-a-1.json")));
        for wrong in ["k/runs/7", "k/runs/x-1", "k/runs/", "99999999999999999999999-1"] {
            assert_eq!(numbers::<2>(wrong), None, "{wrong}");
        }
    }
}
