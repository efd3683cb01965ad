//! Telephone numbers.

use super::country::find;

/// A telephone number as `+` and digits (E.164). A number without a country needs `country`, the code or name of the one it is in.
/// `None` where the number or the country is none.
///
/// No list of area codes is consulted: a number is right in its form, not necessarily in use.
///
/// ```
/// use backflow_expressions::normalize::phone;
///
/// assert_eq!(phone("(0151) 234-56789", Some("DE")).as_deref(), Some("+4915123456789"));
/// assert_eq!(phone("+1 (415) 555-2671", None).as_deref(), Some("+14155552671"));
/// ```
#[must_use]
pub fn phone(text: &str, country: Option<&str>) -> Option<String> {
    super::unhashed(text, |text| {
        // `+49 (0)151 …`: the zero is dialled inside of the country only.
        let text = if text.starts_with('+') { text.replace("(0)", "") } else { text.to_owned() };
        if text.chars().any(|char| !char.is_ascii_digit() && !" +-./()\u{a0}\u{2011}\u{2013}".contains(char)) {
            return None;
        }
        let country = country.and_then(find);
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        // What is dialled from North America before the code of another country.
        let abroad = if country.is_some_and(|country| country.calling == "1") { "011" } else { "00" };
        let number = if text.starts_with('+') {
            digits
        } else if let Some(number) = digits.strip_prefix(abroad) {
            number.to_owned()
        } else {
            let country = country?;
            let national = digits.strip_prefix(country.trunk).unwrap_or(&digits);
            format!("{}{national}", country.calling)
        };
        let long_enough = match number.strip_prefix('1') {
            Some(national) => national.len() == 10,
            None => (8..=15).contains(&number.len()),
        };
        (long_enough && !number.starts_with('0')).then(|| format!("+{number}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_one_line_are_one_number() {
        for (text, country, expected) in [
            ("0151 23456789", Some("DE"), Some("+4915123456789")),
            ("+49 (0)151 23456789", Some("US"), Some("+4915123456789")),
            ("0049151/23456789", Some("fr"), Some("+4915123456789")),
            ("4155552671", Some("US"), Some("+14155552671")),
            ("1-415-555-2671", Some("USA"), Some("+14155552671")),
            ("011 49 151 23456789", Some("CA"), Some("+4915123456789")),
            ("06 1234 5678", Some("IT"), Some("+390612345678")),
            ("06 1 234 5678", Some("HU"), Some("+3612345678")),
            ("8 (912) 345-67-89", Some("RU"), Some("+79123456789")),
            ("020 7946 0958", Some("United Kingdom"), Some("+442079460958")),
            ("555-2671", Some("US"), None),
            ("0151 23456789", None, None),
            ("0151 23456789", Some("Atlantis"), None),
            ("+1 415 555 2671 ext. 5", None, None),
            ("+0 151 23456789", None, None),
            ("call me", Some("DE"), None),
            ("", Some("DE"), None),
        ] {
            assert_eq!(phone(text, country).as_deref(), expected, "{text} in {country:?}");
        }
    }
}
