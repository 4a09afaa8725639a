//! docs/seed-requirements.md accounts for every contract row and every defect of the founding commit, and the tests
//! that it names exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// First and last number of each run of contract rows.
const CONTRACT: &[(u32, u32)] = &[
    (5, 8),
    (12, 14),
    (16, 17),
    (20, 22),
    (35, 35),
    (37, 37),
    (41, 42),
    (45, 51),
    (60, 78),
    (80, 85),
    (90, 99),
    (102, 114),
    (120, 127),
    (130, 133),
    (140, 143),
    (150, 157),
    (160, 172),
    (180, 183),
    (190, 192),
];
/// Number of the last defect.
const DEFECTS: u32 = 34;

struct Requirement {
    state: String,
    /// File below `crates/` and function.
    tests: Vec<(String, String)>,
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn requirements() -> BTreeMap<String, Requirement> {
    let text = fs::read_to_string(workspace().join("docs/seed-requirements.md")).unwrap();
    let mut requirements = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| SE-") || line.starts_with("| D-")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [id, state, shown_by] = cells[..] else { panic!("a row has other than three cells: {line}") };
        let names = shown_by.split('`').skip(1).step_by(2);
        let tests = names.map(|name| name.split_once("::").unwrap_or_else(|| panic!("{id}: {name}")));
        let tests = tests.map(|(file, function)| (file.into(), function.into())).collect();
        let old = requirements.insert(id.to_string(), Requirement { state: state.into(), tests });
        assert!(old.is_none(), "{id} has two rows");
    }
    requirements
}

#[test]
fn every_requirement_has_a_row() {
    let contract = CONTRACT.iter().flat_map(|(first, last)| *first..=*last).map(|n| format!("SE-{n:03}"));
    let wanted: BTreeSet<String> = contract.chain((1..=DEFECTS).map(|n| format!("D-{n:02}"))).collect();
    let found: BTreeSet<String> = requirements().into_keys().collect();
    assert_eq!(found, wanted);
}

#[test]
fn every_row_has_a_test_that_exists_or_a_reason() {
    for (id, Requirement { state, tests }) in requirements() {
        let reason = state.strip_prefix("met differently (").and_then(|rest| rest.strip_suffix(')'));
        assert!(state == "met" || reason.is_some_and(|r| r.len() > 10), "{id}: the state is {state:?}");
        assert!(!tests.is_empty() || reason.is_some(), "{id} has neither a test nor a reason");
        for (file, function) in tests {
            let source = fs::read_to_string(workspace().join("crates").join(&file));
            let source = source.unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            assert!(is_test(&source, &function), "{id}: {file} has no test {function}");
        }
    }
}

/// True when the source has this function with the attribute of a test shortly before it.
fn is_test(source: &str, function: &str) -> bool {
    let name = format!("fn {function}(");
    let lines: Vec<&str> = source.lines().collect();
    let at = lines.iter().position(|line| line.contains(&name));
    at.is_some_and(|at| lines[at.saturating_sub(3)..at].iter().any(|line| line.trim().ends_with("test]")))
}

#[test]
fn functions_that_are_no_tests_do_not_count() {
    let source = "#[test]\nfn one() {}\n\nfn helper(a: u32) {}\n";
    assert!(is_test(source, "one") && !is_test(source, "two") && !is_test("fn one() {}", "one"));
}
