//! Each planted fault is found: by random histories, or by the scenario that is about it.

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::super::planted::{Fault, plant};
use super::oracle::{World, steps};
use super::*;

/// Histories that are tried before a fault counts as not found.
const CASES: u32 = 600;

/// Whether random histories find what is planted. They are the same in every run.
fn histories_find(fault: Fault) -> bool {
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    plant(Some(fault));
    let found = runner.run(&steps(), |steps| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(World::new(Place::new(SyncMode::Mirror), false).live(steps));
        Ok(())
    });
    plant(None);
    found.is_err()
}

/// Whether a test finds what is planted.
fn test_finds(fault: Fault, test: fn()) -> bool {
    plant(Some(fault));
    let found = std::panic::catch_unwind(test).is_err();
    plant(None);
    found
}

/// Whether a scenario finds what is planted.
fn scenario_finds(fault: Fault, scenario: impl Future<Output = ()>) -> bool {
    plant(Some(fault));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(scenario))).is_err();
    plant(None);
    found
}

macro_rules! found {
    ($($name:ident $fault:ident,)+) => {
        $(#[test]
        fn $name() {
            assert!(histories_find(Fault::$fault), "{:?} was not found", Fault::$fault);
        })+
    };
}

found! {
    state_that_moves_before_the_acknowledgement CommitBeforeAcknowledge,
    null_that_hashes_as_empty NullIsEmpty,
    a_duplicate_that_counts_as_deleted DuplicateIsDeletion,
    deletions_after_additions DeletesAfterAdds,
    a_page_that_is_off_by_one OffByOnePage,
    a_last_page_that_is_lost LostLastPage,
    a_hash_without_borders_between_columns NoSeparator,
    a_key_that_depends_on_the_run KeyOfTheRun,
    changes_without_marks NoMark,
    a_lost_change_whose_rev_comes_again DoubtKeepsRev,
}

#[test]
fn a_wrong_partition_after_a_resize() {
    assert!(scenario_finds(Fault::WrongPartitionAfterResize, super::claims::partitions_follow_the_number_of_rows()));
}

#[test]
fn a_run_that_has_lost_its_claim_and_writes() {
    assert!(scenario_finds(Fault::StaleEpochWrites, super::claims::a_stale_pod_is_fenced()));
}

#[test]
fn a_rejection_that_clears_an_earlier_doubt() {
    let test = super::doubt::a_rejection_clears_its_own_doubt_and_no_earlier_one;
    assert!(test_finds(Fault::RejectionClearsAll, test));
}

#[test]
fn a_match_key_that_is_forgotten() {
    assert!(test_finds(Fault::NoMatchKey, super::records::a_deletion_knows_the_key_that_was_sent_last));
}

#[test]
fn a_living_record_that_is_deleted() {
    assert!(test_finds(Fault::DeletesTheLiving, super::records::what_another_row_stands_for_is_not_deleted));
}

#[test]
fn an_old_record_that_stays() {
    let test = super::records::a_new_match_or_group_key_is_a_deletion_of_the_old_and_an_addition;
    assert!(test_finds(Fault::OldRecordStays, test));
}

#[test]
fn a_duplicate_that_is_sent() {
    let test = super::records::of_rows_with_one_key_the_greatest_is_sent_and_another_takes_over;
    assert!(test_finds(Fault::DuplicateIsSent, test));
}

#[test]
fn a_last_writer_that_is_forgotten() {
    let test = super::records::a_row_that_takes_its_record_back_is_sent_though_it_did_not_change;
    assert!(test_finds(Fault::LastWriterIsForgotten, test));
}
