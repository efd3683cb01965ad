use proptest::prelude::*;

use super::*;

fn taken(id: &str) -> Entry {
    let remote_id = (!id.is_empty()).then(|| id.into());
    Entry { class: EntryClass::Taken, remote_id, fault: Fault::default() }
}

fn entry(class: EntryClass) -> Entry {
    Entry { class, remote_id: None, fault: Fault::read(Some("BAD"), None) }
}

fn bad() -> Entry {
    entry(EntryClass::Rejected)
}

/// `+` delivered, `-` rejected, `~` again, `?` unclear.
fn marks(accounts: &Accounts) -> String {
    let mark = |verdict: &Verdict| match verdict {
        Verdict::Delivered { .. } => '+',
        Verdict::Rejected(_) | Verdict::Settled(_) => '-',
        Verdict::Again => '~',
        Verdict::Unclear => '?',
    };
    accounts.verdicts.iter().map(mark).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn correlated(entries: Vec<(Option<&str>, Entry)>, unaccounted: Unaccounted) -> Accounts {
    let entries = entries.into_iter().map(|(key, entry)| (key.map(str::to_owned), entry)).collect();
    account(&Report::Correlated { sent: strings(&["a", "b", "c"]), entries }, 3, unaccounted)
}

fn failed_keys(entries: Vec<(Option<&str>, Entry)>) -> Accounts {
    let entries = entries.into_iter().map(|(key, entry)| (key.map(str::to_owned), entry)).collect();
    let sent = [&["a"][..], &["b", "B2"], &["a"], &[]].map(strings).to_vec();
    account(&Report::FailedKeys { sent, entries }, 4, Unaccounted::Taken)
}

#[test]
fn whole_and_accepted_are_one_verdict_for_all() {
    for report in [Report::Whole, Report::Accepted] {
        assert_eq!(marks(&account(&report, 3, Unaccounted::Reject)), "+++", "{report:?}");
    }
}

#[test]
fn entries_in_order_are_their_records_if_there_are_as_many() {
    let of = |entries: Vec<Entry>| account(&Report::ByIndex(entries), 3, Unaccounted::Taken);
    let accounts = of(vec![taken("x1"), bad(), entry(EntryClass::Again)]);
    assert_eq!(marks(&accounts), "+-~");
    assert_eq!(accounts.verdicts[0], Verdict::Delivered { remote_id: Some("x1".into()) });
    let fewer = of(vec![taken("x1"), bad()]);
    assert_eq!((marks(&fewer).as_str(), fewer.missing, fewer.ambiguous), ("???", 1, true));
    let more = of(vec![taken(""), taken(""), taken(""), taken("")]);
    assert_eq!((marks(&more).as_str(), more.surplus, more.ambiguous), ("???", 1, true));
}

#[test]
fn failures_by_index_leave_the_others_taken() {
    let of = |entries| account(&Report::ErrorsByIndex(entries), 3, Unaccounted::Taken);
    assert_eq!(marks(&of(vec![])), "+++");
    assert_eq!(marks(&of(vec![(Some(1), bad()), (Some(2), entry(EntryClass::Again))])), "+-~");
    assert_eq!(marks(&of(vec![(Some(1), bad()), (Some(1), bad())])), "+-+", "told twice");
    for stray in [Some(3), Some(u64::MAX), None] {
        let accounts = of(vec![(Some(0), bad()), (stray, bad())]);
        assert_eq!((marks(&accounts).as_str(), accounts.surplus, accounts.ambiguous), ("-??", 1, true), "{stray:?}");
    }
}

#[test]
fn tokens_find_their_records_in_any_order() {
    let accounts =
        correlated(vec![(Some("c"), taken("3")), (Some("a"), bad()), (Some("b"), taken(""))], Unaccounted::Reject);
    assert_eq!((marks(&accounts).as_str(), accounts.missing), ("-++", 0));
    assert_eq!(accounts.verdicts[2], Verdict::Delivered { remote_id: Some("3".into()) });
}

#[test]
fn records_that_no_entry_mentions_are_not_silently_delivered() {
    let silent = correlated(vec![], Unaccounted::Reject);
    assert_eq!((marks(&silent).as_str(), silent.missing), ("---", 3));
    assert!(matches!(&silent.verdicts[0], Verdict::Rejected(fault) if fault.code.as_deref() == Some("NOT_IN_ANSWER")));
    assert_eq!(marks(&correlated(vec![(Some("a"), taken(""))], Unaccounted::Again)), "+~~");
    assert_eq!(marks(&correlated(vec![(Some("a"), bad())], Unaccounted::Taken)), "-++");
}

#[test]
fn of_contradicting_entries_the_worst_counts() {
    let twice = vec![(Some("a"), taken("1")), (Some("a"), bad()), (Some("b"), bad()), (Some("b"), taken("2"))];
    assert_eq!(marks(&correlated(twice, Unaccounted::Again)), "--~");
}

#[test]
fn surplus_entries_are_counted_and_a_stray_failure_makes_silence_doubtful() {
    let strange = correlated(vec![(Some("zzz"), taken("")), (None, taken(""))], Unaccounted::Again);
    assert_eq!((strange.surplus, strange.ambiguous, marks(&strange).as_str()), (2, false, "~~~"));
    let failed = correlated(vec![(Some("zzz"), bad()), (Some("a"), taken(""))], Unaccounted::Taken);
    assert_eq!((failed.surplus, failed.ambiguous, marks(&failed).as_str()), (1, true, "+??"));
}

#[test]
fn failed_keys_fail_every_record_that_has_them() {
    assert_eq!(marks(&failed_keys(vec![(Some("a"), bad())])), "-+-+");
    assert_eq!(marks(&failed_keys(vec![(Some("B2"), bad())])), "+-++", "by its other key");
    assert_eq!(marks(&failed_keys(vec![])), "++++");
    let stray = failed_keys(vec![(Some("b"), bad()), (Some("other"), bad())]);
    assert_eq!((marks(&stray).as_str(), stray.ambiguous), ("?-??", true));
    assert_eq!(marks(&failed_keys(vec![(Some(""), bad())])), "????", "an empty key is no key");
}

#[test]
fn totals_are_believed_and_only_a_complete_failure_is_attributed() {
    let of = |taken, failed| account(&Report::Counts { taken, failed }, 4, Unaccounted::Reject);
    let said = |taken, failed| (marks(&of(taken, failed)), of(taken, failed).ambiguous);
    assert_eq!(said(Some(4), 0), ("++++".into(), false));
    assert_eq!(said(None, 1), ("++++".into(), true));
    assert_eq!(said(Some(0), 4), ("----".into(), false));
    assert_eq!(said(Some(2), 0), ("++++".into(), true));
    assert_eq!(of(Some(9), 0).surplus, 5);
}

fn any_entry() -> impl Strategy<Value = Entry> {
    prop_oneof![Just(taken("1")), Just(bad()), Just(entry(EntryClass::Again))]
}

proptest! {
    #[test]
    fn there_is_always_one_verdict_for_each_record(
        records in 0_usize..20,
        entries in prop::collection::vec((prop::option::of(0_u64..30), any_entry()), 0..40),
        taken_count in prop::option::of(any::<u64>()),
        failed in any::<u64>(),
    ) {
        let sent: Vec<String> = (0..records).map(|at| (at / 2).to_string()).collect();
        let keyed: Vec<(Option<String>, Entry)> =
            entries.iter().map(|(key, entry)| (key.map(|key| key.to_string()), entry.clone())).collect();
        let reports = [
            Report::Whole,
            Report::Accepted,
            Report::ByIndex(entries.iter().map(|(_, entry)| entry.clone()).collect()),
            Report::ErrorsByIndex(entries),
            Report::Correlated { sent: sent.clone(), entries: keyed.clone() },
            Report::FailedKeys { sent: sent.into_iter().map(|key| vec![key]).collect(), entries: keyed },
            Report::Counts { taken: taken_count, failed },
        ];
        for report in reports {
            for unaccounted in [Unaccounted::Reject, Unaccounted::Again, Unaccounted::Taken] {
                prop_assert_eq!(account(&report, records, unaccounted).verdicts.len(), records);
            }
        }
    }
}
