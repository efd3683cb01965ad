//! A warehouse as its user has it: a Source in a folder of manifests, and the command `backflow`. Its rows are made by the Model's own SQL, so
//! that nothing is needed but what the Source's guide grants. Usually on a server of the tests' own; `cargo xtask live FOLDER` names another.

use std::path::{Path, PathBuf};

use backflow_tests::cli::{Desk, Said, manifest, mapping};
use backflow_tests::mariadb::MariaDb;
use backflow_tests::postgres::PostgresServer;
use backflow_tests::receiver::{Expect, Fault, Receiver, Script};
use backflow_tests::warehouse::{FakeWarehouse, Service};
use serde_json::{Value, json};

/// The folder that `cargo xtask live` names.
const FOLDER: &str = "BACKFLOW_LIVE";
/// Rows of the first run.
const ROWS: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_warehouse_that_is_named_does_it_all() {
    match std::env::var_os(FOLDER) {
        Some(folder) => Live::of(&PathBuf::from(folder)).await.does_it_all().await,
        None => postgres().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_does_it_all() {
    let server = MariaDb::start().await.unwrap();
    server.user("backflow").unwrap();
    server.exec("GRANT ALL PRIVILEGES ON *.* TO backflow").unwrap();
    let password = server.password("backflow").unwrap();
    let source = json!({"mysql": {
        "host": "127.0.0.1", "port": server.plan("backflow", "shop").port, "database": "shop", "user": "backflow",
        "password": {"secretKeyRef": {"name": "live", "key": "password"}}, "tls": {"mode": "Disable"},
    }});
    own(&source, &json!({"password": password})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_sql_does_it_all() {
    let fake = FakeWarehouse::start(Service::AzureSql, "").await.unwrap();
    let key = |key: &str| json!({"secretKeyRef": {"name": "live", "key": key}});
    let source = json!({"azureSql": {
        "host": fake.told("host"), "port": fake.port(), "database": fake.told("database"), "user": fake.told("user"),
        "password": key("password"), "tls": {"ca": key("ca")},
    }});
    own(&source, &json!({"password": fake.told("password"), "ca": fake.told("certificateAuthority")})).await;
}

async fn postgres() {
    let server = PostgresServer::start().await.unwrap();
    server.role("backflow").await.unwrap();
    server.exec("postgres", "GRANT CREATE ON DATABASE postgres TO backflow").await.unwrap();
    let password = server.password("backflow").unwrap();
    let source = json!({"postgres": {
        "host": "127.0.0.1", "port": server.port(), "database": "postgres", "user": "backflow",
        "password": {"secretKeyRef": {"name": "live", "key": "password"}}, "tls": {"mode": "Disable"},
    }});
    own(&source, &json!({"password": password})).await;
}

/// A server of the tests' own.
async fn own(source: &Value, secrets: &Value) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("source.yaml"), manifest("Source", "warehouse", &source.to_string())).unwrap();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "live"}, "stringData": secrets});
    std::fs::write(folder.path().join("secret.yaml"), secret.to_string()).unwrap();
    Live::of(folder.path()).await.does_it_all().await;
}

/// A folder with the warehouse's Source, and all that a Mapping of it needs.
struct Live {
    desk: Desk,
    receiver: Receiver,
    source: String,
    /// Which warehouse.
    kind: String,
}

impl Live {
    async fn of(folder: &Path) -> Self {
        let desk = Desk::empty().unwrap();
        let mut sources = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            if !path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            desk.write(&path.file_name().unwrap().to_string_lossy(), &text).unwrap();
            let documents = serde_saphyr::from_multiple::<Value>(&text).unwrap();
            sources.extend(documents.into_iter().filter(|document| document["kind"] == "Source"));
        }
        let [source] = sources.as_slice() else { panic!("{}: one Source is needed", folder.display()) };
        let kinds = ["postgres", "redshift", "snowflake", "bigquery", "databricks", "azureSql", "mysql", "clickhouse"];
        let kind = kinds.iter().find(|kind| !source["spec"][**kind].is_null()).expect("the Source names a warehouse");
        let receiver = Receiver::start(Expect::default()).await.unwrap();
        let live = Self {
            source: source["metadata"]["name"].as_str().expect("the Source has a name").to_owned(),
            kind: (*kind).to_owned(),
            desk,
            receiver,
        };
        let destination = format!("{{type: webhook, settings: {{url: '{}'}}}}", live.receiver.url());
        live.desk.write("live-destination.yaml", &manifest("Destination", "receiver", &destination)).unwrap();
        // A state of its own, in which nobody else's is looked at.
        let key = format!(", stateKey: live/{:08x}", fastrand::u32(..));
        live.desk.write("live-mapping.yaml", &manifest("Mapping", "crm", &mapping(&key))).unwrap();
        live
    }

    /// Makes the Model: rows `0..ROWS` that `filter` lets pass, and a name that is another one where `renamed` holds.
    fn model(&self, filter: &str, renamed: &str) {
        let quote =
            if ["bigquery", "databricks", "mysql", "clickhouse"].contains(&self.kind.as_str()) { '`' } else { '"' };
        let digit = (1..10).fold("SELECT 0 AS n".to_owned(), |sql, n| format!("{sql} UNION ALL SELECT {n}"));
        let sql = format!(
            "SELECT k AS {quote}id{quote}, CASE WHEN {renamed} THEN 'new' ELSE 'old' END AS {quote}name{quote}, \
             NULLIF('x', 'x') AS {quote}plan{quote} \
             FROM (SELECT a.n + 10 * b.n + 100 * c.n + 1000 * d.n AS k \
             FROM ({digit}) AS a CROSS JOIN ({digit}) AS b CROSS JOIN ({digit}) AS c CROSS JOIN ({digit}) AS d) AS numbers \
             WHERE k < {ROWS} AND {filter}"
        );
        let model = json!({"sourceRef": {"name": self.source}, "sql": sql, "primaryKey": ["id"]});
        self.desk.write("live-model.yaml", &manifest("Model", "customers", &model.to_string())).unwrap();
    }

    async fn does_it_all(self) {
        self.model("k >= 0", "k < 0");
        let said = self.backflow(&["test", "-f", "."]).await;
        assert_eq!(said.code, Some(0), "the check: {said:?}");
        let said = self.backflow(&["preview", "-f", ".", "--model", "customers", "--limit", "3", "-o", "json"]).await;
        let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows.len(), 3, "{said:?}");
        assert!(rows.iter().all(|row| row["name"] == "old" && row["plan"].is_null()), "{rows:?}");

        // A first run dies in the middle, and is none the worse for it.
        self.receiver.script(Script { next: [Fault::Pass].into(), always: Some(Fault::Hold), ..Script::default() });
        let mut dies = self.desk.start(&["run", "-f", "."]).unwrap();
        self.receiver.holding(1).await.unwrap();
        dies.kill().await.unwrap();
        self.receiver.script(Script::default());
        self.receiver.release();
        let status = self.run("after a death").await;
        assert_eq!(status["checkpointAfter"]["rows"], ROWS, "{status}");
        let rows = self.receiver.ledger().rows();
        assert_eq!(rows.len(), ROWS);
        assert_eq!(rows["7"], json!({"id": 7, "name": "old", "plan": null}));

        self.unchanged("nothing changed").await;
        self.model("k NOT IN (11, 12)", "k IN (3, 4, 5)");
        let status = self.run("changes").await;
        assert_eq!(status["extracted"], json!({"added": 0, "updated": 3, "deleted": 2, "invalid": 0}));
        assert_eq!(status["delivered"], json!({"inserted": 0, "updated": 0, "upserted": 3, "deleted": 2}));
        let rows = self.receiver.ledger().rows();
        assert_eq!((rows.len(), &rows["4"]["name"]), (ROWS - 2, &json!("new")));
        self.model("k >= 0", "k IN (3, 4, 5)");
        assert_eq!(self.run("two come back").await["extracted"]["added"], 2);
        self.unchanged("after changes").await;

        // The guard: an empty result deletes nothing.
        self.model("k < 0", "k < 0");
        let before = self.receiver.ledger().items.len();
        let said = self.backflow(&["run", "-f", ".", "-o", "json"]).await;
        let status: Value = serde_json::from_str(said.out.trim()).unwrap();
        assert_eq!(status["delivered"]["deleted"], 0, "{status}");
        assert_eq!(self.receiver.ledger().items.len(), before, "nothing is sent");
        assert_eq!(self.receiver.ledger().rows().len(), ROWS);
        assert_eq!(self.receiver.ledger().violations, Vec::<String>::new());
    }

    async fn backflow(&self, arguments: &[&str]) -> Said {
        self.desk.backflow(arguments).await.unwrap()
    }

    /// Runs it, which must succeed.
    async fn run(&self, what: &str) -> Value {
        let said = self.backflow(&["run", "-f", ".", "-o", "json"]).await;
        assert_eq!(said.code, Some(0), "{what}: {said:?}");
        serde_json::from_str(said.out.trim()).unwrap()
    }

    async fn unchanged(&self, what: &str) {
        let before = self.receiver.ledger().items.len();
        let status = self.run(what).await;
        assert_eq!(status["extracted"], json!({"added": 0, "updated": 0, "deleted": 0, "invalid": 0}), "{what}");
        assert_eq!(self.receiver.ledger().items.len(), before, "{what}");
    }
}
