//! What was synced and is wrong now: found, reported, and as cheap as can be.

use super::model::definition;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A durable log of several files whose groups have one to three entries.
fn durable_log(compression: Compression, cleanly: bool) -> SimulatedFileSystem {
    let fs = SimulatedFileSystem::new();
    let options = LogOptions { compression, ..options() };
    let (mut log, _) = Log::open(Arc::new(fs.clone()), Path::new(DIR), options, &mut ignore).unwrap();
    for group in 0..12u8 {
        let payloads: Vec<Vec<u8>> =
            (0..=usize::from(group % 3)).map(|i| noisy(group, 400 + i * 200)).collect();
        let definitions = [definition(group % 4 + 1)];
        let entries: Vec<LogEntry<'_>> =
            payloads.iter().map(|payload| LogEntry { payload, definitions: &definitions }).collect();
        log.append(&entries).unwrap();
        log.sync().unwrap();
    }
    if cleanly {
        log.close().unwrap();
    }
    fs
}

/// Bytes that compress a little.
fn noisy(seed: u8, length: usize) -> Vec<u8> {
    let mut noise = crate::fs::Random::new(u64::from(seed));
    (0..length).map(|i| if i % 4 < 2 { seed } else { noise.next() as u8 }).collect()
}

/// The last group of the last file has no witness; its entries.
fn last_group() -> std::ops::RangeInclusive<u64> {
    22..=24
}

fn check_flip(fs: &SimulatedFileSystem, path: &Path, bit: u64, witnessed: bool) {
    let (before, _) = entries(fs);
    let fs = fs.fork();
    fs.flip_bit(path, bit).unwrap();
    let (after, report) = entries(&fs);
    let found: BTreeMap<u64, Vec<u8>> = after.iter().cloned().collect();
    assert_eq!(after, found.clone().into_iter().collect::<Vec<_>>(), "still in order");
    let lost: Vec<u64> = before.iter().map(|(seq, _)| *seq).filter(|seq| !found.contains_key(seq)).collect();
    assert!(before.iter().all(|(seq, payload)| found.get(seq).is_none_or(|p| p == payload)), "none is wrong");

    let place = format!("{} bit {bit}: lost {lost:?}, {report:?}", path.display());
    assert!(report.damages.len() + report.cut_tails.len() == 1, "one place is reported: {place}");
    if report.damages.is_empty() {
        assert!(lost.iter().all(|seq| last_group().contains(seq)), "{place}");
        assert!(!witnessed || lost.is_empty(), "{place}");
    } else {
        assert!(lost.len() <= 1, "{place}");
        let damage = &report.damages[0];
        assert!((damage.offset..damage.offset + damage.length).contains(&(bit / 8)), "{place}");
        assert!(report.files.iter().all(|file| file.damaged == (file.path == path)), "{place}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn one_flipped_bit_is_found_and_costs_one_record(at in 0.0f64..1.0, lz4: bool, cleanly: bool) {
        let fs = durable_log(if lz4 { Compression::Lz4 } else { Compression::None }, cleanly);
        let bits: u64 = fs.files().iter().map(|(_, length)| length * 8).sum();
        let mut bit = (at * bits as f64) as u64;
        for (path, length) in fs.files() {
            if bit < length * 8 {
                check_flip(&fs, &path, bit, cleanly);
                break;
            }
            bit -= length * 8;
        }
    }

    #[test]
    fn arbitrary_damage_never_breaks_replay(
        places in prop::collection::vec((0usize..4, 0.0f64..1.0, prop::collection::vec(any::<u8>(), 0..300)), 1..5),
        cut in prop::option::of((0usize..4, 0.0f64..1.0)),
    ) {
        let fs = durable_log(Compression::Lz4, true);
        let (before, _) = entries(&fs);
        let files = log_files(&fs);
        for (file, at, noise) in places {
            let path = &files[file % files.len()];
            let mut bytes = fs.read(path).unwrap();
            let at = (at * bytes.len() as f64) as usize;
            bytes.iter_mut().skip(at).zip(noise).for_each(|(byte, noise)| *byte = noise);
            fs.overwrite(path, &bytes).unwrap();
        }
        if let Some((file, at)) = cut {
            let path = &files[file % files.len()];
            let bytes = fs.read(path).unwrap();
            fs.overwrite(path, &bytes[..(at * bytes.len() as f64) as usize]).unwrap();
        }
        let (after, report) = entries(&fs);
        let mut expected = before.iter();
        for entry in &after {
            prop_assert!(expected.any(|e| e == entry), "what is given was written, in order");
        }
        prop_assert!(after.len() == before.len() || !report.damages.is_empty() || !report.cut_tails.is_empty());
        let (mut log, _) = open(&fs);
        let seqs = append(&mut log, &[b"goes on"]).unwrap();
        log.sync().unwrap();
        prop_assert!(after.iter().all(|(seq, _)| *seq < seqs.start));
        let (again, _) = entries(&fs);
        prop_assert_eq!(&again[..again.len() - 1], &after[..], "replay after the next start gives the same");
    }
}

/// The same wrong byte is a torn tail before a later record vouches for it, and damage afterwards.
#[test]
fn a_witness_turns_a_torn_tail_into_damage() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"first"]).unwrap();
    log.sync().unwrap();
    let start = fs.files()[0].1;
    append(&mut log, &[b"second", b"third"]).unwrap();
    log.sync().unwrap();
    let wrong_bit = (start + 60) * 8;

    let fork = fs.fork();
    fork.flip_bit(&log_files(&fork)[0], wrong_bit).unwrap();
    let (found, report) = entries(&fork);
    assert_eq!(found.len(), 1, "an entry whose predecessor is missing is not given");
    assert_eq!((report.damages.len(), report.cut_tails.len()), (0, 1));
    assert_eq!(report.cut_tails[0].offset, start);

    append(&mut log, &[b"fourth"]).unwrap();
    fs.flip_bit(&log_files(&fs)[0], wrong_bit).unwrap();
    let (found, report) = entries(&fs);
    let found: Vec<&[u8]> = found.iter().map(|(_, payload)| &payload[..]).collect();
    assert_eq!(found, [&b"first"[..], b"third", b"fourth"]);
    assert_eq!((report.damages.len(), report.cut_tails.len()), (1, 0));
    assert_eq!((report.damages[0].offset, report.damages[0].length), (start, 56 + 6));
}

/// Damage at the end of what was synced must not make the unsynced rest look complete.
#[test]
fn a_record_behind_lost_unsynced_ones_is_not_given() {
    let fs = SimulatedFileSystem::new();
    let (mut log, _) = open(&fs);
    append(&mut log, &[b"synced"]).unwrap();
    log.sync().unwrap();
    let end = fs.files()[0].1;
    append(&mut log, &[b"torn"]).unwrap();
    append(&mut log, &[b"arrived"]).unwrap();
    let path = log_files(&fs)[0].clone();
    let mut bytes = fs.read(&path).unwrap();
    bytes[1024 + 10..end as usize + 58].fill(0);
    fs.overwrite(&path, &bytes).unwrap();

    let (found, report) = entries(&fs);
    assert_eq!(found, []);
    assert_eq!((report.damages[0].offset, report.damages[0].length), (1024, end - 1024));
    assert_eq!(report.cut_tails[0].offset, end);
}

#[test]
fn a_file_without_a_readable_header_is_damaged_as_a_whole() {
    let fs = durable_log(Compression::None, true);
    let (before, report) = entries(&fs);
    let lost = report.files[1].clone();
    for bit in [100, 512 * 8 + 100] {
        fs.flip_bit(&lost.path, bit).unwrap();
    }
    let (after, report) = entries(&fs);
    let expected: Vec<_> = before
        .into_iter()
        .filter(|(seq, _)| !(lost.first_seq..=lost.last_seq.unwrap()).contains(seq))
        .collect();
    assert_eq!(after, expected);
    assert_eq!(report.damages.len(), 1);
    assert_eq!((report.damages[0].offset, report.damages[0].length), (0, lost.bytes));
}

/// The header that told where a file ended is lost, and the file is bad near its end as well. A later header then says
/// that it ends there, but it is still not to be deleted.
#[test]
fn a_file_whose_end_nobody_knows_stays_damaged() {
    let fs = durable_log(Compression::None, true);
    let files = log_files(&fs);
    let newest = files.len() - 1;
    for bit in [100, 512 * 8 + 100] {
        fs.flip_bit(&files[newest], bit).unwrap();
    }
    let bits = 8 * fs.read(&files[newest - 1]).unwrap().len() as u64;
    fs.flip_bit(&files[newest - 1], bits - 8).unwrap();
    for _ in 0..3 {
        let (mut log, report) = open(&fs);
        let damaged: Vec<bool> = report.files.iter().map(|file| file.damaged).collect();
        assert!(damaged[newest - 1] && damaged[newest], "{report:?}");
        assert_eq!(damaged.iter().filter(|damaged| **damaged).count(), 2);
        append(&mut log, &[b"goes on"]).unwrap();
    }
}

#[test]
fn a_missing_and_a_shortened_file_are_reported() {
    let fs = durable_log(Compression::None, true);
    let files = log_files(&fs);
    let bytes = fs.read(&files[1]).unwrap();
    fs.remove_file(&files[1]).unwrap();
    let (_, report) = entries(&fs);
    assert_eq!(report.damages.len(), 1);
    assert_eq!((&report.damages[0].file, report.damages[0].reason), (&files[1], "the file is missing"));

    for length in [bytes.len() - 1, 1024, 600, 0] {
        fs.overwrite(&files[1], &bytes[..length]).unwrap();
        let (_, report) = entries(&fs);
        let missing: u64 = report.damages.iter().map(|damage| damage.length).sum();
        assert!(missing >= (bytes.len() - length) as u64, "{length}: {report:?}");
        assert!(report.files[1].damaged);
    }
    fs.remove_file(&files[0]).unwrap();
    fs.remove_file(&files[1]).unwrap();
    assert_eq!(entries(&fs).1.damages, [], "the oldest files may be gone");
}

#[test]
fn a_damaged_file_ends_in_quarantine_and_is_never_deleted() {
    let fs = durable_log(Compression::None, true);
    let files = log_files(&fs);
    fs.flip_bit(&files[1], 2000 * 8).unwrap();
    let damaged = fs.read(&files[1]).unwrap();
    fs.create_dir_all(Path::new(QUARANTINE)).unwrap();
    let name = files[1].file_name().unwrap();
    fs.overwrite(&Path::new(QUARANTINE).join(name), b"an earlier one").unwrap();

    let (mut log, report) = open(&fs);
    assert!(report.files[1].damaged);
    let released = log.release(u64::MAX);
    assert!(released.failure.is_none());
    let moved = Path::new(QUARANTINE).join(format!("{}.1", name.display()));
    assert_eq!(released.quarantined, std::slice::from_ref(&moved));
    let fs = fs.crash_image(CrashPolicy::Nothing);
    assert_eq!(fs.read(&moved).unwrap(), damaged);
    assert_eq!(fs.read(&Path::new(QUARANTINE).join(name)).unwrap(), b"an earlier one");
    assert!(!log_files(&fs).contains(&files[1]));
}
