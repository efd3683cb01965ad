//! Circles of Mappings that follow each other.

use std::collections::{BTreeMap, BTreeSet};

/// Finds the circles among `(mapping, the Mapping it follows)`. Each circle begins with its least name and goes on in the order of
/// following; a Mapping that follows itself is a circle of one. Mappings that only lead into a circle are not part of it.
#[must_use]
pub fn after_cycles<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Vec<&'a str>> {
    let follows: BTreeMap<&str, &str> = pairs.iter().copied().collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut cycles = Vec::new();
    for start in follows.keys() {
        let mut path: Vec<&str> = Vec::new();
        let mut on_path: BTreeSet<&str> = BTreeSet::new();
        let mut at = *start;
        while !done.contains(at) && on_path.insert(at) {
            path.push(at);
            match follows.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        if !done.contains(at)
            && follows.contains_key(at)
            && let Some(entry) = path.iter().position(|name| *name == at)
        {
            let mut cycle = path.split_off(entry);
            let least = cycle.iter().enumerate().min_by_key(|(_, name)| **name).map_or(0, |(index, _)| index);
            cycle.rotate_left(least);
            done.extend(cycle.iter().copied());
            cycles.push(cycle);
        }
        done.extend(path);
    }
    cycles.sort_unstable();
    cycles
}
