//! Bytes, and what the journal makes of entries.

use super::*;
use proptest::prelude::*;

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<u64>().prop_map(Kind::Delivered),
        any::<u64>().prop_map(Kind::Seen),
        Just(Kind::NeverDelivered),
        any::<u64>().prop_map(Kind::Tombstone),
        Just(Kind::Kept),
        Just(Kind::Released),
    ]
}

fn text() -> impl Strategy<Value = Option<Box<str>>> {
    proptest::option::of(".{0,20}".prop_map(String::into_boxed_str))
}

fn wrote(epoch: u64, match_key: Option<Box<str>>) -> Wrote {
    Wrote { epoch, memory: Memory { match_key, ..Memory::default() } }
}

prop_compose! {
    fn doubts()(
        epoch in any::<u64>(), rev in any::<u64>(), deletion in any::<bool>(), earlier in proptest::option::of(any::<u64>()),
        hash in any::<u64>(), spec in any::<u32>(), match_key in text(), group_key in text(), remote_id in text(),
    ) -> Doubt {
        Doubt { epoch, rev, deletion, earlier, hash, spec, memory: Memory { match_key, group_key, remote_id } }
    }
}

prop_compose! {
    fn entries()(
        key in proptest::collection::vec(any::<u8>(), 0..300),
        rev in any::<u64>(), spec in any::<u32>(), kind in kinds(),
        match_key in text(), group_key in text(), remote_id in text(),
        rejected in proptest::option::of((any::<bool>(), any::<u64>(), any::<u32>(), ".{0,9}")),
        doubt in proptest::option::of(doubts()),
        left in proptest::collection::vec((any::<u64>(), text()), 0..4),
    ) -> Entry {
        Entry {
            key: key.into(), rev, spec, kind,
            memory: Memory { match_key, group_key, remote_id },
            rejected: rejected.map(|(deletion, hash, spec, code)| {
                Box::new(Rejected { deletion, hash, spec, code: code.into() })
            }),
            doubt: doubt.map(Box::new),
            left: left.into_iter().map(|(epoch, match_key)| wrote(epoch, match_key)).collect(),
        }
    }
}

proptest! {
    #[test]
    fn entries_round_trip_and_truncated_ones_are_refused(entry in entries()) {
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        let mut input = bytes.as_slice();
        let decoded = Entry::decode(&mut input);
        prop_assert_eq!(decoded.as_ref(), Some(&entry));
        prop_assert!(input.is_empty());
        let mut input = bytes.as_slice();
        prop_assert_eq!(Entry::skip(&mut input), Some(&*entry.key));
        prop_assert!(input.is_empty());
        let hash = match entry.kind {
            Kind::Delivered(hash) | Kind::Seen(hash) if entry.is_plain() => Some(hash),
            _ => None,
        };
        let plain = hash.map(|hash| Plain { key: &entry.key, rev: entry.rev, spec: entry.spec, hash });
        let mut input = bytes.as_slice();
        prop_assert_eq!(Plain::read(&mut input), plain);
        prop_assert_eq!(input.len(), if plain.is_some() { 0 } else { bytes.len() });
        for end in 0..bytes.len() {
            prop_assert_eq!(Entry::decode(&mut &bytes[..end]), None);
        }
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::decode(&mut bytes.as_slice());
    }
}

#[test]
fn a_rejection_keeps_what_was_delivered() {
    let rejected = Some(Box::new(Rejected { deletion: false, hash: 2, spec: 1, code: "HTTP_422".into() }));
    let patch = Entry { rejected: rejected.clone(), ..Entry::new([1].into(), 9, 1, Kind::Kept) };
    let delivered = Entry::new([1].into(), 3, 0, Kind::Delivered(1));
    let after = patch.clone().apply(Some(delivered.clone()));
    assert_eq!(after, Entry { rev: 9, rejected: rejected.clone(), ..delivered.clone() });
    // Of a record that other keys may write, it stays known when this one did.
    let memory = Memory { match_key: Some("m".into()), ..Memory::default() };
    let after = patch.clone().apply(Some(Entry { memory: memory.clone(), ..delivered }));
    assert_eq!((after.rev, after.wrote()), (9, vec![Wrote { epoch: 3, memory }]));
    assert!(!after.in_doubt());
    let again = Entry { rev: 12, ..patch.clone() }.apply(Some(after.clone()));
    assert_eq!(again.wrote(), after.wrote());
    for base in [None, Some(Entry::new([1].into(), 3, 0, Kind::Tombstone(5)))] {
        let after = patch.clone().apply(base);
        assert_eq!(after, Entry { rejected: rejected.clone(), ..Entry::new([1].into(), 9, 1, Kind::NeverDelivered) });
    }
}

#[test]
fn a_doubt_lies_over_what_was_there_until_it_is_acknowledged() {
    let doubt = |earlier| Doubt {
        epoch: 7,
        rev: 3,
        deletion: false,
        earlier,
        hash: 2,
        spec: 0,
        memory: Memory { match_key: Some("m".into()), ..Memory::default() },
    };
    let bases = [
        Some(Entry::new([1].into(), 3, 0, Kind::Delivered(1))),
        Some(Entry::new([1].into(), 3, 0, Kind::Tombstone(5))),
        None,
    ];
    for base in bases {
        let marked = Entry::mark([1].into(), doubt(None)).apply(base.clone());
        let unmarked = base.unwrap_or_else(|| Entry::new([1].into(), 3, 0, Kind::NeverDelivered));
        assert_eq!(marked, Entry { doubt: Some(Box::new(doubt(None))), ..unmarked });
        let delivered = Entry { memory: doubt(None).memory, ..Entry::new([1].into(), 7, 0, Kind::Delivered(2)) };
        assert_eq!(delivered.clone().apply(Some(marked.clone())), delivered);
        let rejected = Some(Box::new(Rejected { deletion: false, hash: 2, spec: 0, code: "HTTP_422".into() }));
        let rejection = Entry { rejected, ..Entry::new([1].into(), 7, 0, Kind::Kept) };
        assert_eq!(rejection.clone().apply(Some(marked)).doubt, None);
        let twice = Entry::mark([1].into(), doubt(Some(5))).apply(Some(delivered));
        assert!(rejection.apply(Some(twice)).doubt.is_some(), "the change before this one may still be there");
    }
}

#[test]
fn records_that_a_key_leaves_behind_stay_known_until_they_are_taken_back() {
    let delivered = |epoch: u64, name: &str| Entry {
        memory: wrote(0, Some(name.into())).memory,
        ..Entry::new([1].into(), epoch, 0, Kind::Delivered(epoch))
    };
    let names = |entry: &Entry| {
        let mut all: Vec<(u64, Box<str>)> =
            entry.wrote().into_iter().map(|wrote| (wrote.epoch, wrote.memory.match_key.unwrap())).collect();
        all.sort_unstable();
        all
    };
    let moved = delivered(5, "b").apply(Some(delivered(3, "a")));
    assert_eq!(names(&moved), [(3, "a".into()), (5, "b".into())]);
    let doubt = |name: &str| Doubt {
        epoch: 7,
        rev: 5,
        deletion: false,
        earlier: None,
        hash: 2,
        spec: 0,
        memory: wrote(0, Some(name.into())).memory,
    };
    let marked = Entry::mark([1].into(), doubt("c")).apply(Some(moved));
    let twice = Entry::mark([1].into(), Doubt { epoch: 8, ..doubt("d") }).apply(Some(marked));
    assert_eq!(names(&twice), [(3, "a".into()), (5, "b".into()), (7, "c".into()), (8, "d".into())]);
    let released = Entry::release([1].into(), wrote(0, Some("b".into())).memory).apply(Some(twice));
    assert_eq!(names(&released), [(3, "a".into()), (7, "c".into()), (8, "d".into())]);
    let gone = Entry { memory: wrote(0, Some("d".into())).memory, ..Entry::new([1].into(), 9, 0, Kind::Tombstone(1)) };
    let gone = gone.apply(Some(released));
    assert_eq!((names(&gone), gone.memory.clone()), (vec![(3, "a".into()), (7, "c".into())], Memory::default()));
    assert_eq!(names(&delivered(11, "a").apply(Some(gone))), [(7, "c".into()), (11, "a".into())]);
}

#[test]
fn a_key_remembers_so_many_records_and_no_more() {
    let mut entry = Entry::new([1].into(), 0, 0, Kind::NeverDelivered);
    for epoch in 1..=70 {
        entry.leave(wrote(epoch, Some(epoch.to_string().into())));
    }
    assert_eq!((entry.left.len(), entry.left.iter().map(|left| left.epoch).min()), (64, Some(7)));
}
