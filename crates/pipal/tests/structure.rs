//! The crates depend on each other only as ARCHITECTURE.md says, and the engine stays free of protobuf and async.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of the workspace each crate may use. Arrows only point down.
const ALLOWED: &[(&str, &[&str])] = &[
    ("pipal-model", &[]),
    ("pipal-codec", &["pipal-model"]),
    ("pipal-engine", &["pipal-model", "pipal-codec"]),
    ("pipal-api", &[]),
    ("pipal-query", &["pipal-api", "pipal-engine", "pipal-codec", "pipal-model"]),
    ("pipal-ql", &["pipal-api", "pipal-model"]),
    ("pipal-server", &["pipal-api", "pipal-engine", "pipal-model", "pipal-query", "pipal-ql"]),
    ("pipal", &["pipal-server", "pipal-api", "pipal-engine", "pipal-model"]),
    ("pipal-bench", &["pipal-api"]),
];

/// What must not be named anywhere in the engine, not even in a comment.
const FOREIGN_TO_ENGINE: [&str; 3] = ["tokio", "tonic", "prost"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of the workspace, each with those that its product is built with. Tests may use more.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let entries = fs::read_dir(workspace().join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let manifests = entries.map(|dir| dir.join("Cargo.toml")).filter(|path| path.is_file());
    manifests.map(|path| parse_manifest(&read(&path))).collect()
}

/// Name and dependencies inside the workspace, from the lines of a manifest.
fn parse_manifest(text: &str) -> (String, BTreeSet<String>) {
    let (mut name, mut used, mut section) = (String::new(), BTreeSet::new(), "");
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((key, value)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or_default();
            if section == "package" && key == "name" {
                name = value.trim().trim_matches('"').into();
            } else if section.ends_with("dependencies")
                && section != "dev-dependencies"
                && key.starts_with("pipal")
            {
                used.insert(key.into());
            }
        }
        let table = section.split_once("dependencies.").filter(|(before, _)| !before.starts_with("dev-"));
        used.extend(table.map(|(_, name)| name.to_string()).filter(|name| name.starts_with("pipal")));
    }
    (name, used)
}

/// Names in the first column of the table of crates.
fn crates_of_the_table() -> BTreeSet<String> {
    let text = read(&workspace().join("ARCHITECTURE.md"));
    let section =
        text.split("\n## ").find(|s| s.starts_with("The crates")).expect("a section named The crates");
    let cell = |line: &str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name.to_string());
    section.lines().filter_map(cell).collect()
}

#[test]
fn dependencies_only_point_down() {
    let crates = crates();
    assert!(crates.len() >= 8, "only these crates were found: {:?}", crates.keys());
    for (name, used) in &crates {
        let allowed = ALLOWED.iter().find(|(crate_name, _)| crate_name == name);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{name} has no row here; say what it may use"));
        let forbidden: Vec<_> = used.iter().filter(|u| !allowed.contains(&u.as_str())).collect();
        assert!(forbidden.is_empty(), "{name} must not depend on {forbidden:?}");
    }
    assert!(crates["pipal-engine"].contains("pipal-codec"), "the parser sees no dependencies");
}

#[test]
fn every_crate_is_in_the_table_and_the_table_names_no_other() {
    let crates: BTreeSet<String> = crates().into_keys().collect();
    assert_eq!(
        crates,
        crates_of_the_table(),
        "crates on the left, the table of ARCHITECTURE.md on the right"
    );
}

#[test]
fn the_engine_knows_neither_protobuf_nor_async() {
    let mut files = Vec::new();
    collect_sources(&workspace().join("crates/pipal-engine/src"), &mut files);
    assert!(files.len() > 50, "only {} files were found", files.len());
    for file in files {
        for (number, line) in read(&file).lines().enumerate() {
            let named = FOREIGN_TO_ENGINE.iter().find(|name| line.contains(*name));
            assert_eq!(named, None, "{}:{}", file.display(), number + 1);
        }
    }
}

fn collect_sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            collect_sources(&entry, files);
        } else if entry.extension().is_some_and(|e| e == "rs") {
            files.push(entry);
        }
    }
}

#[test]
fn manifests_are_read_as_cargo_reads_them() {
    let text = "[package]\nname = \"a\"\n[dependencies]\npipal-x.workspace = true\npipal-y = { path = \"y\" }\nserde = \"1\"\n\
                [dependencies.pipal-z]\npath = \"z\"\n[target.'cfg(unix)'.dependencies]\npipal-u.workspace = true\n\
                [dev-dependencies]\npipal-t.workspace = true\n";
    let (name, used) = parse_manifest(text);
    let expected = ["pipal-u", "pipal-x", "pipal-y", "pipal-z"].map(String::from);
    assert_eq!((name.as_str(), used), ("a", BTreeSet::from(expected)));
}
