//! Starting, sealing and releasing files; limits and failures one by one.

use super::*;

#[test]
fn a_process_never_writes_into_files_of_an_earlier_one() {
    let fs = SimulatedFileSystem::new();
    let mut contents: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for round in 0..4u64 {
        let (mut log, report) = open(&fs);
        assert_eq!(report.entries, round);
        assert_eq!(log.next_seq(), round + 1);
        assert_eq!(log.file_count() as u64, round, "nothing is created before the first append");
        append(&mut log, &[b"entry"]).unwrap();
        log.sync().unwrap();
        drop(log);
        for (path, bytes) in &contents {
            assert_eq!(&fs.read(path).unwrap(), bytes);
        }
        contents = log_files(&fs).into_iter().map(|path| (path.clone(), fs.read(&path).unwrap())).collect();
        assert_eq!(contents.len() as u64, round + 1);
    }
}

#[test]
fn files_rotate_and_are_released_oldest_first() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    let mut lasts = Vec::new();
    for _ in 0..20 {
        lasts.push(append(&mut log, &[&[1; 1500]]).unwrap().start);
        log.sync().unwrap();
    }
    assert_eq!(log.file_count(), 7);
    assert!(fs.files().iter().all(|(_, length)| *length <= 6000));
    assert_eq!(log.total_bytes(), fs.files().iter().map(|(_, length)| length).sum::<u64>());
    assert_eq!(log.oldest_seqs(), Some(1..4));

    assert!(log.release(2).removed.is_empty(), "the first file still holds entry 3");
    assert_eq!(log.release(3).removed, [PathBuf::from(DIR).join("0000000000000001.log")]);
    assert_eq!(log.oldest_seq(), Some(4));
    assert_eq!(log.release(11).removed.len(), 2);
    assert_eq!(entries(&fs).0.first().unwrap().0, 10);

    let report = log.release(20);
    assert!(report.failure.is_none());
    assert_eq!(log.file_count(), 1);
    assert_eq!((log.total_bytes(), log.oldest_seq()), (1024, None));
    assert_eq!(append(&mut log, &[b"next"]).unwrap(), 21..22);
}

/// Sequence numbers must not start again when everything was released: parts name them.
#[test]
fn a_settled_log_is_small_and_remembers_its_place() {
    let fs = SimulatedFileSystem::new();
    let mut next_seq = 1;
    for round in 0..6 {
        let (mut log, _) = open(&fs);
        assert!(log.next_seq() >= next_seq);
        append(&mut log, &[&[7; 1500], &[8; 1500], &[9; 1500]]).unwrap();
        log.sync().unwrap();
        next_seq = log.next_seq();
        log.release(log.durable_seq());
        assert!(log.total_bytes() <= 2000, "round {round}: {} bytes", log.total_bytes());
        assert!(log.file_count() <= 2);
    }
    let (mut log, _) = open(&fs);
    for _ in 0..3 {
        log.release(u64::MAX);
        assert_eq!(log.file_count(), 1, "without entries there is no reason for new files");
    }
    drop(log);
    let options = LogOptions { next_seq_min: 1000, ..options() };
    let (log, _) = Log::open(Arc::new(fs), Path::new(DIR), options, &mut ignore).unwrap();
    assert_eq!((log.next_seq(), log.durable_seq()), (1000, 999));
}

#[test]
fn a_file_that_cannot_be_removed_is_tried_again() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    for _ in 0..9 {
        append(&mut log, &[&[1; 2500]]).unwrap();
    }
    log.sync().unwrap();
    let files = log.file_count();
    fs.fail_at(next_operation(&fs), Fault::Eio);
    let report = log.release(4);
    assert!(report.removed.is_empty() && report.failure.is_some());
    assert_eq!(log.file_count(), files);
    let report = log.release(4);
    assert_eq!((report.removed.len(), report.failure.is_none()), (4, true));
}

/// Two removals in a row whose directory could not be synced: after a power cut the second was on disk and the first
/// was not, and a file seemed to be lost from between.
#[test]
fn removals_reach_the_disk_in_order() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    for _ in 0..9 {
        append(&mut log, &[&[1; 2500]]).unwrap();
    }
    log.sync().unwrap();
    for covered in [1, 2, 3] {
        fs.fail_at(next_operation(&fs) + 1, Fault::Eio);
        log.release(covered);
    }
    for (policy, image) in fs.crash_images(4, 0..30) {
        assert_eq!(entries(&image).1.damages, [], "{policy:?}");
    }
}

#[test]
fn a_full_disk_refuses_and_heals() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"before"]).unwrap();
    for capacity in [2000, 3000, 5000] {
        fs.set_capacity_bytes(capacity);
        while append(&mut log, &[&[1; 400]]).is_ok() {}
        let error = append(&mut log, &[&[1; 400]]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert!(!log.is_failed());
    }
    fs.set_capacity_bytes(1 << 20);
    append(&mut log, &[b"after"]).unwrap();
    log.sync().unwrap();
    let (found, report) = entries(&fs.crash_image(CrashPolicy::Nothing));
    let seqs: Vec<u64> = found.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs, (1..log.next_seq()).collect::<Vec<_>>());
    assert_eq!(found.last().unwrap().1, b"after");
    assert_eq!((report.damages.len(), report.cut_tails.len()), (0, 0));
}

/// A full disk must not keep the database from opening, nor from reading what is there.
#[test]
fn a_full_disk_opens() {
    let fs = SimulatedFileSystem::new();
    append(&mut open(&fs).0, &[b"entry"]).unwrap();
    fs.set_capacity_bytes(0);
    let (mut log, report) = open(&fs);
    assert_eq!((report.entries, log.is_failed()), (1, false));
    assert_eq!(append(&mut log, &[b"more"]).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(log_files(&fs).len(), 1, "the file that got no header is gone");
}

/// A write failed half-way and could not be cut off. Its bytes stay in the file, and the next file says that they do
/// not count, although they are valid records with sequence numbers that are used again.
#[test]
fn a_failed_append_that_cannot_be_undone_is_sealed_off() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"good"]).unwrap();
    let payload = [3; 200];
    fs.fail_at(next_operation(&fs), Fault::ShortWrite);
    fs.fail_at(next_operation(&fs) + 1, Fault::Eio);
    assert!(append(&mut log, &[b"bad", b"bad", &payload, &payload]).is_err());
    assert_eq!(log.file_count(), 2);
    assert_eq!(append(&mut log, &[b"next"]).unwrap(), 2..3);
    log.sync().unwrap();

    for (_, image) in fs.crash_images(5, 0..40) {
        let (found, report) = entries(&image);
        assert_eq!(found, [(1, b"good".to_vec()), (2, b"next".to_vec())]);
        assert_eq!(report.damages, []);
        assert_eq!(report.cut_tails.len(), 1);
        assert_eq!(report.cut_tails[0].reason, "the next file was started here");
    }
}

#[test]
fn a_failed_sync_is_final() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"synced"]).unwrap();
    log.sync().unwrap();
    append(&mut log, &[b"unknown"]).unwrap();
    fs.fail_at(next_operation(&fs), Fault::Eio);
    let error = log.sync().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly);
    assert!(error.to_string().contains("the device reported an error"), "{error}");
    assert!(log.is_failed());
    assert_eq!(log.durable_seq(), 1);
    let operations = fs.counters().operations;
    for _ in 0..2 {
        assert_eq!(log.sync().unwrap_err().kind(), ErrorKind::ReadOnly);
        assert_eq!(append(&mut log, &[b"more"]).unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    assert_eq!(fs.counters().operations, operations, "nothing is tried again");

    // The next process finds the bytes in memory. Its sync alone would report success and write nothing.
    drop(log);
    let (log, report) = open(&fs);
    assert_eq!((report.entries, log.is_failed()), (2, false));
    assert_eq!(entries(&fs.crash_image(CrashPolicy::Nothing)).0.len(), 2);
}

/// A new file got half of its header when the disk was full, and could not be removed. A small entry still fitted into
/// the old file and was acknowledged; after the next start the header was believed and the entry cut off.
#[test]
fn an_unfinished_header_ends_the_old_file() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[&[1; 2000]]).unwrap();
    log.sync().unwrap();
    fs.fail_at(next_operation(&fs) + 1, Fault::Enospc);
    fs.fail_at(next_operation(&fs) + 2, Fault::Eio);
    assert!(append(&mut log, &[&[2; 4000]]).is_err());
    append(&mut log, &[b"small"]).unwrap();
    log.sync().unwrap();
    for (policy, image) in fs.crash_images(3, 0..10) {
        let (found, report) = entries(&image);
        assert_eq!(found.len(), 2, "{policy:?}: {report:?}");
    }
}

/// The sync of a new file's header failed, and the kernel forgot the header. The next process could read it, let the
/// file after it vouch for it, and after a power cut the vouched-for header was gone: damage that never was.
#[test]
fn a_header_whose_sync_failed_is_written_again() {
    let fs = SimulatedFileSystem::new();
    append(&mut open(&fs).0, &[b"entry"]).unwrap();
    let (mut log, _) = open(&fs);
    fs.fail_at(next_operation(&fs) + 2, Fault::Eio);
    assert!(append(&mut log, &[b"refused"]).is_err());
    assert!(log.is_failed());
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"more"]).unwrap();
    log.sync().unwrap();
    let (found, report) = entries(&fs.crash_image(CrashPolicy::Nothing));
    assert_eq!((found.len(), report.damages), (2, Vec::new()));
}

#[test]
fn limits_are_refused_before_anything_is_written() {
    let fs = SimulatedFileSystem::new();
    let options = LogOptions { entry_bytes_max: 100, group_bytes_max: 250, ..options() };
    let (mut log, _) = Log::open(Arc::new(fs.clone()), Path::new(DIR), options.clone(), &mut ignore).unwrap();
    append(&mut log, &[&[1; 100], &[1; 100], &[1; 50]]).unwrap();
    let before = fs.counters().operations;
    for payloads in [&[&[1; 101][..]][..], &[&[1; 100], &[1; 100], &[1; 51]]] {
        assert_eq!(append(&mut log, payloads).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    assert!(append(&mut log, &[]).unwrap().is_empty());
    assert_eq!(fs.counters().operations, before);

    let bad = LogOptions { group_bytes_max: 99, ..options };
    let error = Log::open(Arc::new(fs), Path::new(DIR), bad, &mut ignore).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn replay_can_be_repeated_and_changes_nothing() {
    let fs = SimulatedFileSystem::new();
    assert_eq!(entries(&fs), (Vec::new(), LogReport::default()), "an absent directory is an empty log");
    let (mut log, _) = open(&fs);
    for i in 0..10 {
        append(&mut log, &[&[i; 900], b""]).unwrap();
    }
    fs.overwrite(&Path::new(DIR).join("notes.txt"), b"foreign").unwrap();
    let before = fs.counters().operations;
    let (first, report) = entries(&fs);
    assert_eq!(entries(&fs), (first.clone(), report.clone()));
    assert_eq!(fs.counters().operations, before);
    assert_eq!((first.len(), report.entries, report.last_seq), (20, 20, Some(20)));

    let log = Log::open_after(Arc::new(fs), Path::new(DIR), options(), &report).unwrap();
    assert_eq!(log.next_seq(), 21);
}

#[test]
fn an_error_of_the_receiver_ends_the_replay() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"1", b"2", b"3"]).unwrap();
    let mut seen = 0;
    let error = replay(&fs, Path::new(DIR), &mut |_| {
        seen += 1;
        if seen == 2 { Err(pipal_model::Error::internal("test", "enough")) } else { Ok(()) }
    });
    assert_eq!(error.unwrap_err().operation(), "test");
    assert_eq!(seen, 2);
}

#[test]
fn one_write_and_one_sync_make_a_group_durable() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"first file"]).unwrap();
    let before = fs.counters();
    append(&mut log, &[b"a", b"b", b"c", b"d"]).unwrap();
    log.sync().unwrap();
    log.sync().unwrap();
    let after = fs.counters();
    assert_eq!(after.operations - before.operations, 2);
    assert_eq!(after.file_syncs - before.file_syncs, 1);
}

/// The real file system, with entries larger than what replay reads at once.
#[test]
fn large_entries_survive_on_real_files() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    let fs: Arc<dyn FileSystem> = Arc::new(crate::fs::OsFileSystem);
    let options = LogOptions { file_bytes_max: 3 << 20, ..LogOptions::new(root.path().join("quarantine")) };
    let mut noise = crate::fs::Random::new(1);
    let payloads: Vec<Vec<u8>> = [0, 1, 300_000, 1_500_000, 800_000, 2_000_000]
        .iter()
        .map(|length| (0..*length).map(|i| if i % 3 == 0 { 0 } else { noise.next() as u8 }).collect())
        .collect();
    let (mut log, _) = Log::open(fs.clone(), &dir, options.clone(), &mut ignore).unwrap();
    for payload in &payloads {
        append(&mut log, &[payload]).unwrap();
        log.sync().unwrap();
    }
    assert!(log.file_count() > 1);
    log.close().unwrap();
    let mut found = Vec::new();
    let (mut log, report) = Log::open(fs, &dir, options, &mut |item| {
        if let ReplayItem::Entry { payload, .. } = item {
            found.push(payload.to_vec());
        }
        Ok(())
    })
    .unwrap();
    assert!(found == payloads, "{report}");
    assert!(log.release(6).failure.is_none());
    assert!(log.total_bytes() < 1 << 20);
}
