use serde_json::json;

use super::*;

fn run() -> Key {
    Key::new("ns", "crm-1")
}

fn pod(name: &str, job: &str) -> PodView {
    PodView { name: name.into(), job: Some(job.into()), ..PodView::default() }
}

fn terminated(message: &str) -> Option<Terminated> {
    Some(Terminated { message: Some(message.into()), ..Terminated::default() })
}

#[test]
fn the_message_of_a_deleted_pod_is_kept() {
    let runs = Runs::default();
    runs.saw_pod(run(), PodView { terminated: terminated("result"), ..pod("a", "job") }, Seen::Present);
    // A late event may show the pod as it was before.
    runs.saw_pod(run(), pod("a", "job"), Seen::Deleted);
    let pods = runs.pods(&run(), None);
    assert_eq!((pods[0].gone, pods[0].terminated.clone()), (true, terminated("result")));
}

#[test]
fn a_message_that_comes_with_the_deletion_is_read() {
    let runs = Runs::default();
    runs.saw_pod(run(), PodView { terminated: terminated("result"), ..pod("a", "job") }, Seen::Deleted);
    assert_eq!(runs.pods(&run(), Some("job"))[0].terminated, terminated("result"));
}

#[test]
fn pods_of_an_earlier_job_of_the_same_name_do_not_count() {
    let runs = Runs::default();
    runs.saw_pod(run(), pod("a", "old"), Seen::Present);
    runs.saw_pod(run(), pod("b", "new"), Seen::Present);
    assert_eq!(runs.pods(&run(), Some("new")).len(), 1);
}

#[test]
fn a_list_without_a_pod_means_that_it_is_gone() {
    let runs = Runs::default();
    runs.saw_pod(run(), pod("a", "job"), Seen::Present);
    assert_eq!(runs.retain_pods(Some("other"), &BTreeSet::new()), Vec::<Key>::new());
    assert_eq!(runs.retain_pods(Some("ns"), &BTreeSet::new()), [run()]);
    assert!(runs.pods(&run(), None)[0].gone);
}

#[test]
fn a_closed_run_is_forgotten() {
    let runs = Runs::default();
    runs.saw_pod(run(), pod("a", "job"), Seen::Present);
    runs.close(&run());
    assert!(runs.pods(&run(), None).is_empty());
}

#[test]
fn what_a_watch_has_shown_of_a_job_is_newer_than_its_creation() {
    let job = |version: &str| JobMeta { uid: "job".into(), version: Some(version.into()), ..JobMeta::default() };
    let runs = Runs::default();
    runs.created(run(), job("1"), JobState::default());
    assert_eq!((runs.job(&run()).as_deref(), runs.state(&run())), (Some(&job("1")), Some(JobState::default())));
    runs.saw_job(run(), job("2"), Seen::Present);
    runs.created(run(), job("1"), JobState::default());
    assert_eq!((runs.job(&run()).as_deref(), runs.state(&run())), (Some(&job("2")), None), "it must be read");
}

#[test]
fn only_terminal_conditions_end_a_job() {
    let job = |type_: &str| -> Job {
        let condition = json!({"type": type_, "status": "True", "reason": "BackoffLimitExceeded"});
        serde_json::from_value(json!({"metadata": {}, "status": {"conditions": [condition]}})).unwrap()
    };
    assert!(JobState::of(&job("Complete")).complete);
    assert_eq!(JobState::of(&job("Failed")).failed.as_deref(), Some("BackoffLimitExceeded"));
    assert!(!JobState::of(&job("FailureTarget")).is_finished());
    assert!(!JobState::of(&job("SuccessCriteriaMet")).is_finished());
}

#[test]
fn a_pod_is_read_without_its_plan() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "crm-1-x",
            "annotations": {"backflow.dev/plan": "x".repeat(1000), "backflow.dev/token": "t"},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "crm-1", "uid": "job", "controller": true}],
        },
        "status": {"podIP": "10.0.0.1", "containerStatuses": [{"name": "worker", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"terminated": {"exitCode": 20, "reason": "Error", "message": "{}"}}}]},
    }))
    .unwrap();
    let view = PodView::of(&pod);
    assert_eq!(
        (view.job.as_deref(), view.token.as_deref(), view.ip.as_deref()),
        (Some("job"), Some("t"), Some("10.0.0.1"))
    );
    assert_eq!(view.terminated.unwrap().exit_code, 20);
}
