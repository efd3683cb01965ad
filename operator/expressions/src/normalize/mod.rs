//! What advertising platforms want before a value is hashed: one spelling for what is one person.
//!
//! The rules are those that Meta, Google, TikTok, Pinterest and Snap have in common. Each function gives `None` for what cannot be
//! such a value (an empty text, an address without `@`), and leaves a SHA-256 in hexadecimal as it is: nothing is hashed twice.

mod country;
mod phone;

pub use country::{country, state};
pub use phone::phone;

/// An e-mail address: lower case, without space.
#[must_use]
pub fn email(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let address: String = text.to_lowercase().chars().filter(|char| !char.is_whitespace()).collect();
        let (local, host) = address.rsplit_once('@')?;
        (!local.is_empty() && !host.is_empty() && !local.contains('@')).then_some(address)
    })
}

/// A first or last name: lower case, letters, digits and single spaces.
#[must_use]
pub fn name(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let kept: String = text
            .to_lowercase()
            .chars()
            .filter(|char| char.is_alphanumeric() || char.is_whitespace() || is_mark(*char))
            .collect();
        let words: Vec<&str> = kept.split_whitespace().collect();
        (!words.is_empty()).then(|| words.join(" "))
    })
}

/// A city: lower case, letters and digits alone.
#[must_use]
pub fn city(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let city: String =
            text.to_lowercase().chars().filter(|char| char.is_alphanumeric() || is_mark(*char)).collect();
        (!city.is_empty()).then_some(city)
    })
}

/// A postal code: lower case, letters and digits alone; of the USA the first five digits, with the zeros that a number has lost.
#[must_use]
pub fn zip(text: &str, in_country: Option<&str>) -> Option<String> {
    unhashed(text, |text| {
        let zip = country::plain(text);
        let digits = zip.bytes().all(|byte| byte.is_ascii_digit());
        let american = in_country.and_then(country::find).is_some_and(|country| country.code == "US");
        let plus_four = digits && zip.len() == 9 && text.as_bytes().get(5) == Some(&b'-');
        match zip.get(..5) {
            _ if zip.is_empty() => None,
            Some(first) if plus_four || (american && digits) => Some(first.to_owned()),
            None if american && digits => Some(format!("{zip:0>5}")),
            _ => Some(zip),
        }
    })
}

/// A date of birth as eight digits, year first: of an ISO date or timestamp, or of eight digits.
#[must_use]
pub fn birthday(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let date = match text.split_at_checked(10) {
            Some((date, rest)) if rest.is_empty() || rest.starts_with(['T', ' ']) => date.to_owned(),
            _ if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..])
            }
            _ => return None,
        };
        let date: jiff::civil::Date = date.parse().ok()?;
        Some(date.strftime("%Y%m%d").to_string())
    })
}

/// The digits alone.
#[must_use]
pub fn digits(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (!digits.is_empty()).then_some(digits)
    })
}

/// `m` or `f`: the first letter of what begins so.
#[must_use]
pub fn gender(text: &str) -> Option<String> {
    unhashed(text, |text| {
        let first = text.chars().next()?.to_ascii_lowercase();
        matches!(first, 'm' | 'f').then(|| first.to_string())
    })
}

/// Applies a rule to a trimmed text, unless it is empty or a hash.
fn unhashed(text: &str, rule: impl FnOnce(&str) -> Option<String>) -> Option<String> {
    let text = text.trim();
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(text.to_ascii_lowercase());
    }
    if text.is_empty() { None } else { rule(text) }
}

/// Marks that belong to the letter before them: scripts of India, and accents in their decomposed form.
fn is_mark(char: char) -> bool {
    matches!(u32::from(char), 0x0300..=0x036f | 0x0900..=0x0dff | 0x0e30..=0x0e4e)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::sha256;

    type Rule = fn(&str) -> Option<String>;
    const RULES: [Rule; 11] = [
        digits,
        gender,
        sha256,
        email,
        name,
        city,
        state,
        country,
        birthday,
        |text| phone(text, Some("DE")),
        |text| zip(text, Some("US")),
    ];

    #[test]
    fn what_is_one_person_has_one_spelling() {
        assert_eq!(email(" Ada @Example.COM ").as_deref(), Some("ada@example.com"));
        for none in ["", " ", "ada", "@example.com", "ada@", "a@b@c"] {
            assert_eq!(email(none), None, "{none}");
        }
        assert_eq!(name(" O'Brien-Smith,  JÜRGEN ").as_deref(), Some("obriensmith jürgen"));
        assert_eq!(name("...").as_deref(), None);
        assert_eq!(city("São Paulo (Centro)").as_deref(), Some("sãopaulocentro"));
        assert_eq!(zip("94103-1234", None).as_deref(), Some("94103"));
        assert_eq!(zip("94103 1234", Some("USA")).as_deref(), Some("94103"));
        assert_eq!(zip("2138", Some("US")).as_deref(), Some("02138"));
        assert_eq!(zip("SW1A 1AA", Some("GB")).as_deref(), Some("sw1a1aa"));
        assert_eq!(zip("10115", Some("DE")).as_deref(), Some("10115"));
        for date in ["1815-12-10", "18151210", "1815-12-10T00:00:00Z", "1815-12-10 00:00:00"] {
            assert_eq!(birthday(date).as_deref(), Some("18151210"), "{date}");
        }
        for none in ["10.12.1815", "1815-13-10", "18151310", "yesterday"] {
            assert_eq!(birthday(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_rule_leaves_hashes_alone_and_is_done_after_once(text in ".*", digits in "[0-9+() /-]{0,20}") {
            for rule in RULES {
                for text in [&text, &digits] {
                    let Some(once) = rule(text) else { continue };
                    prop_assert!(!once.is_empty());
                    prop_assert_eq!(rule(&once), Some(once.clone()), "{}", text);
                }
                let hash = sha256(&format!("x{text}"));
                prop_assert_eq!(rule(hash.as_deref().unwrap()), hash);
            }
        }
    }
}
