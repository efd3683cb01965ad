//! Whether the state could be made, as the catalog's information schema says it: nothing is made for a check.

use std::sync::Arc;

use backflow_core::code::Failure;

use super::api::Api;
use super::sql_error::Failed;
use super::statement::Statement;
use super::types::quote;

/// What a principal may do about a state that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Making {
    Possible,
    /// The schema is there, and no table may be made in it.
    NoTables,
    /// The schema is not there, and may not be made.
    NoSchema,
    /// The catalog does not say: it is none of Unity Catalog.
    Unknown,
}

/// Looks at what is there.
pub(super) async fn may_make(api: &Arc<Api>, schema: &str) -> Result<Making, Failure> {
    let catalog = api.plan.catalog.as_deref().map(|catalog| quote(catalog) + ".").unwrap_or_default();
    // Unity Catalog keeps all names in lower case.
    let schema = schema.to_lowercase();
    let asked = async |view: &str, counted: &str, filter: &str| {
        let sql = format!(
            "SELECT COUNT(*), COUNT(CASE WHEN {counted} THEN 1 END) FROM {catalog}information_schema.{view} {filter}"
        );
        let statement = Statement::own(sql);
        let named = |name: &str| filter.contains(&format!(":{name}"));
        let binds =
            [("schema", Some(schema.clone())), ("catalog", api.plan.catalog.as_ref().map(|name| name.to_lowercase()))];
        let binds = binds.into_iter().filter(|(name, _)| named(name)).filter_map(|(name, value)| Some((name, value?)));
        counts(api, statement.with(binds)).await
    };
    let owner = |name: &str| format!("{name} = current_user() OR is_account_group_member({name})");
    let granted = |privilege: &str| format!("privilege_type IN ('{privilege}', 'ALL_PRIVILEGES', 'MANAGE')");
    // A grant counts if it is the principal's own, or a group's that it is in.
    let mine = owner("grantee");

    let named = "WHERE schema_name = :schema";
    let Some([there, owned]) = asked("schemata", &owner("schema_owner"), named).await? else {
        return Ok(Making::Unknown);
    };
    let (owned, grants, without) = if there > 0 {
        let filter = format!("{named} AND ({mine})");
        (owned, asked("schema_privileges", &granted("CREATE_TABLE"), &filter).await?, Making::NoTables)
    } else {
        // A view of the default catalog has its own grants alone; that of a named one may be asked for it.
        let its = if api.plan.catalog.is_some() { "catalog_name = :catalog" } else { "TRUE" };
        let owned = asked("catalogs", &owner("catalog_owner"), &format!("WHERE {its}")).await?;
        let owned = owned.map_or(0, |[_, owned]| owned);
        let filter = format!("WHERE {its} AND ({mine})");
        (owned, asked("catalog_privileges", &granted("CREATE_SCHEMA"), &filter).await?, Making::NoSchema)
    };
    Ok(match grants {
        _ if owned > 0 => Making::Possible,
        None => Making::Unknown,
        Some([_, 0]) => without,
        Some(_) => Making::Possible,
    })
}

/// Two numbers; `None` if the statement is refused.
async fn counts(api: &Arc<Api>, statement: Statement) -> Result<Option<[u64; 2]>, Failure> {
    let rows = match api.rows(statement).await {
        Ok(rows) => rows,
        Err(Failed::Sql(_)) => return Ok(None),
        Err(Failed::Other(failure)) => return Err(failure),
    };
    let number = |at: usize| rows.first()?.get(at)?.as_ref()?.parse().ok();
    Ok(number(0).zip(number(1)).map(|(first, second)| [first, second]))
}
