//! `backflow validate`: every finding has its file, line, path and cure, and no secret is repeated.

use std::path::Path;

use backflow_tests::cli::{Desk, Said, manifest, mapping};
use serde_json::Value;

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("local/data/cli").join(name).display().to_string()
}

async fn validate(folder: &str, arguments: &[&str]) -> Said {
    let desk = Desk::empty().unwrap();
    let said = desk.backflow(&[&["validate", "-f", folder], arguments].concat()).await.unwrap();
    Said { out: said.out.replace(&format!("{folder}/"), ""), ..said }
}

#[tokio::test]
async fn a_folder_of_mistakes_is_explained_line_by_line() {
    let said = validate(&data("bad"), &[]).await;
    assert_eq!(said.code, Some(64));
    assert_eq!(said.err, "");
    insta::assert_snapshot!("validate_bad", said.out);
}

#[tokio::test]
async fn no_credential_is_repeated() {
    for output in ["text", "json"] {
        let said = validate(&data("bad"), &["-o", output]).await;
        for secret in ["hunter2", "20072007"] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "{}", said.out);
        }
    }
}

#[tokio::test]
async fn json_holds_the_same_findings_with_their_places() {
    let (text, json) = (validate(&data("bad"), &[]).await, validate(&data("bad"), &["-o", "json"]).await);
    assert_eq!(json.code, Some(64));
    let report: Value = serde_json::from_str(&json.out).unwrap();
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len(), text.out.lines().count() - 1);
    for (finding, line) in findings.iter().zip(text.out.lines()) {
        if let Some(at) = finding["line"].as_u64().filter(|at| *at > 0) {
            let place = format!("{}:{at}:{}: ", finding["file"].as_str().unwrap(), finding["column"]);
            assert!(line.starts_with(&place.replace(&format!("{}/", data("bad")), "")), "{line}: {finding}");
        }
        assert!(line.contains(finding["code"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn good_manifests_have_no_findings() {
    let desk = Desk::shop(1, "http://127.0.0.1:1/hook").await.unwrap();
    let said = desk.backflow(&["validate", "-f", "."]).await.unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "4 resources: no findings\n"), "{}", said.err);
}

#[tokio::test]
async fn the_samples_of_definitions_have_no_findings() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/samples");
    let desk = Desk::empty().unwrap();
    for (folder, warnings) in [("definition", 2), ("definition/oauth", 3)] {
        let own = ["definition", "destination", "mapping"].map(|name| format!("{folder}/{name}"));
        let files = own.into_iter().chain(["model".to_owned(), "source".to_owned()]);
        let files: Vec<String> = files.map(|name| samples.join(format!("{name}.yaml")).display().to_string()).collect();
        let arguments: Vec<&str> =
            std::iter::once("validate").chain(files.iter().flat_map(|file| ["-f", file.as_str()])).collect();
        let said = desk.backflow(&arguments).await.unwrap();
        // Its Secrets are the cluster's.
        let others =
            said.out.lines().filter(|line| !line.contains("warning: ") || !line.contains("there is no Secret"));
        let all = format!("5 resources: {warnings} warnings");
        assert_eq!((said.code, others.collect::<Vec<_>>()), (Some(0), vec![all.as_str()]), "{}", said.err);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_definition_is_told_with_the_destination_that_needs_it() {
    let desk = Desk::empty().unwrap();
    let kind = "apiVersion: backflow.dev/v1alpha1\nkind:";
    let definition = format!("{kind} DestinationDefinition\nmetadata: {{name: acme}}\nspec: {{version: 1}}\n");
    desk.write("acme.yaml", &definition).unwrap();
    desk.write("crm.yaml", &manifest("Destination", "crm", "{type: acme}")).unwrap();
    let said = desk.backflow(&["test", "-f", ".", "--destination", "crm"]).await.unwrap();
    assert_eq!(said.code, Some(64), "{}", said.err);
    for words in
        ["DestinationDefinition/acme spec.actions: actions is missing", "Destination/crm spec.type: something is wrong"]
    {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
}

#[tokio::test]
async fn what_the_cluster_may_have_is_a_warning_and_no_error() {
    let desk = Desk::empty().unwrap();
    desk.write("mapping.yaml", &manifest("Mapping", "crm", &mapping(""))).unwrap();
    let said = desk.backflow(&["validate", "-f", "mapping.yaml"]).await.unwrap();
    assert_eq!(said.code, Some(0), "{}", said.out);
    insta::assert_snapshot!(said.out, @r#"
    mapping.yaml:4:25: warning: Mapping/crm spec.modelRef.name: there is no Model "customers" in these manifests; add it, unless the cluster has it already (ModelNotFound)
    mapping.yaml:4:60: warning: Mapping/crm spec.destinationRef.name: there is no Destination "receiver" in these manifests; add it, unless the cluster has it already (DestinationNotFound)
    1 resource: 2 warnings
    "#);
}

#[tokio::test]
async fn standard_input_is_read() {
    use tokio::io::AsyncWriteExt as _;
    let desk = Desk::empty().unwrap();
    let mut child = desk
        .command(&["validate", "-f", "-"])
        .unwrap()
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(manifest("Model", "m", "{sourceRef: {name: s}, sql: select 1, primaryKey: []}").as_bytes())
        .await
        .unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("-:4:"), "{text}");
    assert_eq!(output.status.code(), Some(64));
}

#[tokio::test]
async fn nothing_to_check_is_said_and_is_an_error() {
    let desk = Desk::empty().unwrap();
    std::fs::create_dir(desk.path().join("deeper")).unwrap();
    desk.write("deeper/model.yaml", &manifest("Model", "m", "{sourceRef: {name: s}, sql: select 1, primaryKey: [id]}"))
        .unwrap();
    let said = desk.backflow(&["validate", "-f", "."]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.out.contains("--recursive"), "{}", said.out);
    assert_eq!(desk.backflow(&["validate", "-f", ".", "-R"]).await.unwrap().code, Some(0));

    desk.write("pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n").unwrap();
    let said = desk.backflow(&["validate", "-f", "pod.yaml"]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.out.contains("1 documents of other kinds"), "{}", said.out);

    let said = desk.backflow(&["validate", "-f", "absent"]).await.unwrap();
    assert_eq!(said.code, Some(64));
    assert!(said.out.contains("absent: error: does not exist"), "{}", said.out);
}

#[tokio::test]
async fn wrong_usage_is_64_and_help_is_0() {
    let desk = Desk::empty().unwrap();
    for arguments in [
        &["validate"][..],
        &["run"],
        &["nonsense"],
        &[],
        &["run", "-f", ".", "--mode", "Sideways"],
        &["run", "-f", ".", "--mode", "Test"],
    ] {
        assert_eq!(desk.backflow(arguments).await.unwrap().code, Some(64), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["run", "--help"], &["completions", "bash"]] {
        let said = desk.backflow(arguments).await.unwrap();
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(said.out.contains("backflow"));
    }
}

#[tokio::test]
async fn the_help_reads_well() {
    let desk = Desk::empty().unwrap();
    for command in ["run", "validate", "preview", "test"] {
        let said = desk.backflow(&[command, "--help"]).await.unwrap();
        insta::assert_snapshot!(format!("help_{command}"), said.out);
    }
    insta::assert_snapshot!("help", desk.backflow(&["--help"]).await.unwrap().out);
}
