//! Which columns are read, in which order, and which of them make keys and hashes.

use backflow_core::cell::Column;
use backflow_core::code::{Code, Failure};
use backflow_core::extraction::row_columns;
use backflow_core::plan::ModelPlan;

use super::document::{Document, HASH_VERSION, Spec};

/// The most columns that one run reads.
pub(super) const MAX_COLUMNS: usize = 512;

/// The columns of one read.
pub(super) struct Layout {
    /// All that are read: first those of a change's row, then those that only old hashes need.
    pub columns: Vec<Column>,
    /// How many make a change's row.
    pub row: usize,
    /// The key's, in its order.
    pub key: Vec<usize>,
    /// Specs that rows are hashed by: the current one first. Old ones whose columns are gone are not among them.
    pub specs: Vec<(u32, Vec<usize>)>,
    /// Rows are told apart by more than their keys: the index has the record of each.
    pub identifies: bool,
}

impl Layout {
    /// The columns that the Mapping uses, and the key's, in the model's order.
    pub(super) fn new(model: &ModelPlan, described: &[Column], used: &[String]) -> Result<Self, Failure> {
        let has = |name: &String| described.iter().any(|column| column.name == *name);
        if let Some(missing) = model.primary_key.iter().find(|name| !has(name)) {
            return Err(absent(
                Code::PrimaryKeyMissing,
                model,
                described,
                &format!("primary key column \"{missing}\""),
            ));
        }
        if let Some(missing) = used.iter().find(|name| !has(name)) {
            return Err(absent(
                Code::ColumnNotFound,
                model,
                described,
                &format!("column \"{missing}\" of the Mapping"),
            ));
        }
        let columns = row_columns(described, used, &model.primary_key);
        let key = places(&columns, &model.primary_key).unwrap_or_default();
        let layout = Self { row: columns.len(), columns, key, specs: Vec::new(), identifies: false };
        layout.bounded(model)?;
        Ok(layout)
    }

    /// The spec of hashes made by this run.
    pub(super) fn spec(fingerprint: &str, used: &[String]) -> Spec {
        let mut columns = used.to_vec();
        columns.sort();
        columns.dedup();
        Spec { fingerprint: fingerprint.to_owned(), columns, hash_version: HASH_VERSION }
    }

    /// Adds what hashes need: the current spec's, and the old ones' that `comparable` chooses.
    pub(super) fn hash_by(
        &mut self,
        document: &Document,
        model: &ModelPlan,
        described: &[Column],
        comparable: impl Fn(&Spec) -> bool,
    ) -> Result<(), Failure> {
        let current = document.spec;
        let mut ids: Vec<u32> = document.specs.keys().copied().filter(|id| *id != current).collect();
        ids.insert(0, current);
        for id in ids {
            let Some(spec) = document.specs.get(&id) else { continue };
            let complete = spec.columns.iter().all(|name| described.iter().any(|column| column.name == *name));
            if id != current && !(complete && comparable(spec)) {
                continue;
            }
            for column in described {
                if spec.columns.contains(&column.name) && !self.columns.iter().any(|known| known.name == column.name) {
                    self.columns.push(column.clone());
                }
            }
            self.specs.extend(places(&self.columns, &spec.columns).map(|places| (id, places)));
        }
        self.bounded(model)
    }

    fn bounded(&self, model: &ModelPlan) -> Result<(), Failure> {
        if self.columns.len() <= MAX_COLUMNS {
            return Ok(());
        }
        Err(Failure::new(
            Code::LimitExceeded,
            format!(
                "model \"{}\": the Mapping uses {} columns and {MAX_COLUMNS} are allowed; name the columns that are needed in fields or include",
                model.name,
                self.columns.len()
            ),
        ))
    }
}

fn places(columns: &[Column], names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| columns.iter().position(|column| column.name == *name)).collect()
}

fn absent(code: Code, model: &ModelPlan, described: &[Column], what: &str) -> Failure {
    let has: Vec<&str> = described.iter().map(|column| column.name.as_str()).collect();
    Failure::new(code, format!("{what} is not in model \"{}\" (has: {})", model.name, has.join(", ")))
}
