//! What a person wants to see of a namespace in which a test failed.

use std::process::Command;

use super::operator;

/// Prints objects, events and logs of a namespace, and the controller's log.
pub(super) fn dump(namespace: &str) {
    eprintln!("\n===== namespace {namespace} =====");
    for arguments in [
        "get backflow,jobs,pods -o wide",
        "get events --sort-by=.metadata.creationTimestamp",
        "get backflow -o yaml",
        "get pods -o jsonpath={range.items[*]}{.metadata.name}{\":\\t\"}{.status}{\"\\n\"}{end}",
        "logs --prefix --tail=60 -l backflow.dev/run",
    ] {
        show(namespace, arguments);
    }
    show(operator::NAMESPACE, "get pods -o wide");
    show(operator::NAMESPACE, "logs --prefix --tail=150 -l app.kubernetes.io/component=controller");
}

fn show(namespace: &str, arguments: &str) {
    let output = Command::new(super::kubectl()).args(["-n", namespace]).args(arguments.split(' ')).output();
    eprintln!("----- kubectl -n {namespace} {arguments}");
    match output {
        Ok(output) => {
            eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
        Err(error) => eprintln!("{error}"),
    }
}
