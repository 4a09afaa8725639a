//! Damaged files and failing disks: everything is noticed, nothing is left behind.

use super::world::{
    Random, Resource, Sizes, all_columns, check_read, disk, identity, open, part_path, random_world, write,
};
use crate::fs::{Fault, FileSystem};
use crate::part::PartWriter;
use crate::rows::EntitySelector;
use pipal_codec::Effort;
use pipal_model::{ErrorKind, TimeRange};
use std::sync::Arc;

fn small_world() -> Vec<Resource> {
    random_world(&mut Random(21), Sizes { resources: 4, entities: 8, rows_per_series: 4, batch_rows: 8 })
}

/// Opens and verifies; true when that succeeds.
fn is_intact(fs: &Arc<dyn FileSystem>) -> bool {
    match open(fs).and_then(|part| part.verify()) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.subject().contains("0000000000000001"), "{error} must name the file");
            false
        }
    }
}

#[test]
fn every_flipped_bit_is_detected() {
    let (disk, fs) = disk();
    let world = small_world();
    write(&fs, &part_path(), &world, 8, Effort::Fast).unwrap();
    assert!(is_intact(&fs));
    let regions = open(&fs).unwrap().describe().regions;
    assert!(regions.iter().any(|region| &*region.name == "companions"), "damage must reach companions too");
    let bytes = fs.read(&part_path()).unwrap();
    for i in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[i] ^= 1 << (i % 8);
        disk.overwrite(&part_path(), &damaged).unwrap();
        assert!(!is_intact(&fs), "a flipped bit in byte {i} of {} was not noticed", bytes.len());
    }
}

/// What a reader gives in spite of damage elsewhere is right; otherwise it says that the file is corrupt.
#[test]
fn no_read_gives_wrong_rows_from_a_damaged_file() {
    let (disk, fs) = disk();
    let world = small_world();
    write(&fs, &part_path(), &world, 8, Effort::Fast).unwrap();
    let bytes = fs.read(&part_path()).unwrap();
    let mut refused = 0;
    for i in (0..bytes.len()).step_by(3) {
        let mut damaged = bytes.clone();
        damaged[i] ^= 0x10;
        disk.overwrite(&part_path(), &damaged).unwrap();
        let Ok(part) = open(&fs) else { continue };
        for resource in &world {
            let result = check_read(&part, resource, &EntitySelector::All, TimeRange::ALL, &all_columns());
            if let Err(what) = result {
                assert!(what.contains("checksum"), "byte {i}: {what}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_file_cut_short_or_extended_is_not_a_part() {
    let (disk, fs) = disk();
    write(&fs, &part_path(), &small_world(), 8, Effort::Fast).unwrap();
    let bytes = fs.read(&part_path()).unwrap();
    for length in 0..bytes.len() {
        disk.overwrite(&part_path(), &bytes[..length]).unwrap();
        assert!(open(&fs).is_err(), "cut to {length} of {} bytes", bytes.len());
    }
    for surplus in [1, 56, 4096] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + surplus, 0);
        disk.overwrite(&part_path(), &longer).unwrap();
        assert!(open(&fs).is_err(), "{surplus} bytes too long");
    }
}

/// A part inside another file, such as a torn copy, is not taken for the part.
#[test]
fn a_part_behind_foreign_bytes_is_not_a_part() {
    let (disk, fs) = disk();
    write(&fs, &part_path(), &small_world(), 8, Effort::Fast).unwrap();
    let mut bytes = vec![0; 512];
    bytes.extend(fs.read(&part_path()).unwrap());
    disk.overwrite(&part_path(), &bytes).unwrap();
    assert!(open(&fs).is_err());
}

#[test]
fn a_writer_whose_disk_fails_at_any_step_removes_its_file() {
    // Large enough for several writes of the buffer.
    let world = random_world(
        &mut Random(2),
        Sizes { resources: 6, entities: 4000, rows_per_series: 8, batch_rows: 0 },
    );
    let (counted, fs) = disk();
    let before = counted.counters().operations;
    write(&fs, &part_path(), &world, 4000, Effort::Fast).unwrap();
    let steps = counted.counters().operations - before;
    assert!(steps >= 5, "{steps} steps: create, two writes, sync and rename at least");
    for step in 1..steps {
        let (disk, fs) = disk();
        let next = disk.counters().operations + step;
        disk.fail_at(next, if step % 2 == 0 { Fault::Eio } else { Fault::ShortWrite });
        assert!(write(&fs, &part_path(), &world, 4000, Effort::Fast).is_err(), "step {step}");
        // The last step is the rename, which is the caller's: then the complete temporary file stays.
        let left = disk.files().len();
        assert_eq!(left, usize::from(step == steps), "step {step} left files behind");
    }
}

#[test]
fn a_full_disk_is_an_error_with_its_own_kind_and_leaves_room_again() {
    let (disk, fs) = disk();
    disk.set_capacity_bytes(300);
    let error = write(&fs, &part_path(), &small_world(), 8, Effort::Fast).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull);
    assert_eq!(disk.files(), []);
}

#[test]
fn a_dropped_writer_removes_its_file() {
    let (disk, fs) = disk();
    let writer = PartWriter::create(&fs, &part_path(), identity(), Effort::Fast).unwrap();
    assert_eq!(disk.files().len(), 1);
    drop(writer);
    assert_eq!(disk.files(), []);
}

/// A failed read is an error of that read, not of the part.
#[test]
fn a_failed_read_is_not_remembered() {
    let (disk, fs) = disk();
    let world = small_world();
    write(&fs, &part_path(), &world, 8, Effort::Fast).unwrap();
    let part = open(&fs).unwrap();
    let reads = disk.counters().reads;
    disk.fail_read_at(reads + 2);
    let read = || check_read(&part, &world[0], &EntitySelector::All, TimeRange::ALL, &all_columns());
    assert!(read().is_err());
    read().unwrap();
}
