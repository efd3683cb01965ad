//! The API server is killed and comes back: runs go on meanwhile, and the controller catches up without help.
//!
//! Only on a cluster that `cargo xtask cluster up` started: `BACKFLOW_XTASK` is the program that starts it again.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use backflow_crds::v1alpha1::{Mapping, Sync, SyncPhase};
use backflow_tests::cluster::scene::status;
use backflow_tests::cluster::{Scene, processes, root};
use backflow_tests::receiver::{Fault, Script};
use backflow_tests::until;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// Kills the API server and starts it again.
async fn restart() {
    let running = processes(|command| {
        let program = command.split('\0').next().unwrap_or_default();
        Path::new(program).file_name().is_some_and(|name| name == "kube-apiserver")
    });
    let [server] = running.unwrap()[..] else { panic!("there is not exactly one API server on this machine") };
    kill_process(Pid::from_raw(server).unwrap(), Signal::KILL).unwrap();
    // It holds its port until the last of its threads is gone, which a signal only begins.
    let port = kube::Config::infer().await.unwrap().cluster_url.port_u16().unwrap();
    let free = async || TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
    until("the killed API server still has its port", free).await.unwrap();
    let xtask = std::env::var_os("BACKFLOW_XTASK").expect("BACKFLOW_XTASK names no program");
    // It asks cargo's variable which clone is its own.
    let own = root().unwrap().join("xtask");
    let mut up = Command::new(xtask);
    up.args(["cluster", "up"]).env("CARGO_MANIFEST_DIR", own);
    let up = tokio::task::spawn_blocking(move || up.output().unwrap()).await.unwrap();
    assert!(up.status.success(), "{}", String::from_utf8_lossy(&up.stderr));
}

#[tokio::test]
async fn a_restart_of_the_api_server_in_the_middle_of_a_run_changes_nothing() {
    let scene = Scene::with_customers("restart", 20).await.unwrap();
    scene.ready().await.unwrap();
    scene.receiver.script(Script::next([Fault::Hold]));
    let held = scene.create(json!({})).await.unwrap();
    scene.receiver.holding(1).await.unwrap();
    restart().await;
    scene.receiver.release();
    let ended = status(&scene.ended(&held).await.unwrap());
    assert_eq!((ended.phase, ended.delivered.unwrap().upserted), (Some(SyncPhase::Succeeded), 20));

    // The next request is seen, too, and runs once.
    scene.sql("UPDATE customers SET score = 4242").await.unwrap();
    let second = scene.request().await.unwrap();
    assert_eq!(status(&second).phase, Some(SyncPhase::Succeeded));
    assert_eq!(scene.receiver.ledger().items.len(), 40);
    assert_eq!(scene.receiver.ledger().summary().repeated, 0);
    let jobs: Vec<String> = scene.namespace.list::<Job>().await.unwrap().iter().map(Job::name_any).collect();
    let syncs = scene.namespace.list::<Sync>().await.unwrap();
    assert!(syncs.iter().all(|sync| jobs.iter().filter(|job| **job == sync.name_any()).count() == 1), "{jobs:?}");
    assert_eq!((syncs.len(), scene.namespace.list::<Mapping>().await.unwrap().len()), (2, 1));
    scene.end();
}
