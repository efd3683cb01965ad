//! State that a version of each format wrote, kept as files: every later version reads it, and finds in it what was put there.
//!
//! `tests/state-v<format>/` holds `head.json` (the head's columns), `partition-<generation>-<index>` and `segment-<number>`; that of
//! format 1 also the idempotency key that the deletion of row 1 had. These files never change; a format 3 gets a folder of its own
//! beside them: with `BACKFLOW_WRITE_STATE=1` a folder that is not there is written.

use std::path::PathBuf;

use backflow_core::state::{Head, PartitionId};

use super::records::{by_name_in_plan, change, run, run_and_find};
use super::*;
use ChangeKind::{Deleted, Updated};

fn folder(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/state-v{format}"))
}

/// A place whose store holds the files.
fn stored(format: u32, place: Place) -> Place {
    place.store.get(|contents| {
        for file in std::fs::read_dir(folder(format)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bytes = std::fs::read(&path).unwrap();
            let mut parts = name.split('-').skip(1).map_while(|part| part.parse::<u64>().ok());
            if name.starts_with("partition-") {
                let id = PartitionId { generation: parts.next().unwrap(), index: parts.next().unwrap() as u32 };
                contents.partitions.insert(id, bytes);
            } else if name.starts_with("segment-") {
                contents.segments.insert(parts.next().unwrap(), bytes);
            } else if name == "head.json" {
                contents.head = Some(serde_json::from_slice::<Head>(&bytes).unwrap());
            }
        }
    });
    place
}

/// Writes the files of the current format.
fn write(place: &Place) {
    let folder = folder(crate::diff::packed::FORMAT);
    std::fs::create_dir(&folder).unwrap();
    place.store.get(|contents| {
        for (id, bytes) in &contents.partitions {
            std::fs::write(folder.join(format!("partition-{}-{}", id.generation, id.index)), bytes).unwrap();
        }
        for (number, bytes) in &contents.segments {
            std::fs::write(folder.join(format!("segment-{number}")), bytes).unwrap();
        }
        std::fs::write(folder.join("head.json"), serde_json::to_string_pretty(&contents.head).unwrap()).unwrap();
    });
}

/// The rows that the state was made of: 1 and 2 as delivered, 3 rejected, 4 seen, 5 deleted, 6 an update that was rejected and only in
/// the journal. In the journal are also two changes that were handed out and not acknowledged: an update of 2, and 7, which is not here.
fn rows() -> Table {
    table(&[(1, "a", "x"), (2, "NULL", "x"), (3, "c", "x"), (4, "d", "x"), (6, "G", "x")])
}

#[tokio::test]
async fn state_of_format_1_is_read() {
    let place = stored(1, Place::new(SyncMode::Mirror));
    let mut extraction = place.open("next", &rows()).await.unwrap();
    let found = extraction.findings().clone();
    assert_eq!((found.known, found.still_rejected), (4, 2));
    assert_eq!((found.added, found.updated, found.deleted, found.doubtful), (0, 1, 1, 2));
    assert_eq!(extraction.checkpoint().rows, 4);
    assert_eq!(extraction.checkpoint().sync_name.as_deref(), Some("r3"));
    let deleted = page(&mut extraction, 9).await;
    assert_eq!((deleted.len(), id(&deleted[0]), deleted[0].memory.match_key.as_deref()), (1, 7, Some("\"h\"")));
    assert_eq!(id(&page(&mut extraction, 9).await[0]), 2, "as it was delivered, and sent again");
    drop(extraction);

    let changed = table(&[(2, "", "x"), (3, "C", "x"), (5, "e", "x"), (6, "g", "x"), (7, "h", "x")]);
    let mut extraction = place.open("after", &changed).await.unwrap();
    let deleted = page(&mut extraction, 9).await;
    let updated = page(&mut extraction, 9).await;
    let added = page(&mut extraction, 9).await;
    let of = |changes: &[Change]| {
        let mut all: Vec<_> = changes.iter().map(|change| (id(change), change.rev, change.unsent)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(of(&deleted), [(1, 1, false), (4, 1, true)]);
    // Of 2 and 7 a run before this one has handed out something else, or the same.
    assert_eq!(of(&updated), [(2, 5, false)]);
    assert_eq!(of(&added), [(3, 1, false), (5, 2, false), (7, 5, false)]);
    let one = deleted.iter().find(|change| id(change) == 1).unwrap();
    let memory = Memory { match_key: Some("m".into()), group_key: Some("g".into()), remote_id: Some("77".into()) };
    assert_eq!(one.memory, memory);
    assert_eq!(
        place.key(extraction.as_ref(), one),
        std::fs::read_to_string(folder(1).join("idempotency-key")).unwrap().trim()
    );
}

/// 1 stood for the record `a` and then for `z`, and `a` passed on to 4, which was never sent. Of 3, a deletion was handed out twice and not
/// acknowledged.
async fn write_format_2() {
    let place = by_name_in_plan(SyncMode::Mirror);
    run(&place, "r1", &table(&[(1, "a", "list"), (2, "b", "list"), (3, "c", "list")])).await;
    let rows = table(&[(1, "z", "list"), (2, "b", "list"), (3, "c", "list"), (4, "a", "list")]);
    let mut extraction = place.open("r2", &rows).await.unwrap();
    let updated = extraction.next_page(Updated, 9).await.unwrap();
    let delivered = |change: Change| {
        let verdict = Verdict::Delivered((place.identify.as_ref().unwrap())(&change.row.cells()));
        Ack { change, verdict }
    };
    extraction.commit(updated.into_iter().map(delivered).collect(), &Counters::default()).await.unwrap();
    extraction.finish(&Counters::default(), Phase::PartiallySucceeded).await.unwrap();
    for crashed in ["r3", "r4"] {
        let mut extraction = place.open(crashed, &table(&[(1, "z", "list"), (2, "b", "list")])).await.unwrap();
        assert_eq!(extraction.next_page(Deleted, 9).await.unwrap().len(), 2);
    }
    write(&place);
}

#[tokio::test]
async fn state_of_format_2_is_read() {
    if std::env::var_os("BACKFLOW_WRITE_STATE").is_some() {
        write_format_2().await;
    }
    let place = stored(2, by_name_in_plan(SyncMode::Mirror));
    let rows = table(&[(1, "z", "list"), (2, "b", "list"), (3, "c", "list")]);
    let (sent, found) = run_and_find(&place, "next", &rows).await;
    assert_eq!(sent, [change(Deleted, 1, "a", "list"), change(Updated, 3, "c", "list")]);
    assert_eq!((found.known, found.doubtful), (3, 1));
    assert!(run(&place, "after", &rows).await.is_empty());
}
