//! Front-coded dictionaries against a sorted list.
#![allow(clippy::unwrap_used)]

use pipal_codec::frontcode::{BLOCK_BYTES, Block, Cursor, Writer, find, get, lower_bound};
use proptest::prelude::*;

fn write(keys: &[Vec<u8>]) -> Vec<Block> {
    let mut writer = Writer::new();
    let mut blocks: Vec<Block> = keys.iter().filter_map(|key| writer.push(key).unwrap()).collect();
    assert_eq!(writer.key_count(), keys.len() as u64);
    blocks.extend(writer.finish());
    blocks
}

fn any_keys() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let key = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12),
        prop::collection::vec(0u8..2, 0..9),
        "service-[0-9]{1,4}/(endpoint|instance)-[0-9]{1,3}".prop_map(String::into_bytes),
    ];
    prop::collection::btree_set(key, 0..600).prop_map(|keys| keys.into_iter().collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn blocks_hold_all_keys_in_order(keys in any_keys(), probes in prop::collection::vec(prop::collection::vec(0u8..255, 0..6), 0..20)) {
        let blocks = write(&keys);
        let mut walked = Vec::new();
        for block in &blocks {
            let first = block.first_ordinal as usize;
            prop_assert_eq!(first, walked.len());
            prop_assert_eq!(&block.first_key, &keys[first]);
            let mut cursor = Cursor::new(&block.bytes);
            while let Some(key) = cursor.next().unwrap() {
                walked.push(key.to_vec());
            }
            prop_assert_eq!(walked.len() - first, block.key_count as usize);
            let own = &keys[first..walked.len()];
            for (i, key) in own.iter().enumerate() {
                prop_assert_eq!(find(&block.bytes, key).unwrap(), Some(i));
                let mut out = vec![9];
                prop_assert!(get(&block.bytes, i, &mut out).unwrap());
                prop_assert_eq!(&out, key);
            }
            for probe in &probes {
                let index = own.partition_point(|key| key < probe);
                prop_assert_eq!(lower_bound(&block.bytes, probe).unwrap(), (index, own.get(index) == Some(probe)));
            }
            prop_assert!(!get(&block.bytes, own.len(), &mut Vec::new()).unwrap());
        }
        prop_assert_eq!(walked, keys);
    }

    #[test]
    fn damaged_blocks_are_errors_or_other_keys(keys in any_keys(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        for mut block in write(&keys) {
            let at = at.index(block.bytes.len());
            if cut { block.bytes.truncate(at) } else { block.bytes[at] = byte }
            let mut cursor = Cursor::new(&block.bytes);
            let mut walked = 0;
            while let Ok(Some(_)) = cursor.next() {
                walked += 1;
            }
            prop_assert!(walked <= block.bytes.len());
            let _ = lower_bound(&block.bytes, b"service-5");
        }
    }
}

#[test]
fn blocks_are_about_four_kib_and_share_prefixes() {
    let keys: Vec<Vec<u8>> =
        (0..20_000).map(|i| format!("service-{:04}/endpoint-{i:06}", i / 50).into_bytes()).collect();
    let blocks = write(&keys);
    for block in blocks.iter().rev().skip(1) {
        assert!((BLOCK_BYTES..BLOCK_BYTES + 40).contains(&block.bytes.len()));
    }
    let total: usize = blocks.iter().map(|b| b.bytes.len()).sum();
    assert!(total < 20_000 * 6, "{total} bytes: 28 characters differ in the last few");
}

#[test]
fn keys_that_do_not_ascend_are_refused() {
    let mut writer = Writer::new();
    writer.push(b"b").unwrap();
    assert!(writer.push(b"b").is_err());
    assert!(writer.push(b"a").is_err());
    writer.push(b"c").unwrap();
    assert_eq!(writer.finish().unwrap().key_count, 2);
}
