//! What requests are made of records: encodings, groups, bounds, rates.

use super::*;

pub(super) fn with(operations: &'static str) -> Made {
    Made { operations, ..Made::default() }
}

#[tokio::test]
pub(super) async fn a_batch_is_one_document_with_headers_query_and_path() {
    let made = Made {
        http: "headers: {X-Version: v1}",
        operations: r#"
      - for: [upsert]
        request:
          method: PUT
          path: "/lists/${cfg.list}/${settings.user}/x"
          query: {size: "${batch.size}", tag: "${['a b', 'c']}", none: "${optional.none()}"}
          headers: {Idempotency-Key: "${batch.id}"}
          item: {key: "${rec.key}", gone: "${rec.?match}", data: "${f}"}
          body: {op: "${batch.op}", records: $items, extra: {list: "${cfg.list}"}}
        results: {mode: whole}
"#,
        ..Made::default()
    };
    let server = always(Answer::status(200)).await;
    let delivery = made.deliver(&server, &records(2)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("+ +", 1));
    let request = &server.received()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("PUT", "/lists/main/ada/x?size=2&tag=a+b&tag=c"));
    assert_eq!((request.header("content-type"), request.header("x-version")), (Some("application/json"), Some("v1")));
    assert_eq!(request.header("idempotency-key").map(str::len), Some(22));
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("backflow/")));
    let body = request.json();
    assert_eq!(
        (&body["op"], &body["extra"], body["records"].as_array().map(Vec::len)),
        (&json!("upsert"), &json!({"list": "main"}), Some(2))
    );
    assert_eq!(
        body["records"][1],
        json!({"key": "key-000000000000000001", "data": {"n": 1, "email": "u1-canary@example.com"}})
    );
    assert_eq!(delivery.bytes, request.body.len() as u64);
}

#[tokio::test]
pub(super) async fn bodies_are_lines_forms_tables_and_texts() {
    let body = |operations: &'static str| async move {
        let server = always(Answer::status(200)).await;
        assert_eq!(marks(&with(operations).deliver(&server, &records(2)).await), "+ +");
        let request = server.received().remove(0);
        (request.header("content-type").unwrap_or_default().to_owned(), request.text())
    };
    let lines = body(
        r#"
      - for: [upsert]
        request: {method: POST, path: /, encoding: ndjson, item: [{index: "${rec.id}"}, {num: "${f.?n}"}]}
        results: {mode: whole}
"#,
    );
    assert_eq!(
        lines.await,
        ("application/x-ndjson".into(), "{\"index\":0}\n{\"num\":0}\n{\"index\":1}\n{\"num\":1}\n".into())
    );
    let table = body(
        r##"
      - for: [upsert]
        request: {method: POST, path: /, encoding: csv, csv: {"null": "#N/A"}, item: {num: "${f.?n}", none: null, who: "${f.?email}"}}
        results: {mode: whole}
"##,
    );
    assert_eq!(
        table.await,
        ("text/csv".into(), "num,none,who\n0,#N/A,u0-canary@example.com\n1,#N/A,u1-canary@example.com\n".into())
    );
    let form = body(
        r#"
      - for: [upsert]
        request: {method: POST, path: /, encoding: form, item: {num: "${f.?n}"}, body: {events: $items, list: "${cfg.list}", a: {b: [1, x y]}}}
        results: {mode: whole}
"#,
    );
    let expected =
        "events=%5B%7B%22num%22%3A0%7D%2C%7B%22num%22%3A1%7D%5D&list=main&a%5Bb%5D%5B0%5D=1&a%5Bb%5D%5B1%5D=x+y";
    let (kind, mut text) = form.await;
    // The order of pairs is the definition's.
    assert_eq!(kind, "application/x-www-form-urlencoded");
    for pair in expected.split('&') {
        assert!(text.contains(pair), "{pair} in {text}");
        text = text.replacen(pair, "", 1);
    }
    let text = body(
        r#"
      - for: [upsert]
        batch: {maxRecords: 2}
        request: {method: POST, path: /, encoding: text, contentType: text/xml, item: "${f.?n}", body: "<n>${items.map(i, string(i)).join(',')}</n>"}
        results: {mode: whole}
"#,
    );
    assert_eq!(text.await, ("text/xml".into(), "<n>0,1</n>".into()));
}

#[tokio::test]
async fn bodies_may_be_compressed() {
    use std::io::Read as _;
    let server = always(Answer::status(200)).await;
    assert_eq!(marks(&Made { http: "compress: gzip", ..Made::default() }.deliver(&server, &records(2)).await), "+ +");
    let request = &server.received()[0];
    assert_eq!(request.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*request.body).read_to_string(&mut text).unwrap();
    assert!(text.starts_with("{\"records\":[{"), "{text}");
}

#[tokio::test]
async fn one_record_a_request_may_stand_in_its_path() {
    let made = Made {
        action: "batch: {maxRecords: 1}",
        operations: r#"
      - for: [upsert]
        request: {method: PATCH, path: "/people/${rec.id}/${f.?email.orValue('-')}", body: {num: "${f.?n}"}}
        results: {mode: whole}
"#,
        ..Made::default()
    };
    let server = always(Answer::status(200)).await;
    let mut strange = records(1);
    strange[0].data = json!({"n": 1, "email": "../a/b?c#d"}).to_string();
    let sink = made.open(&server);
    assert_eq!(sink.limits().max_records, 1);
    assert_eq!(marks(&sink.deliver(&strange).await), "+");
    assert_eq!(server.received()[0].target, "/people/0/..%2Fa%2Fb%3Fc%23d");
}

#[tokio::test]
async fn values_cannot_inject_headers() {
    let made = Made {
        action: "batch: {maxRecords: 1}",
        operations: r#"
      - for: [upsert]
        request: {method: POST, path: /, headers: {X-Who: "${f.?email.orValue('')}"}, body: {num: 1}}
        results: {mode: whole}
"#,
        ..Made::default()
    };
    let server = always(Answer::status(200)).await;
    let mut evil = records(1);
    evil[0].data = json!({"email": "a\r\nX-Admin: yes-canary"}).to_string();
    let delivery = made.deliver(&server, &evil).await;
    assert_eq!(marks(&delivery), "!DEFINITION_ERROR");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn groups_never_share_a_request_and_the_first_bounds_hold() {
    let made = Made {
        action: "batch: {maxRecords: 100, maxBytes: 1KB, maxRecordBytes: 300, groupBy: [\"${f.?team}\"]}",
        operations: r#"
      - for: [upsert]
        batch: {maxRecords: 3}
        request: {method: POST, path: "/teams/${string(batch.group[0])}", item: {key: "${rec.key}", data: "${f}"}, body: {records: $items}}
        results: {mode: whole}
"#,
        ..Made::default()
    };
    let server = always(Answer::status(200)).await;
    let mut batch: Vec<Record> = (0..8)
        .map(|n| {
            record(
                n,
                Operation::Upsert,
                &json!({"n": n, "team": if n % 2 == 0 { "a" } else { "b" }, "x": "y".repeat(100)}),
            )
        })
        .collect();
    batch.push(record(8, Operation::Upsert, &json!({"n": 8, "team": "a", "x": "y".repeat(400)})));
    let delivery = made.deliver(&server, &batch).await;
    assert_eq!(marks(&delivery), "+ + + + + + + + !TOO_LARGE");
    let sent: Vec<(String, Vec<u64>)> =
        server.received().iter().map(|request| (request.target.clone(), numbers(request))).collect();
    let sent: Vec<(&str, &[u64])> = sent.iter().map(|(path, numbers)| (path.as_str(), numbers.as_slice())).collect();
    assert_eq!(sent, [("/teams/a", &[0, 2, 4][..]), ("/teams/b", &[1, 3, 5]), ("/teams/a", &[6]), ("/teams/b", &[7])]);
}

#[tokio::test]
async fn of_records_with_one_key_one_is_sent_and_the_others_share_its_outcome() {
    let made =
        Made { action: "batch: {maxRecords: 100, dedupe: {key: \"${f.?email}\", keep: last}}", ..Made::default() };
    let server = always(Answer::status(422)).await;
    let same = |n| record(n, Operation::Upsert, &json!({"n": n, "email": "same"}));
    let delivery = made.deliver(&server, &[same(0), same(1), same(2)]).await;
    assert_eq!(marks(&delivery), "!HTTP_422 !HTTP_422 !HTTP_422");
    assert_eq!(server.received().iter().map(numbers).collect::<Vec<_>>(), [vec![2]]);
}

#[tokio::test]
async fn operations_go_apart_unless_a_request_may_hold_several() {
    let batch = || {
        vec![
            record(0, Operation::Upsert, &json!({"n": 0})),
            record(1, Operation::Delete, &json!({})),
            record(2, Operation::Upsert, &json!({"n": 2})),
        ]
    };
    for (action, requests) in [("batch: {maxRecords: 100}", 2), ("batch: {maxRecords: 100, mixedOps: true}", 1)] {
        let server = always(Answer::status(200)).await;
        assert_eq!(marks(&Made { action, ..Made::default() }.deliver(&server, &batch()).await), "+ + +");
        assert_eq!(server.received().len(), requests, "{action}");
    }
}

#[tokio::test]
async fn rates_count_by_weight_and_by_path() {
    let limits = r#"rate:
    - {id: records, requests: 4, per: 24h, weight: "${batch.size}"}
    - {id: elsewhere, requests: 1, per: 24h, match: {path: "/other*"}}"#;
    let asked = "check: {request: {method: GET, path: /others}}";
    let made = Made { limits, asked, action: "batch: {maxRecords: 2}", ..Made::default() };
    let server = always(Answer::status(200)).await;
    let delivery = made.deliver(&server, &records(10)).await;
    assert_eq!((marks(&delivery).as_str(), delivery.requests), ("+ + + + ~ ~ ~ ~ ~ ~", 2));
    assert_eq!(code(&delivery), Some(Code::RetriesExhausted));
    let here = limits.replace("/other*", "/rec*");
    let made = Made { limits: Box::leak(here.into_boxed_str()), ..made };
    assert_eq!(made.deliver(&server, &records(10)).await.requests, 1);
}

#[tokio::test]
async fn an_answer_that_says_none_left_stops_the_next_requests() {
    let limits = "headers: {remaining: x-left, resetSeconds: x-reset}";
    let server = always(Answer::status(200).header("x-left", "0").header("x-reset", "3600")).await;
    let sink = Made { limits, ..Made::default() }.open(&server);
    assert_eq!(marks(&sink.deliver(&records(1)).await), "+");
    assert!(sink.throttled().is_some_and(|left| left.as_secs() > 3500));
}

#[tokio::test]
async fn what_is_about_one_record_never_goes_side_by_side() {
    use crate::delivery::Transport as _;
    let lanes = |action: &'static str| {
        let definition = Made { action, ..Made::default() }.definition();
        let plan = destination(definition, "http://127.0.0.1:9", &[]);
        let opening = crate::open::Opening::new(definition, &plan, &Fixed(&[]), None).unwrap();
        let mut batch = records(3);
        for (record, key) in batch.iter_mut().zip(["\"a\"", "\"b\"", "\"a\""]) {
            record.memory.match_key = Some(key.into());
        }
        opening.action(&mapping()).unwrap().0.prepare(&batch).lanes
    };
    let keyed = lanes("batch: {maxRecords: 100}");
    assert!(keyed.len() == 3 && keyed[0] == keyed[2] && keyed[0] != keyed[1], "{keyed:?}");
    assert_eq!(lanes("batch: {maxRecords: 100}\n    ordering: serial"), [0]);
    assert!(lanes("batch: {maxRecords: 100}\n    ordering: none").is_empty());
}

#[tokio::test]
async fn no_body_is_larger_than_the_destination_takes() {
    let action = "batch: {maxRecords: 1000, maxBytes: 10KB}";
    let server = always(Answer::status(200)).await;
    let delivery = Made { action, ..Made::default() }.deliver(&server, &records(500)).await;
    assert_eq!(marks(&delivery), ["+"; 500].join(" "));
    let around = "{\"records\":}".len();
    assert!(server.received().iter().all(|request| request.body.len() <= 10_000 + around));
    assert!(delivery.requests < 8, "{} requests", delivery.requests);
}
