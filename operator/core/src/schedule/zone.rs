//! Time zones by their IANA names, with a suggestion for a name that does not exist.

use jiff::tz::TimeZone;

use super::ScheduleError;

/// Finds a time zone. No name means UTC.
pub(super) fn zone(path: &str, name: Option<&str>) -> Result<TimeZone, ScheduleError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    match TimeZone::get(name) {
        Ok(zone) if !zone.is_unknown() => Ok(zone),
        _ => Err(ScheduleError::UnknownTimeZone {
            path: path.to_owned(),
            name: name.chars().take(64).collect(),
            suggestion: suggest(name),
        }),
    }
}

/// The name that was most probably meant: the one whose city was given, else the nearest by letters, else none.
fn suggest(wrong: &str) -> Option<String> {
    let wrong = wrong.trim().replace(' ', "_").to_lowercase();
    if wrong.is_empty() || wrong.len() > 64 {
        return None;
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let city_of = |name: &str| name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let wrong_city = city_of(&wrong);
    let by_city = names.iter().filter(|name| name.contains('/') && city_of(name) == wrong_city).min();
    if let Some(name) = by_city {
        return Some(name.clone());
    }
    // Names of up to four letters (abbreviations such as PST) are too short for letters to tell what was meant.
    let tolerated = if wrong.len() <= 4 { 0 } else { 3 };
    names
        .iter()
        .map(|name| (distance(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, name)| name.clone())
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
