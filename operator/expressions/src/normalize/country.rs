//! Countries: their codes, and how a telephone number is written in them.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One line each: ISO 3166 code of two letters, of three, the calling code (ITU-T E.164), what is dialled before a national number
/// (`-`: nothing), the English name.
const TABLE: &str = include_str!("countries.txt");

/// What is known about a country.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Country {
    /// Two letters, upper case.
    pub(super) code: &'static str,
    /// Digits after the `+` of a telephone number.
    pub(super) calling: &'static str,
    /// Digits that a national number begins with and an international one does not; may be empty.
    pub(super) trunk: &'static str,
}

/// By code and by name, in the spelling of [`plain`].
static COUNTRIES: LazyLock<HashMap<String, &'static Country>> = LazyLock::new(|| {
    let mut found = HashMap::new();
    for line in TABLE.lines() {
        let words: Vec<&'static str> = line.splitn(5, ' ').collect();
        if let [code, long, calling, trunk, name] = words[..] {
            let trunk = if trunk == "-" { "" } else { trunk };
            let country: &'static Country = Box::leak(Box::new(Country { code, calling, trunk }));
            for spelling in [code, long, name] {
                found.insert(plain(spelling), country);
            }
        }
    }
    for (spelling, code) in
        [("uk", "gb"), ("greatbritain", "gb"), ("unitedstatesofamerica", "us"), ("czechrepublic", "cz")]
    {
        if let Some(country) = found.get(code).copied() {
            found.insert(spelling.to_owned(), country);
        }
    }
    found
});

/// The country of a code of two or three letters, or of an English name.
pub(super) fn find(text: &str) -> Option<&'static Country> {
    COUNTRIES.get(&plain(text)).copied()
}

/// The code of two letters, in lower case.
///
/// ```
/// assert_eq!(backflow_expressions::normalize::country("Germany").as_deref(), Some("de"));
/// ```
#[must_use]
pub fn country(text: &str) -> Option<String> {
    super::unhashed(text, |text| find(text).map(|country| country.code.to_lowercase()))
}

/// States of the USA and provinces of Canada whose codes are asked for in place of their names.
const STATES: &str = "al alabama ak alaska az arizona ar arkansas ca california co colorado ct connecticut de delaware \
    dc districtofcolumbia fl florida ga georgia hi hawaii id idaho il illinois in indiana ia iowa ks kansas ky kentucky \
    la louisiana me maine md maryland ma massachusetts mi michigan mn minnesota ms mississippi mo missouri mt montana \
    ne nebraska nv nevada nh newhampshire nj newjersey nm newmexico ny newyork nc northcarolina nd northdakota oh ohio \
    ok oklahoma or oregon pa pennsylvania ri rhodeisland sc southcarolina sd southdakota tn tennessee tx texas ut utah \
    vt vermont va virginia wa washington wv westvirginia wi wisconsin wy wyoming pr puertorico \
    ab alberta bc britishcolumbia mb manitoba nb newbrunswick nl newfoundlandandlabrador ns novascotia nt northwestterritories \
    nu nunavut on ontario pe princeedwardisland qc quebec sk saskatchewan yt yukon";

/// A state: of the USA and Canada its code of two letters, of others its name; lower case, letters and digits alone.
#[must_use]
pub fn state(text: &str) -> Option<String> {
    super::unhashed(text, |text| {
        let name = plain(text);
        let words: Vec<&str> = STATES.split_ascii_whitespace().collect();
        let (pairs, _) = words.as_chunks::<2>();
        let code = pairs.iter().find(|[_, full]| *full == name).map(|[code, _]| (*code).to_owned());
        Some(code.unwrap_or(name)).filter(|state| !state.is_empty())
    })
}

/// Letters and digits, in lower case.
pub(super) fn plain(text: &str) -> String {
    text.to_lowercase().chars().filter(|char| char.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read_and_no_code_is_there_twice() {
        let mut codes: Vec<&str> = Vec::new();
        for line in TABLE.lines() {
            let code = &line[..2];
            let country = find(code).unwrap();
            assert_eq!(country.code, code, "{line}");
            assert_eq!(find(&line[3..6]), Some(country), "{line}");
            assert!(
                country.calling.parse::<u16>().is_ok()
                    && (country.trunk.is_empty() || country.trunk.parse::<u8>().is_ok())
            );
            codes.push(code);
        }
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.lines().count());
        assert!(codes.len() > 240);
    }

    #[test]
    fn countries_and_states_have_one_spelling() {
        for spelling in ["US", "usa", " United States ", "U.S.A."] {
            assert_eq!(country(spelling).as_deref(), Some("us"), "{spelling}");
        }
        assert_eq!(country("UK").as_deref(), Some("gb"));
        assert_eq!((country(""), country("Atlantis")), (None, None));
        assert_eq!(state("New York").as_deref(), Some("ny"));
        assert_eq!(state("CA").as_deref(), Some("ca"));
        assert_eq!(state("Baden-Württemberg").as_deref(), Some("badenwürttemberg"));
        assert_eq!(state(" - "), None);
    }
}
