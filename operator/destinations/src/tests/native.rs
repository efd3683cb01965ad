//! Destinations that are spoken to by code of their own.

use backflow_core::code::Code;
use backflow_definitions::{Delivery, builtin, builtin_ids};
use serde_json::json;

use super::*;
use crate::{check_with, open};

fn postgres(settings: Value) -> DestinationPlan {
    let definition = builtin("postgres").expect("built in");
    DestinationPlan {
        name: "shop".into(),
        kind: "postgres".into(),
        definition_version: definition.version,
        auth: "password".into(),
        settings: serde_json::from_value(settings).expect("an object"),
        secrets: BTreeMap::new(),
        limits: DestinationLimits::default(),
        allow_loopback: false,
        definition: None,
    }
}

#[tokio::test]
async fn every_definition_that_names_code_names_one_that_there_is() {
    let native = builtin_ids().filter_map(builtin).filter(|one| matches!(one.delivery, Delivery::Native { .. }));
    for definition in native {
        let Delivery::Native { name, .. } = &definition.delivery else { continue };
        assert_eq!(name, "postgres", "{}: a test for it is missing here", definition.id);
    }
    let code = |plan: DestinationPlan| async move {
        let definition = builtin("postgres").expect("built in");
        check_with(definition, &plan, &Fixed(&[])).await.expect_err("cannot be").code
    };
    let settings = json!({"host": "127.0.0.1", "port": 1, "database": "shop", "user": "u", "tlsMode": "Disable"});
    assert_eq!(code(postgres(settings.clone())).await, Code::AddressForbidden);
    let mut desk = postgres(settings);
    desk.allow_loopback = true;
    assert_eq!(code(desk.clone()).await, Code::DestinationUnreachable);
    desk.auth = "clientCertificate".into();
    assert_eq!(code(desk.clone()).await, Code::DestinationUnauthorized);
    desk.definition_version += 1;
    assert_eq!(code(desk).await, Code::PlanInvalid);
    assert_eq!(code(postgres(json!({"host": "db"}))).await, Code::PlanInvalid);
}

#[test]
fn a_plan_that_the_definition_does_not_allow_opens_nothing() {
    let plan = postgres(json!({"host": "db", "database": "shop", "user": "u"}));
    let opened = |config: Value| {
        let mut mapping = mapping();
        mapping.action = "upsertRow".into();
        mapping.config = serde_json::from_value(config).expect("an object");
        open(&plan, &mapping, &Fixed(&[]), None, watch::channel(None).1).err().map(|failure| failure.code)
    };
    assert_eq!(opened(json!({"table": "t", "keyColumns": ["id"]})), None);
    assert_eq!(opened(json!({"table": "t"})), Some(Code::PlanInvalid), "no key");
    assert_eq!(opened(json!({"table": "t", "keyColumns": ["id"], "matchBy": "email"})), Some(Code::PlanInvalid), "two");
    assert_eq!(opened(json!({"keyColumns": ["id"]})), Some(Code::PlanInvalid), "no table");
}
