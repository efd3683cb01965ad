//! Checks, and Forget: short tasks without rows.

use backflow_core::code::{Code, Failure};
use backflow_core::plan::{DestinationPlan, ForgetPlan, ModelPlan, Plan, SourcePlan};
use backflow_core::result::{CheckResult, RunResult};

use crate::{Environment, application, empty, failed};

fn result(plan: &Plan, found: Result<CheckResult, Failure>) -> RunResult {
    match found {
        Ok(check) => RunResult { check: Some(check), ..empty(plan) },
        Err(failure) => failed(plan, failure),
    }
}

/// Connects, tries the grants, and says what answered.
pub(crate) async fn source(plan: &Plan, source: &SourcePlan, environment: &Environment) -> RunResult {
    let found = async {
        backflow_sources::warehouse::open(source, &*environment.secrets, &application(plan)).await?.check().await
    };
    result(plan, found.await.map(|server| CheckResult { server: Some(server), ..CheckResult::default() }))
}

/// Describes a Model.
pub(crate) async fn model(plan: &Plan, source: &SourcePlan, model: &ModelPlan, environment: &Environment) -> RunResult {
    let found = async {
        let warehouse = backflow_sources::warehouse::open(source, &*environment.secrets, &application(plan)).await?;
        let columns = warehouse.describe(model).await?;
        Ok(CheckResult { columns, ..CheckResult::default() })
    };
    result(plan, found.await)
}

/// Reaches a Destination without sending a row.
pub(crate) async fn destination(plan: &Plan, destination: &DestinationPlan, environment: &Environment) -> RunResult {
    let found = backflow_destinations::check(destination, &*environment.secrets).await;
    result(plan, found.map(|account| CheckResult { server: Some(account), ..CheckResult::default() }))
}

/// Removes the state of a Mapping.
pub(crate) async fn forget(
    plan: &Plan,
    source: &SourcePlan,
    forget: &ForgetPlan,
    environment: &Environment,
) -> RunResult {
    let found = async {
        let warehouse = backflow_sources::warehouse::open(source, &*environment.secrets, &application(plan)).await?;
        let removed =
            backflow_sources::diff::forget(&*warehouse.state(), &forget.state_key, &plan.owner, forget.adopt_state)
                .await?;
        if removed {
            Ok(CheckResult::default())
        } else {
            let message = format!(
                "there is no state \"{}\" in Source \"{}\"; nothing was removed",
                forget.state_key, source.name
            );
            Err(Failure::new(Code::StateNotFound, message))
        }
    };
    result(plan, found.await)
}
