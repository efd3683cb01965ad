//! docs/sources, done as they say: every block of each guide, in order, in an empty folder, against the server or the fake of it. SQL is
//! run as its administrator; what is done elsewhere (at a cloud's command line, in a cluster) is listed here, and read as a shell would.

mod pages;
mod server;

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use backflow_tests::guide::Reader;
use backflow_tests::warehouse::Service;

use self::server::Server;

/// A block that is done elsewhere: how it begins, and the file that it leaves in the folder.
type Elsewhere<'a> = (&'a str, Option<(&'a str, String)>);

/// How the block of every guide begins that is done in a cluster.
const CLUSTER: &str = "kubectl apply -f ";

/// Somebody who reads a guide, with the receiver that all guides send to.
fn reader(page: &str) -> anyhow::Result<Reader> {
    let mut reader = Reader::new(&format!("sources/{page}"))?;
    reader.port("8087")?;
    reader.write("receiver.py", include_str!("../../../deploy/samples/receiver.py"))?;
    Ok(reader)
}

/// Does what the guide says. `marks`: what stands in SQL for what a file of the folder holds.
async fn follow(
    mut reader: Reader,
    server: &Server,
    marks: &[(&str, &str)],
    elsewhere: &[Elsewhere<'_>],
) -> anyhow::Result<()> {
    let mut elsewhere = elsewhere.iter();
    for block in reader.blocks()? {
        let here = || format!("line {}", block.line);
        if reader.does(&block).with_context(here)? {
            continue;
        }
        match block.info.as_str() {
            "sql" => {
                let mut sql = reader.here(&block.text);
                for (mark, file) in marks.iter().filter(|(mark, _)| block.text.contains(mark)) {
                    sql = sql.replace(mark, &contents(&reader, file)?);
                }
                server.sql(&sql).await.with_context(here)?;
            }
            "sh elsewhere" => {
                let (begins, leaves) =
                    elsewhere.next().with_context(here).context("no block more is done elsewhere")?;
                ensure!(block.text.starts_with(begins), "{} does not begin with {begins}", here());
                parses(&block.text).with_context(here)?;
                for file in block.text.split(" -f ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
                    ensure!(reader.path(file).is_file(), "{}: nobody made {file}", here());
                }
                if let Some((name, text)) = leaves {
                    std::fs::write(reader.path(name), text)?;
                }
            }
            other => bail!("{}: nobody knows what to do with a block of {other:?}", here()),
        }
    }
    ensure!(elsewhere.next().is_none(), "more was to be done elsewhere");
    reader.ends()?;
    server.is_content()
}

/// What a file holds, without the lines that PEM has around it.
fn contents(reader: &Reader, file: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(reader.path(file)).with_context(|| format!("{file} is to be filled in"))?;
    Ok(text.lines().filter(|line| !line.starts_with("-----")).collect())
}

/// Whether a shell would take it.
fn parses(command: &str) -> anyhow::Result<()> {
    let shell = Command::new("bash").args(["-n", "-c", command]).stdin(Stdio::null()).output()?;
    ensure!(shell.status.success(), "{}", String::from_utf8_lossy(&shell.stderr));
    Ok(())
}

/// A password of the reader's own.
const PASSWORD: [(&str, &str); 1] = [("…", "password.txt")];

#[tokio::test(flavor = "multi_thread")]
async fn mysql() {
    let server = Server::mysql().await.unwrap();
    let mut reader = reader("mysql.md").unwrap();
    server.known_to(&mut reader, "mysql.example.com").unwrap();
    reader.prints(r"MariaDB \d[^ \n]*", "MariaDB 10.11").unwrap();
    follow(reader, &server, &PASSWORD, &[(CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let server = Server::postgres().await.unwrap();
    let mut reader = reader("postgres.md").unwrap();
    server.known_to(&mut reader, "db.example.com").unwrap();
    std::fs::write(reader.path("root.crt"), server.authority().unwrap()).unwrap();
    reader.prints(r"PostgreSQL \d.*", "PostgreSQL 15").unwrap();
    follow(reader, &server, &PASSWORD, &[(CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn redshift() {
    let server = Server::redshift().await.unwrap();
    let mut reader = reader("redshift.md").unwrap();
    server.known_to(&mut reader, "analytics.abc123xyz789.eu-central-1.redshift.amazonaws.com").unwrap();
    follow(reader, &server, &PASSWORD, &[(CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse() {
    let server = Server::fake(Service::ClickHouse).await.unwrap();
    let mut reader = reader("clickhouse.md").unwrap();
    server.known_to(&mut reader, "clickhouse.example.com").unwrap();
    reader.prints(r"ClickHouse \d[^ \n]*", "ClickHouse 26.5").unwrap();
    follow(reader, &server, &PASSWORD, &[(CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql() {
    let server = Server::fake(Service::AzureSql).await.unwrap();
    let mut reader = reader("azuresql.md").unwrap();
    server.known_to(&mut reader, "shop.database.windows.net").unwrap();
    reader.word("72f988bf-86f1-41af-91ab-2d7cd011db47", server.told("tenantId"));
    reader.word("11111111-2222-4333-8444-555555555555", server.told("clientId"));
    reader.variable("AZURE_AUTHORITY_HOST", server.told("authority"));
    let secret = server.told("clientSecret").to_owned();
    let application = ("az ad sp create-for-rbac", Some(("client-secret.txt", secret)));
    follow(reader, &server, &PASSWORD, &[(CLUSTER, None), application]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn snowflake() {
    let server = Server::fake(Service::Snowflake).await.unwrap();
    let mut reader = reader("snowflake.md").unwrap();
    server.known_to(&mut reader, "").unwrap();
    reader.word("myorg-myaccount", server.told("account"));
    follow(reader, &server, &[("MIIB…", "key.pub")], &[(CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bigquery() {
    let server = Server::fake(Service::BigQuery).await.unwrap();
    let mut reader = reader("bigquery.md").unwrap();
    server.known_to(&mut reader, "").unwrap();
    reader.word("my-project-123456", server.told("project"));
    let account = ("gcloud iam service-accounts create backflow", Some(("bigquery.key", server.credential())));
    follow(reader, &server, &[], &[account, (CLUSTER, None)]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn databricks() {
    let server = Server::fake(Service::Databricks).await.unwrap();
    let mut reader = reader("databricks.md").unwrap();
    server.known_to(&mut reader, "").unwrap();
    let catalog = server.told("catalog");
    reader.word("main.", &format!("{catalog}."));
    reader.word("CATALOG main", &format!("CATALOG {catalog}"));
    reader.word("catalog: main", &format!("catalog: {catalog}"));
    reader.word("dbc-a1b2345c-d6e7.cloud.databricks.com", server.told("host"));
    reader.word("/sql/1.0/warehouses/1234567890abcdef", server.told("httpPath"));
    reader.word("5d5f9a80-1234-4000-8000-000000000000", server.told("clientId"));
    let principal = ("databricks service-principals create", Some(("client-secret.txt", server.credential())));
    follow(reader, &server, &[], &[principal, (CLUSTER, None)]).await.unwrap();
}
