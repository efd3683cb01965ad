//! No credential, row, query string or word of a receiver shows in a log line, a failure or a rejection, whatever goes wrong.

use std::io;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use backflow_core::record::{Outcome, Record};
use backflow_core::selection::Operation;
use backflow_tests::receiver::{Expect, Fault, Receiver, RetryAfter, Script};
use backflow_tests::webhook::{Webhook, random_secret};
use serde_json::json;
use tracing_subscriber::fmt::MakeWriter;

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Set in the process that looks at its log.
const ALONE: &str = "BACKFLOW_TEST_ALONE";

/// What is logged is the process's, so this test is one of its own: itself, once more.
#[tokio::test]
async fn nothing_private_is_ever_printed() {
    if std::env::var_os(ALONE).is_none() {
        let name = "delivery_redaction::nothing_private_is_ever_printed";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let output = alone.args(["--exact", name]).env(ALONE, "1").stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let canary = random_secret("canary");
    let expect = Expect { token: Some(format!("{canary}T")), signing_key: Some(format!("{canary}S")), print: false };
    let data = json!({"email": canary}).to_string();
    let record = |n: u32| Record {
        id: format!("\"{canary}{n}\""),
        op: Operation::Upsert,
        memory: backflow_core::change::Memory::default(),
        data: data.clone(),
        key: format!("{n:022}"),
    };
    let batch: Vec<Record> = (0..4).map(record).collect();

    let throttle = Fault::Status { status: 429, retry_after: Some(RetryAfter::Seconds(1)) };
    // The receiver repeats the request's body in these answers.
    let faults = [400, 401, 403, 404, 413, 422, 500, 302, 501].map(Fault::status).into_iter();
    let mut texts = String::new();
    let (mut rejected, mut stopped) = (0, 0);
    for fault in faults.chain([throttle, Fault::Html, Fault::Reset, Fault::LostAnswer]) {
        let receiver = Receiver::start(expect.clone()).await.unwrap();
        receiver.script(Script::always(fault));
        let url = format!("{}?token={canary}", receiver.url());
        let webhook = Webhook::new(&url).expected(&expect).setting("headers", json!({"X-Team": canary})).retry(2, 60);
        let (sink, _stop) = webhook.open().unwrap();
        let delivery = sink.deliver(&batch).await;
        stopped += usize::from(delivery.stop.is_some());
        rejected += delivery.outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Rejected(_))).count();
        texts.push_str(&format!("{delivery:?} {:?}", delivery.stop.as_ref().map(ToString::to_string)));
        texts.push_str(&format!("{:?}", webhook.check().await));
        drop(receiver);
        texts.push_str(&format!("{:?}", webhook.check().await));
    }
    let unresolved = Webhook::new(&format!("http://no-such-host.invalid/?{canary}")).expected(&expect).check().await;
    texts.push_str(&format!("{unresolved:?}"));

    assert_eq!((rejected, stopped), (12, 10), "the faults had their effects");
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("trying a batch again"), "the log is heard");
    for (what, text) in [("texts", &texts), ("log", &log)] {
        assert!(!text.contains(&canary), "{what}: {}", text.replace(&canary, "<<canary>>"));
    }
}
