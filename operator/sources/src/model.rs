//! What holds for the columns of every model, whatever the warehouse.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::ModelPlan;

/// The most columns that a model may have: that many fields a Mapping may have.
const MAX_COLUMNS: usize = 512;
/// Column names in a message, which has its own bound.
const NAMED: usize = 12;

/// Checks that names are unique, not too many, and that the key is among them. `case` says how the warehouse folds names.
pub(crate) fn check_columns<'a>(
    model: &ModelPlan,
    names: impl Iterator<Item = &'a str> + Clone,
    case: &str,
) -> Result<(), Failure> {
    let count = names.clone().count();
    if count > MAX_COLUMNS {
        return Err(Failure::new(
            Code::LimitExceeded,
            format!(
                "model \"{}\" has {count} columns, at most {MAX_COLUMNS} are read; name those that are needed",
                model.name
            ),
        ));
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(twice) = names.clone().find(|name| !seen.insert(*name)) {
        return Err(Failure::new(
            Code::DuplicateColumn,
            format!("model \"{}\" has two columns named \"{twice}\"; rename one with AS", model.name),
        ));
    }
    for key in &model.primary_key {
        if seen.contains(key.as_str()) {
            continue;
        }
        let other = names.clone().find(|name| name.to_lowercase() == key.to_lowercase());
        let cure = match other {
            Some(other) => format!("it has \"{other}\", and {case}: write primaryKey with the same letters"),
            None => format!("add it to the SQL, or name another in primaryKey (has: {})", list(names.clone())),
        };
        return Err(Failure::new(
            Code::PrimaryKeyMissing,
            format!("model \"{}\" has no column \"{key}\", which primaryKey names; {cure}", model.name),
        ));
    }
    Ok(())
}

/// A column that is to be read is not there.
pub(crate) fn unknown_column<'a>(model: &ModelPlan, name: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    Failure::new(
        Code::ColumnNotFound,
        format!("column \"{name}\" is not in model \"{}\" (has: {})", model.name, list(names)),
    )
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    let mut text = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}
