//! Power cuts and failing operations at every place.

use super::model::{Driver, Step, policy, steps};
use super::*;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_log_keeps_its_promises(steps in steps(), last in policy(), lz4: bool) {
        let mut driver = Driver::new(if lz4 { Compression::Lz4 } else { Compression::None });
        steps.iter().for_each(|step| driver.play(step));
        driver.play(&Step::Crash(last));
    }
}

/// An append failed and could not be cut off, and the file that would have settled its fate could not be started, twice:
/// once for the append itself, once for the next. The first group may come back, although the second failed last.
#[test]
fn the_fate_of_a_failed_group_stays_open_until_a_file_follows() {
    let append = || Step::Append(vec![(0, vec![]), (0, vec![])]);
    let mut driver = Driver::new(Compression::None);
    let failing = |after, fault| Step::Fail(after, fault);
    driver.play(&append());
    for step in [failing(0, Fault::Enospc), failing(1, Fault::Eio), failing(3, Fault::Eio), append()] {
        driver.play(&step);
    }
    driver.play(&failing(0, Fault::Eio));
    driver.play(&append());
    assert!(driver.log.as_ref().is_some_and(Log::is_failed));
    driver.check_crashes(5, 0..20);
}

/// A life with everything in it: groups, definitions, rotations, releases, restarts.
fn story() -> Vec<Step> {
    let entry = |length, ids: &[u8]| (length, ids.to_vec());
    vec![
        Step::Append(vec![entry(300, &[1]), entry(700, &[1, 2])]),
        Step::Sync,
        Step::Append(vec![entry(900, &[2])]),
        Step::Append(vec![entry(10, &[]), entry(1500, &[3]), entry(40, &[])]),
        Step::Sync,
        Step::Append(vec![entry(2500, &[1])]),
        Step::Append(vec![entry(800, &[1, 4])]),
        Step::Sync,
        Step::Release(60),
        Step::Reopen { cleanly: false },
        Step::Append(vec![entry(200, &[1]), entry(300, &[2])]),
        Step::Sync,
        Step::Reopen { cleanly: true },
        Step::Append(vec![entry(5000, &[0, 1, 2, 3, 4])]),
        Step::Sync,
        Step::Append(vec![entry(700, &[2])]),
        Step::Append(vec![entry(600, &[2]), entry(600, &[3])]),
        Step::Release(100),
        Step::Sync,
        Step::Append(vec![entry(123, &[])]),
    ]
}

fn play_story(prepare: impl Fn(&SimulatedFileSystem)) -> Driver {
    let mut driver = Driver::new(Compression::None);
    prepare(&driver.fs);
    story().iter().for_each(|step| driver.play(step));
    driver
}

fn operations_of_the_story() -> u64 {
    play_story(|_| {}).fs.counters().operations
}

#[test]
fn power_is_cut_after_every_operation() {
    let operations = operations_of_the_story();
    for last in 1..=operations {
        let mut driver = Driver::new(Compression::None);
        if last < driver.fs.counters().operations {
            continue;
        }
        driver.cut_power_after(last);
        for step in story() {
            if driver.power_is_off() {
                break;
            }
            driver.play(&step);
        }
        assert!(driver.power_is_off() || last == operations);
        driver.check_crashes(5, last * 100..last * 100 + 15);
    }
}

#[test]
fn every_operation_fails_once() {
    for number in 2..=operations_of_the_story() {
        for fault in [Fault::Eio, Fault::Enospc, Fault::ShortWrite] {
            let driver = play_story(|fs| fs.fail_at(number, fault));
            driver.check_crashes(2, number..number + 4);
        }
    }
}

#[test]
fn every_two_operations_in_a_row_fail() {
    for number in 2..=operations_of_the_story() {
        for second in [1, 2] {
            let driver = play_story(|fs| {
                fs.fail_at(number, Fault::ShortWrite);
                fs.fail_at(number + second, Fault::Eio);
            });
            driver.check_crashes(2, number..number + 4);
        }
    }
}

/// A sector that cannot be read now may be readable later: cutting there would lose what follows.
#[test]
fn every_read_fails_once_and_nothing_is_cut() {
    let mut driver = Driver::new(Compression::Lz4);
    story().iter().filter(|step| !matches!(step, Step::Release(_))).for_each(|step| driver.play(step));
    let start = driver.fs.counters().reads;
    let (before, _) = entries(&driver.fs);
    let reads = driver.fs.counters().reads - start;
    assert!(reads > 10 && before.len() > 3);
    for number in 1..=reads {
        let fs = driver.fs.fork();
        fs.fail_read_at(fs.counters().reads + number);
        let opened = Log::open(Arc::new(fs.clone()), Path::new(DIR), options(), &mut ignore);
        assert_eq!(opened.err().unwrap().kind(), ErrorKind::Io, "read {number} of {reads}");
        assert_eq!(entries(&fs).0, before);
    }
}
