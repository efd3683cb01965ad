//! Model → [`ModelPlan`].

use backflow_core::plan::{ModelPlan, ModelQuery};
use backflow_crds::v1alpha1::ModelSpec;

use crate::finding::{Finding, Findings};

/// Plans a Model. What is in its SQL only the warehouse can say: the Model's check does.
///
/// # Errors
/// All findings.
pub fn model(name: &str, spec: &ModelSpec) -> Result<ModelPlan, Vec<Finding>> {
    let mut findings = Findings::default();
    let query = match (&spec.sql, &spec.table) {
        (Some(sql), None) if sql.trim().is_empty() => {
            findings.add("spec.sql", "InvalidSpec", "is empty; write one SELECT statement");
            None
        }
        (Some(sql), None) => Some(ModelQuery::Sql(sql.clone())),
        (None, Some(table)) => Some(ModelQuery::Table(table.clone())),
        _ => {
            findings.add("spec", "InvalidSpec", "exactly one of sql, table must be set");
            None
        }
    };
    if spec.primary_key.is_empty() {
        findings.add("spec.primaryKey", "InvalidSpec", "name at least one column that identifies a row");
    }
    for (at, column) in spec.primary_key.iter().enumerate() {
        if spec.primary_key[..at].contains(column) {
            findings.add(
                format!("spec.primaryKey[{at}]"),
                "InvalidSpec",
                format!("column \"{column}\" is named twice"),
            );
        }
    }
    let plan = query.map(|query| ModelPlan { name: name.to_owned(), query, primary_key: spec.primary_key.clone() });
    findings.finish(())?;
    plan.ok_or_else(Vec::new)
}
