//! Names of files in a table's directory (SE-010 to SE-013): formatting and its exact inverse.

use crate::part::parse_part_file_name;
use pipal_model::{Error, Result};

const DIGITS: usize = 16;
const MANIFEST_SUFFIX: &str = ".snp";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Name of a manifest.
pub(crate) fn manifest_name(epoch: u64) -> String {
    format!("{epoch:016x}{MANIFEST_SUFFIX}")
}

/// Name of a file that is not valid yet.
pub(crate) fn temporary_name(name: &str) -> String {
    format!("{name}{TEMPORARY_SUFFIX}")
}

/// What a name in the directory stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableFile {
    Part(u64),
    Manifest(u64),
    Temporary,
    Foreign,
}

/// Recognises a name; everything that we would not write ourselves is foreign.
pub(crate) fn recognise(name: &str) -> TableFile {
    if let Some(stem) = name.strip_suffix(TEMPORARY_SUFFIX) {
        let ours = parse_part_file_name(stem).is_some() || parse_manifest_name(stem).is_ok();
        return if ours { TableFile::Temporary } else { TableFile::Foreign };
    }
    if let Some(number) = parse_part_file_name(name) {
        return TableFile::Part(number);
    }
    parse_manifest_name(name).map_or(TableFile::Foreign, TableFile::Manifest)
}

/// Epoch of a manifest's name. The three ways to be wrong are told apart (SE-013).
pub(crate) fn parse_manifest_name(name: &str) -> Result<u64> {
    let wrong = |detail: &str| Error::invalid("parse manifest name", detail).about(name);
    let stem = name.strip_suffix(MANIFEST_SUFFIX).ok_or_else(|| wrong("the extension is not .snp"))?;
    if stem.len() < DIGITS {
        return Err(wrong("the name is shorter than 16 characters"));
    }
    parse_part_file_name(stem).ok_or_else(|| wrong("the name is not 16 lower-case hexadecimal digits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::part_file_name;

    #[test]
    fn parsing_is_the_inverse_of_formatting_and_nothing_wider() {
        for number in [0, 1, 255, u64::MAX] {
            assert_eq!(recognise(&part_file_name(number)), TableFile::Part(number));
            assert_eq!(recognise(&manifest_name(number)), TableFile::Manifest(number));
            assert_eq!(recognise(&temporary_name(&part_file_name(number))), TableFile::Temporary);
        }
        for foreign in
            ["a", "000000000000000A", "00000000000000001", "0000000000000001.snpx", "lock", "x.tmp", ""]
        {
            assert_eq!(recognise(foreign), TableFile::Foreign, "{foreign:?}");
        }
    }

    #[test]
    fn errors_of_manifest_names_are_told_apart() {
        let text = |name: &str| parse_manifest_name(name).unwrap_err().detail().to_string();
        assert!(text("0000000000000001.txt").contains("extension"));
        assert!(text("1.snp").contains("shorter"));
        assert!(text("000000000000000g.snp").contains("hexadecimal"));
        assert!(text("00000000000000001.snp").contains("hexadecimal"));
    }
}
