//! What is wrong with something that a user wrote.

/// One thing that is wrong, where, and what to do about it. Whoever checks a piece of a manifest collects all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, from the piece that was checked: `settings.url`, `fields.id`.
    pub path: String,
    /// What, one word of a closed set: `UnknownColumn`.
    pub code: &'static str,
    /// What, where and the cure, in one sentence. Never the value of a secret.
    pub message: String,
}

impl Finding {
    /// Makes a finding.
    #[must_use]
    pub fn new(path: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { path: path.into(), code, message: message.into() }
    }
}

/// The candidate that was probably meant: at most a third of its letters differ. Letter case does not count.
#[must_use]
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(&wrong.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// `(did you mean "x"? there are: a, b, x)`, only the question if the list is longer than a glance, or only the list; at most 30 names.
#[must_use]
pub fn hint<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 30;
    const GLANCE: usize = 12;
    let names: Vec<&str> = candidates.into_iter().collect();
    if names.is_empty() {
        return "(there are none)".to_owned();
    }
    let mut list = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST {
        list.push_str(&format!(" and {} more", names.len() - MOST));
    }
    match nearest(wrong, names.iter().copied()) {
        Some(name) if names.len() > GLANCE => format!("(did you mean \"{name}\"?)"),
        Some(name) => format!("(did you mean \"{name}\"? there are: {list})"),
        None => format!("(there are: {list})"),
    }
}

/// Letters to insert, remove, change or swap with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let change = rows[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_find_what_was_meant_and_other_words_do_not() {
        let names = ["url", "method", "headers"];
        assert_eq!(nearest("metod", names), Some("method"));
        assert_eq!(nearest("URL", names), Some("url"));
        assert_eq!(nearest("ulr", names), Some("url"));
        assert_eq!(nearest("timeout", names), None);
        assert_eq!(hint("header", names), "(did you mean \"headers\"? there are: url, method, headers)");
        assert_eq!(hint("x", []), "(there are none)");
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
        assert!(hint("zzz", names.iter().map(String::as_str)).ends_with("column_29 and 10 more)"));
        assert_eq!(hint("colum_7", names.iter().map(String::as_str)), "(did you mean \"column_7\"?)");
    }
}
