//! Damaged, foreign and newer state is refused, and never read wrongly.

use super::*;

/// A place with partitions and a journal.
async fn used() -> (Place, Table) {
    let place = Place::new(SyncMode::Mirror);
    place.deliver("r1", &table(&[(1, "a", "x"), (2, "b", "x"), (3, "c", "x")])).await;
    let rows = table(&[(1, "A", "x"), (2, "b", "x"), (3, "c", "x")]);
    let mut extraction = place.open("r2", &rows).await.unwrap();
    let page = page(&mut extraction, 9).await;
    extraction.commit(vec![Ack { change: page[0].clone(), verdict: rejection() }], &Counters::default()).await.unwrap();
    (place, rows)
}

#[tokio::test]
async fn every_flipped_bit_and_every_cut_is_found() {
    let (place, rows) = used().await;
    let whole = place.store.get(|contents| contents.clone());
    let (id, partition) = whole.partitions.first_key_value().unwrap();
    let (number, segment) = whole.segments.first_key_value().unwrap();
    for (bytes, is_partition) in [(partition, true), (segment, false)] {
        let flips = (0..bytes.len() * 8).map(|bit| {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let cuts = (0..bytes.len()).map(|end| bytes[..end].to_vec());
        let longer = [[bytes.as_slice(), &[0]].concat()];
        for damaged in flips.chain(cuts).chain(longer) {
            place.store.get(|contents| {
                *contents = whole.clone();
                if is_partition {
                    contents.partitions.insert(*id, damaged);
                } else {
                    contents.segments.insert(*number, damaged);
                }
            });
            let part = if is_partition { "partition 0" } else { "journal segment" };
            is(&place.refused("r3", &rows).await, Code::StateDamaged, &[part, "growth/crm", "Reset"]);
        }
    }
}

#[tokio::test]
async fn missing_parts_are_damage_not_emptiness() {
    let (place, rows) = used().await;
    let whole = place.store.get(|contents| contents.clone());
    place.store.get(|contents| contents.partitions.clear());
    is(&place.refused("r3", &rows).await, Code::StateDamaged, &["partition 0", "missing"]);
    place.store.get(|contents| {
        *contents = whole.clone();
        contents.segments.clear();
    });
    is(&place.refused("r3", &rows).await, Code::StateDamaged, &["journal segment", "missing"]);
    for document in ["", "{}", "null"] {
        place.store.get(|contents| {
            *contents = whole.clone();
            contents.head.as_mut().unwrap().document = document.into();
        });
        is(&place.refused("r3", &rows).await, Code::StateDamaged, &["head"]);
    }
}

#[tokio::test]
async fn a_reset_cures_damage() {
    let (mut place, rows) = used().await;
    place.store.get(|contents| contents.head.as_mut().unwrap().document.clear());
    place.plan.mode = Mode::Reset;
    place.plan.options.confirm = true;
    assert_eq!(place.deliver("r3", &rows).await.added(), [1, 2, 3]);
    place.plan.mode = Mode::Incremental;
    assert!(place.deliver("r4", &rows).await.changes.is_empty());
}

#[tokio::test]
async fn newer_state_is_left_alone() {
    let (mut place, rows) = used().await;
    place.store.get(|contents| contents.head.as_mut().unwrap().format = 3);
    let before = place.store.get(|contents| contents.head.clone());
    is(&place.refused("r3", &rows).await, Code::StateTooNew, &["format 3", "newer version"]);
    place.plan.mode = Mode::Reset;
    place.plan.options.confirm = true;
    is(&place.refused("r3", &rows).await, Code::StateTooNew, &[]);
    assert_eq!(place.store.get(|contents| contents.head.clone()), before);
}
