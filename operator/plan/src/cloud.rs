//! Warehouses that are a service of a cloud.

use backflow_core::plan::{
    AzureSql, AzureSqlCredential, BigQuery, Connection, Databricks, DatabricksCredential, Redshift, RedshiftCredential,
    RedshiftIam, RedshiftTarget, Snowflake, SnowflakeCredential, TlsMode,
};
use backflow_crds::v1alpha1 as api;

use crate::finding::Findings;
use crate::source::{port, secret, tls};

/// Plans a Snowflake account.
pub(crate) fn snowflake(spec: &api::Snowflake, findings: &mut Findings) -> Option<Connection> {
    // It becomes a part of the host's name.
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fit = spec.account.split('.').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()));
    if !fit || !spec.account.chars().all(plain) || spec.account.ends_with(['-', '_']) {
        let message = "write the account identifier alone, like myorg-myaccount or xy12345.eu-central-1, without https:// and \
                       .snowflakecomputing.com";
        findings.add("spec.snowflake.account", "InvalidSpec", message);
    } else if spec.account.to_ascii_lowercase().contains(".snowflakecomputing.") {
        let message = "write the account identifier without .snowflakecomputing.com";
        findings.add("spec.snowflake.account", "InvalidSpec", message);
    }
    let credential = credential(spec, findings);
    Some(Connection::Snowflake(Box::new(Snowflake {
        account: spec.account.clone(),
        user: name("user", &spec.user, findings),
        warehouse: name("warehouse", &spec.warehouse, findings),
        database: name("database", &spec.database, findings),
        schema: spec.schema.as_ref().map(|schema| name("schema", schema, findings)),
        role: spec.role.as_ref().map(|role| name("role", role, findings)),
        credential: credential?,
        endpoint: None,
    })))
}

/// Plans a BigQuery project.
pub(crate) fn bigquery(spec: &api::BigQuery, findings: &mut Findings) -> Option<Connection> {
    // They become parts of a URL.
    let plain = |text: &str, more: &[char]| text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c));
    if spec.project.is_empty() || !plain(&spec.project, &['-', ':', '.']) {
        let message = "write the project's id, such as my-project-123456, and not its name";
        findings.add("spec.bigquery.project", "InvalidSpec", message);
    }
    if !plain(&spec.location, &['-']) {
        let message = "write the location of the datasets, such as EU, US or europe-west3";
        findings.add("spec.bigquery.location", "InvalidSpec", message);
    }
    if spec.impersonate.as_ref().is_some_and(|account| !account.contains('@') || !plain(account, &['-', '.', '@', '_']))
    {
        let message = "write the service account's e-mail address";
        findings.add("spec.bigquery.impersonate", "InvalidSpec", message);
    }
    Some(Connection::BigQuery(Box::new(BigQuery {
        project: spec.project.clone(),
        location: spec.location.clone(),
        dataset: spec.dataset.clone(),
        service_account_key: spec.service_account_key.as_ref().map(secret),
        impersonate: spec.impersonate.clone(),
        maximum_bytes_billed: spec.maximum_bytes_billed,
        endpoint: None,
    })))
}

/// Plans a database of Redshift.
pub(crate) fn redshift(spec: &api::Redshift, findings: &mut Findings) -> Option<Connection> {
    let port = port("redshift", spec.port, findings);
    let tls = tls("redshift", &spec.tls, findings);
    let credential = match (&spec.password, &spec.iam) {
        (Some(password), None) => Some(RedshiftCredential::Password(secret(password))),
        (None, Some(iam)) => self::iam(iam, findings).map(RedshiftCredential::Iam),
        _ => {
            findings.add("spec.redshift", "InvalidSpec", "exactly one of password, iam must be set");
            None
        }
    };
    Some(Connection::Redshift(Box::new(Redshift {
        host: spec.host.clone(),
        port: port?,
        database: spec.database.clone(),
        user: spec.user.clone(),
        credential: credential?,
        tls,
        endpoint: None,
    })))
}

fn iam(spec: &api::RedshiftIam, findings: &mut Findings) -> Option<RedshiftIam> {
    // It becomes a part of a host's name.
    let plain = spec.region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !plain || spec.region.is_empty() || spec.region.starts_with('-') {
        findings.add("spec.redshift.iam.region", "InvalidSpec", "write the region's code, such as eu-central-1");
    }
    if spec.role_arn.as_ref().is_some_and(|role| !role.starts_with("arn:") || !role.contains(":role/")) {
        let message = "write the role's ARN, such as arn:aws:iam::123456789012:role/warehouse-reader";
        findings.add("spec.redshift.iam.roleArn", "InvalidSpec", message);
    }
    let target = match (&spec.cluster_identifier, &spec.workgroup) {
        (Some(cluster), None) => Some(RedshiftTarget::Cluster(cluster.clone())),
        (None, Some(workgroup)) => Some(RedshiftTarget::Workgroup(workgroup.clone())),
        _ => {
            let message = "exactly one of clusterIdentifier, workgroup must be set";
            findings.add("spec.redshift.iam", "InvalidSpec", message);
            None
        }
    };
    Some(RedshiftIam { region: spec.region.clone(), target: target?, role_arn: spec.role_arn.clone() })
}

/// Plans a Databricks SQL warehouse.
pub(crate) fn databricks(spec: &api::Databricks, findings: &mut Findings) -> Option<Connection> {
    let plain = |text: &str, more: &[char]| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(&c))
    };
    if !plain(&spec.host, &['.', '-']) {
        let message = "write the workspace's host name alone, like dbc-a1b2345c-d6e7.cloud.databricks.com or \
                       adb-1234567890123456.7.azuredatabricks.net";
        findings.add("spec.databricks.host", "InvalidSpec", message);
    }
    // It becomes a part of a path.
    let warehouse =
        ["/sql/1.0/warehouses/", "/sql/1.0/endpoints/"].iter().find_map(|at| spec.http_path.strip_prefix(at));
    let warehouse = warehouse.map(|id| id.trim_end_matches('/')).filter(|id| plain(id, &['-']));
    if warehouse.is_none() {
        let message = "write the HTTP path of a SQL warehouse (its Connection details), like /sql/1.0/warehouses/1234567890abcdef; clusters \
                       do not have the API that is used";
        findings.add("spec.databricks.httpPath", "InvalidSpec", message);
    }
    if spec.tenant_id.as_ref().is_some_and(|tenant| !plain(tenant, &['.', '-'])) {
        findings.add("spec.databricks.tenantId", "InvalidSpec", "write the tenant's id, or one of its domains");
    }
    let credential = match (&spec.client_id, &spec.client_secret, &spec.access_token) {
        (Some(id), Some(client), None) => Some(DatabricksCredential::Client {
            id: id.clone(),
            secret: secret(client),
            tenant: spec.tenant_id.clone(),
        }),
        (None, None, Some(token)) if spec.tenant_id.is_none() => Some(DatabricksCredential::AccessToken(secret(token))),
        (None, None, Some(_)) => {
            let message = "a tenant belongs to clientId and clientSecret; set them, or remove tenantId";
            findings.add("spec.databricks.tenantId", "InvalidSpec", message);
            None
        }
        _ => {
            let message = "either accessToken, or clientId and clientSecret must be set";
            findings.add("spec.databricks", "InvalidSpec", message);
            None
        }
    };
    Some(Connection::Databricks(Box::new(Databricks {
        host: spec.host.to_ascii_lowercase(),
        warehouse_id: warehouse?.to_owned(),
        catalog: spec.catalog.clone(),
        schema: spec.schema.clone(),
        credential: credential?,
        start_for_checks: spec.start_for_checks,
        endpoint: None,
    })))
}

/// Plans a database of Azure SQL, Synapse, Fabric or SQL Server.
pub(crate) fn azure_sql(spec: &api::AzureSql, findings: &mut Findings) -> Option<Connection> {
    let port = port("azureSql", spec.port, findings);
    let tls = tls("azureSql", &spec.tls, findings);
    let credential = match (&spec.user, &spec.password, &spec.entra) {
        (Some(user), Some(password), None) => {
            Some(AzureSqlCredential::Login { user: user.clone(), password: secret(password) })
        }
        (None, None, Some(entra)) => {
            if tls.mode == TlsMode::Disable {
                let message = "a token of Entra is not sent unencrypted; use VerifyFull";
                findings.add("spec.azureSql.tls.mode", "InvalidSpec", message);
            }
            Some(self::entra(entra, findings))
        }
        _ => {
            let message = "either user and password must be set, or entra";
            findings.add("spec.azureSql", "InvalidSpec", message);
            None
        }
    };
    Some(Connection::AzureSql(Box::new(AzureSql {
        host: spec.host.clone(),
        port: port?,
        database: spec.database.clone(),
        credential: credential?,
        tls,
        authority: None,
    })))
}

fn entra(spec: &api::EntraIdentity, findings: &mut Findings) -> AzureSqlCredential {
    // They become parts of a URL and of a form.
    let plain = |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'));
    for (member, id) in [("tenantId", &spec.tenant_id), ("clientId", &spec.client_id)] {
        if id.as_deref().is_some_and(|id| !plain(id)) {
            let message = "write the id alone, such as 72f988bf-86f1-41af-91ab-2d7cd011db47";
            findings.add(format!("spec.azureSql.entra.{member}"), "InvalidSpec", message);
        }
    }
    if spec.client_secret.is_some() && (spec.tenant_id.is_none() || spec.client_id.is_none()) {
        findings.add("spec.azureSql.entra", "InvalidSpec", "clientSecret needs tenantId and clientId");
    }
    AzureSqlCredential::Entra {
        tenant_id: spec.tenant_id.clone(),
        client_id: spec.client_id.clone(),
        client_secret: spec.client_secret.as_ref().map(secret),
    }
}

fn credential(spec: &api::Snowflake, findings: &mut Findings) -> Option<SnowflakeCredential> {
    if spec.private_key_passphrase.is_some() && spec.private_key.is_none() {
        let message = "a passphrase belongs to a privateKey; set it, or remove privateKeyPassphrase";
        findings.add("spec.snowflake.privateKeyPassphrase", "InvalidSpec", message);
    }
    match (&spec.private_key, &spec.access_token, &spec.oauth_token) {
        (Some(key), None, None) => Some(SnowflakeCredential::KeyPair {
            private_key: secret(key),
            passphrase: spec.private_key_passphrase.as_ref().map(secret),
        }),
        (None, Some(token), None) => Some(SnowflakeCredential::AccessToken(secret(token))),
        (None, None, Some(token)) => Some(SnowflakeCredential::OauthToken(secret(token))),
        _ => {
            let message = "exactly one of privateKey, accessToken, oauthToken must be set";
            findings.add("spec.snowflake", "InvalidSpec", message);
            None
        }
    }
}

/// A name as Snowflake keeps it when SQL would take it without quotes: in upper case. Others are kept.
pub(crate) fn folded(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'));
    if plain { name.to_ascii_uppercase() } else { name.to_owned() }
}

/// A name as Snowflake keeps it: what SQL would take without quotes is folded to upper case, as SQL does it; what stands in double
/// quotes, or could not be written without, is kept letter by letter.
fn name(member: &str, text: &str, findings: &mut Findings) -> String {
    let Some(quoted) = text.strip_prefix('"') else { return folded(text) };
    let inner = quoted.strip_suffix('"').filter(|inner| !inner.is_empty() && !inner.replace("\"\"", "").contains('"'));
    inner.map(|inner| inner.replace("\"\"", "\"")).unwrap_or_else(|| {
        let message = "a name in double quotes must end with one, and holds others twice";
        findings.add(format!("spec.snowflake.{member}"), "InvalidSpec", message);
        text.to_owned()
    })
}
