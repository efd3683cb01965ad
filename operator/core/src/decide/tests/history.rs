use super::*;

fn finished(name: &str, time: &str, succeeded: bool) -> Stored {
    Stored {
        name: name.to_owned(),
        by_controller: true,
        owner: "uid-1".to_owned(),
        trigger: Trigger::Schedule,
        slot: None,
        started_at: None,
        phase: Phase::Finished { at: monday(time), succeeded },
    }
}

fn pruned(syncs: &[Stored], successful: usize, failed: usize) -> Vec<String> {
    let views: Vec<SyncView<'_>> = syncs
        .iter()
        .map(|sync| SyncView {
            name: &sync.name,
            by_controller: sync.by_controller,
            owned: sync.owner == "uid-1",
            trigger: sync.trigger,
            slot: sync.slot,
            started_at: sync.started_at,
            phase: sync.phase,
        })
        .collect();
    prune(&views, successful, failed).into_iter().map(str::to_owned).collect()
}

#[test]
fn keeps_the_newest_of_each_outcome() {
    let syncs = [
        finished("f", "10:06:00", false),
        finished("a", "10:01:00", true),
        finished("b", "10:02:00", false),
        finished("c", "10:03:00", true),
        finished("d", "10:04:00", false),
        finished("e", "10:05:00", true),
    ];
    assert_eq!(pruned(&syncs, 2, 1), ["a", "b", "d"]);
    assert!(pruned(&syncs, 3, 3).is_empty());
    assert_eq!(pruned(&syncs, 0, 0), ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn never_names_what_is_a_persons_foreign_or_unfinished() {
    let person = Stored { by_controller: false, ..finished("person", "10:00:00", true) };
    let foreign = Stored { owner: "uid-0".to_owned(), ..finished("foreign", "10:00:00", true) };
    let running = Stored { phase: Phase::Running, ..finished("running", "10:00:00", true) };
    let queued = Stored { phase: Phase::Queued, ..finished("queued", "10:00:00", true) };
    assert!(pruned(&[person, foreign, running, queued], 0, 0).is_empty());
}
