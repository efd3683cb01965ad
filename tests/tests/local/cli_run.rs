//! `backflow run`, `preview` and `test` on SQLite and a receiver on this machine.

use backflow_tests::cli::{Desk, Said, manifest, mapping};
use backflow_tests::receiver::{Expect, Fault, Receiver, Script};
use serde_json::{Value, json};

async fn receiver() -> Receiver {
    Receiver::start(Expect::default()).await.unwrap()
}

/// What the last line of a table says, without the time that it took.
fn row(said: &Said) -> Vec<&str> {
    let lines: Vec<&str> = said.out.lines().collect();
    let head = lines.iter().position(|line| line.starts_with("MAPPING")).unwrap_or_else(|| panic!("{said:?}"));
    let mut words: Vec<&str> = lines[head + 1].split_whitespace().collect();
    words.pop();
    words
}

fn status(said: &Said) -> Value {
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(lines.len(), 1, "{said:?}");
    serde_json::from_str(lines[0]).unwrap()
}

#[tokio::test]
async fn the_first_run_sends_all_rows_and_the_next_ones_only_what_changed() {
    let receiver = receiver().await;
    let desk = Desk::shop(2500, &receiver.url()).await.unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(row(&said), ["crm", "Incremental", "Succeeded", "2500", "0", "0", "0"]);
    assert_eq!(receiver.ledger().rows().len(), 2500);

    desk.sql(
        "insert into customers values (9001, 'a', 'free'), (9002, 'b', 'free'), (9003, 'c', 'free');
              update customers set plan = 'team' where id in (1, 2, 3, 4, 5);
              delete from customers where id in (10, 20);",
    )
    .await
    .unwrap();
    let said = desk.backflow(&["run", "-f", ".", "-o", "json"]).await.unwrap();
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let status = status(&said);
    assert_eq!(status["extracted"], json!({"added": 3, "updated": 5, "deleted": 2, "invalid": 0}));
    assert_eq!(status["delivered"], json!({"inserted": 0, "updated": 0, "upserted": 8, "deleted": 2}));
    assert_eq!(
        (&status["mapping"], &status["mode"], &status["phase"]),
        (&json!("crm"), &json!("Incremental"), &json!("Succeeded"))
    );
    assert_eq!(status["checkpointAfter"]["rows"], 2501);
    assert_eq!(receiver.ledger().items.len(), 2510);

    let before = receiver.ledger().requests.len();
    let said = desk
        .backflow(&["run", "-f", "mapping.yaml", "-f", "model.yaml", "-f", "source.yaml", "-f", "destination.yaml"])
        .await
        .unwrap();
    assert_eq!(row(&said), ["crm", "Incremental", "Succeeded", "0", "0", "0", "0"]);
    assert_eq!(receiver.ledger().requests.len(), before);
    assert_eq!(receiver.ledger().violations, Vec::<String>::new());
    assert_eq!(std::fs::read_dir(desk.temporary()).unwrap().count(), 0, "scratch is removed");

    let said = desk.backflow(&["run", "-f", ".", "--mode", "full"]).await.unwrap();
    assert_eq!(row(&said), ["crm", "Full", "Succeeded", "0", "2501", "0", "0"]);
}

#[tokio::test]
async fn in_a_pipe_progress_is_plain_lines_beside_the_table() {
    let receiver = receiver().await;
    let desk = Desk::shop(3, &receiver.url()).await.unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert!(said.err.lines().all(|line| line.starts_with("crm: ")), "{}", said.err);
    assert!(said.err.contains("crm: sending 3 changes\n") && !said.err.contains('\u{1b}'), "{}", said.err);
    assert!(said.out.starts_with("MAPPING "), "{}", said.out);
}

#[tokio::test]
async fn mappings_run_in_the_order_of_after_and_suspended_ones_when_named() {
    let receiver = receiver().await;
    let desk = Desk::shop(2, &receiver.url()).await.unwrap();
    let after = |name: &str| mapping("").replace("manual: {}", &format!("after: {{mappingRef: {{name: {name}}}}}"));
    desk.write("a.yaml", &manifest("Mapping", "third", &after("second"))).unwrap();
    desk.write("b.yaml", &manifest("Mapping", "second", &after("crm"))).unwrap();
    desk.write("c.yaml", &manifest("Mapping", "paused", &mapping(", suspend: true"))).unwrap();
    let said = desk.backflow(&["run", "-f", ".", "-o", "json"]).await.unwrap();
    let order: Vec<String> = said
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["mapping"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order, ["crm", "second", "third"]);

    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert!(said.err.contains("paused: skipped: it is suspended; --mapping paused runs it"), "{}", said.err);
    let said = desk.backflow(&["run", "-f", ".", "--mapping", "paused"]).await.unwrap();
    assert_eq!(row(&said), ["paused", "Incremental", "Succeeded", "2", "0", "0", "0"]);

    receiver.script(Script::always(Fault::status(401)));
    desk.sql("update customers set plan = 'x'").await.unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("second: skipped: it follows crm, which failed"), "{}", said.err);

    let source = manifest("Source", "shop", "{sqlite: {path: shop.db}, suspend: true}");
    desk.write("source.yaml", &source).unwrap();
    let said = desk.backflow(&["run", "-f", ".", "--mapping", "crm"]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("Source \"shop\" is suspended"), "{}", said.err);
}

#[tokio::test]
async fn exit_codes_tell_failed_from_partial() {
    let receiver = receiver().await;
    let desk = Desk::shop(300, &receiver.url()).await.unwrap();
    receiver.script(Script { poison: ["7".to_owned()].into(), ..Script::default() });
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert_eq!(row(&said), ["crm", "Incremental", "PartiallySucceeded", "300", "0", "0", "1"]);
    assert!(said.out.contains("--retry-rejected"), "{}", said.out);

    receiver.script(Script::default());
    let said = desk.backflow(&["run", "-f", ".", "--retry-rejected"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");

    desk.sql("delete from customers where id > 50").await.unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(
        said.out.contains("250 deletions are withheld") && said.out.contains("--approve-deletes 250"),
        "{}",
        said.out
    );
    assert_eq!(receiver.ledger().rows().len(), 300);
    let said = desk.backflow(&["run", "-f", ".", "--approve-deletes", "250"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(receiver.ledger().rows().len(), 50);

    let said = desk.backflow(&["run", "-f", ".", "--mode", "Reset"]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.out.contains("ConfirmRequired") && said.out.contains("--mode Reset --confirm"), "{}", said.out);
    assert_eq!(desk.backflow(&["run", "-f", ".", "--mode", "Reset", "--confirm"]).await.unwrap().code, Some(0));
}

#[tokio::test]
async fn a_wrong_world_is_a_failed_run_with_its_cure() {
    let gone = receiver().await.url();
    let desk = Desk::shop(1, &gone).await.unwrap();
    let mapped = mapping(", retry: {maxAttempts: 1}");
    desk.write("mapping.yaml", &manifest("Mapping", "crm", &mapped)).unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("crm: DestinationUnreachable: ") || said.out.contains("crm: RetriesExhausted: "),
        "{}",
        said.out
    );

    desk.write(
        "mapping.yaml",
        &manifest("Mapping", "crm", &mapped.replace("include: {columns: ['*']}", "fields: {mail: {column: nmae}}")),
    )
    .unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("ColumnNotFound: fields.mail.column") || said.out.contains("ColumnNotFound"),
        "{}",
        said.out
    );
    assert!(said.out.contains("did you mean \"name\"?"), "{}", said.out);

    desk.write("source.yaml", &manifest("Source", "shop", "{sqlite: {path: absent.db}}")).unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(!desk.path().join("absent.db").exists(), "no empty database is made");
}

#[tokio::test]
async fn wrong_manifests_and_usage_send_nothing() {
    let receiver = receiver().await;
    let desk = Desk::shop(1, &receiver.url()).await.unwrap();
    for (arguments, says) in [
        (&["run", "-f", "source.yaml"][..], "there is no Mapping in these manifests"),
        (
            &["run", "-f", "mapping.yaml"],
            "mapping.yaml:4:25: error: Mapping/crm spec.modelRef.name: there is no Model \"customers\"",
        ),
        (&["run", "-f", ".", "--mapping", "cmr"], "did you mean \"crm\"?"),
        (&["run", "-f", ".", "--secret", "x"], "NAME/KEY=VALUE"),
        (&["run", "-f", ".", "--key", "1"], "--mode Test"),
        (&["run", "-f", "temporary"], "no *.yaml"),
        (&["preview", "-f", ".", "--model", "custmers"], "did you mean \"customers\"?"),
    ] {
        let said = desk.backflow(arguments).await.unwrap();
        assert_eq!(said.code, Some(64), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says) && !said.err.contains("error: mapping.yaml"), "{arguments:?}: {}", said.err);
    }
    desk.write("more.yaml", &manifest("Mapping", "more", &mapping(", wehre: x"))).unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.err.contains("did you mean \"where\"?"), "{}", said.err);
    assert!(receiver.ledger().requests.is_empty());
    assert_eq!(
        desk.backflow(&["run", "-f", ".", "--mapping", "crm"]).await.unwrap().code,
        Some(0),
        "others do not stand in the way"
    );
}

#[tokio::test]
async fn secrets_come_from_flags_then_variables_then_manifests() {
    let receiver = Receiver::start(Expect { token: Some("from-flag".into()), ..Expect::default() }).await.unwrap();
    let desk = Desk::shop(1, &receiver.url()).await.unwrap();
    let spec = format!(
        "{{type: webhook, settings: {{url: '{}'}}, secrets: {{authToken: {{secretKeyRef: {{name: crm.eu, key: token}}}}}}}}",
        receiver.url()
    );
    desk.write("destination.yaml", &manifest("Destination", "receiver", &spec)).unwrap();
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    for cure in
        ["crm: SecretNotFound: ", "Secret manifest", "--secret crm.eu/token=@FILE", "BACKFLOW_SECRET_CRM_EU_TOKEN"]
    {
        assert!(said.out.contains(cure), "{}", said.out);
    }
    // Each source is tried with the others wrong: the right token passes, any other gets 401.
    let run = async |manifest: &str, variable: Option<&str>, flag: Option<&str>| {
        desk.write(
            "secret.yaml",
            &format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: crm.eu}}\nstringData: {{token: {manifest}}}\n"),
        )
        .unwrap();
        desk.sql("update customers set plan = plan || 'x'").await.unwrap();
        let mut arguments = vec!["run", "-f", "."];
        arguments.extend(flag.iter().flat_map(|flag| ["--secret", flag]));
        let mut command = desk.command(&arguments).unwrap();
        if let Some(variable) = variable {
            command.env("BACKFLOW_SECRET_CRM_EU_TOKEN", variable);
        }
        let output = command.output().await.unwrap();
        let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!all.contains("from-flag") && !all.contains("wrong-one"), "{all}");
        output.status.code()
    };
    assert_eq!(run("from-flag", None, None).await, Some(0));
    assert_eq!(run("wrong-one", None, None).await, Some(1));
    assert_eq!(run("wrong-one", Some("from-flag"), None).await, Some(0));
    assert_eq!(run("wrong-one", Some("wrong-one"), Some("crm.eu/token=from-flag")).await, Some(0));
    desk.write("token.txt", "from-flag\n").unwrap();
    assert_eq!(run("wrong-one", None, Some("crm.eu/token=@token.txt")).await, Some(0));
    assert_eq!(run("wrong-one", None, Some("crm.eu/token=@absent.txt")).await, Some(64));
}

#[tokio::test]
async fn an_interrupt_keeps_what_was_acknowledged_and_a_second_one_ends_at_once() {
    let receiver = receiver().await;
    let desk = Desk::shop(5000, &receiver.url()).await.unwrap();
    receiver.script(Script::next([Fault::Pass, Fault::Hold, Fault::Hold, Fault::Hold, Fault::Hold]));
    let child = desk.start(&["run", "-f", ".", "-o", "json"]).unwrap();
    // The first batch goes alone, then as many as the definition allows.
    receiver.holding(4).await.unwrap();
    let mut said = interrupt(child, 1).await;
    receiver.release();
    let output = said.finish().await;
    assert_eq!(output.code, Some(130), "{output:?}");
    let status = status(&output);
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Canceled"), &json!("Canceled")));
    assert!(status["delivered"]["upserted"].as_i64().unwrap() >= 200, "{status}");
    assert_eq!(std::fs::read_dir(desk.temporary()).unwrap().count(), 0, "scratch is removed");

    receiver.script(Script::default());
    let sent = status["delivered"]["upserted"].as_i64().unwrap();
    let said = desk.backflow(&["run", "-f", ".", "-o", "json"]).await.unwrap();
    assert_eq!(self::status(&said)["delivered"]["upserted"], 5000 - sent);

    desk.sql("update customers set plan = 'y'").await.unwrap();
    receiver.script(Script::always(Fault::Hold));
    let child = desk.start(&["run", "-f", "."]).unwrap();
    receiver.holding(1).await.unwrap();
    let output = interrupt(child, 2).await.finish().await;
    assert_eq!(output.code, Some(130), "{output:?}");
    assert_eq!(std::fs::read_dir(desk.temporary()).unwrap().count(), 0, "scratch is removed");
}

struct Interrupted {
    child: tokio::process::Child,
    err: tokio::io::BufReader<tokio::process::ChildStderr>,
    read: String,
}

/// Sends SIGINT as often as said, each time after the one before was noticed.
async fn interrupt(mut child: tokio::process::Child, times: usize) -> Interrupted {
    use tokio::io::AsyncBufReadExt as _;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    let mut err = tokio::io::BufReader::new(child.stderr.take().unwrap());
    let mut read = String::new();
    for _ in 0..times {
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        while !read.contains("Stopping after the batch in flight") && err.read_line(&mut read).await.unwrap() > 0 {}
    }
    Interrupted { child, err, read }
}

impl Interrupted {
    async fn finish(&mut self) -> Said {
        use tokio::io::AsyncReadExt as _;
        let (mut out, mut err) = (String::new(), std::mem::take(&mut self.read));
        self.child.stdout.take().unwrap().read_to_string(&mut out).await.unwrap();
        self.err.read_to_string(&mut err).await.unwrap();
        Said { code: self.child.wait().await.unwrap().code(), out, err }
    }
}

#[tokio::test]
async fn preview_shows_rows_and_sends_nothing() {
    let receiver = receiver().await;
    let desk = Desk::shop(20, &receiver.url()).await.unwrap();
    let said = desk.backflow(&["preview", "-f", ".", "--limit", "2"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    insta::assert_snapshot!(said.out, @r"
    id   name         plan
    1    customer 1   free
    2    customer 2   free
    ");
    let said =
        desk.backflow(&["preview", "-f", ".", "--model", "customers", "--limit", "1", "-o", "json"]).await.unwrap();
    assert_eq!(said.out, "{\"id\":1,\"name\":\"customer 1\",\"plan\":\"free\"}\n");
    desk.write(
        "model.yaml",
        &manifest("Model", "customers", "{sourceRef: {name: shop}, sql: selec 1, primaryKey: [id]}"),
    )
    .unwrap();
    let said = desk.backflow(&["preview", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("Model/customers: SqlError: "), "{}", said.err);
    assert!(receiver.ledger().requests.is_empty());
}

#[tokio::test]
async fn test_tries_everything_and_with_a_key_sends_one_record() {
    let receiver = receiver().await;
    let desk = Desk::shop(3, &receiver.url()).await.unwrap();
    let said = desk.backflow(&["test", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let kinds: Vec<&str> = said.out.lines().map(|line| line.split(['/', ':']).next().unwrap()).collect();
    assert_eq!(kinds, ["ok      Source", "ok      Model", "ok      Destination", "ok      Mapping"]);
    assert!(receiver.ledger().requests.is_empty());

    let said = desk.backflow(&["test", "-f", ".", "--key", "2"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(receiver.ledger().items.len(), 1);
    assert!(said.out.contains("request: {\"id\":2,"), "{}", said.out);
    let said = desk.backflow(&["run", "-f", "."]).await.unwrap();
    assert_eq!(row(&said), ["crm", "Incremental", "Succeeded", "3", "0", "0", "0"], "a test is not remembered");

    desk.write(
        "mapping.yaml",
        &manifest(
            "Mapping",
            "crm",
            &mapping("").replace("include: {columns: ['*']}", "fields: {mail: {column: nmae}}"),
        ),
    )
    .unwrap();
    let said = desk.backflow(&["test", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.out.contains("FAILED  Mapping/crm: mapping.yaml:4:") && said.out.contains("did you mean \"name\"?"),
        "{}",
        said.out
    );
    let said = desk.backflow(&["test", "-f", ".", "--source", "shop", "-o", "json"]).await.unwrap();
    assert_eq!(status(&said)["ok"], true);
}

#[tokio::test]
async fn lists_of_choices_are_named_with_what_takes_their_values() {
    let desk = Desk::empty().unwrap();
    let spec = "{type: hubspot, secrets: {accessToken: {secretKeyRef: {name: crm, key: token}}}}";
    desk.write("destination.yaml", &manifest("Destination", "crm", spec)).unwrap();
    // The account is not asked: its Secret is not even there.
    let said = desk.backflow(&["discover", "-f", ".", "--destination", "crm"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{said:?}");
    let lines: Vec<Vec<&str>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["LIST", "FOR"], "{said:?}");
    assert!(lines.iter().any(|line| line[..] == ["customObjects", "upsertObject", "config.object"]), "{said:?}");
    let said = desk.backflow(&["discover", "-f", ".", "-o", "json"]).await.unwrap();
    assert!(said.out.contains(r#""usedBy":["upsertObject config.object"]"#), "{said:?}");
    let said = desk.backflow(&["discover", "-f", ".", "nothing"]).await.unwrap();
    assert!(said.code == Some(64) && said.err.contains("customObjects"), "{said:?}");
    let said = desk.backflow(&["discover", "-f", ".", "customObjects"]).await.unwrap();
    assert!(said.code == Some(1) && said.err.contains("SecretNotFound"), "{said:?}");
}
