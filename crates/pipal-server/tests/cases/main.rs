//! Cases: schemas, rows, queries and expected answers, as text files below `data/`. Every file is played once per
//! [`State`](world::State) of the storage (rows in memory, flushed, merged, after a clean stop and after a kill), and
//! every query must have the same answer in all of them, with and without `trace`.
//!
//! `CASES=retention cargo test --test cases` plays only the files with that in their path.
//!
//! Beside the files, [`matrix`] asks every combination of model, type, index, operator and literal, and compares with
//! evaluators that are written from the specification.
//!
//! # The language
//!
//! A file is a list of blocks. A block begins at the start of a line; the lines that belong to it are indented. Lines
//! that begin with `#` are comments. Times are relative to noon of some day, where the clock stands at first: `0s`,
//! `+1m30s`, `-2d`, `+500ms`.
//!
//! | block | what it does |
//! |---|---|
//! | `group g measure shards 2 segment 1d ttl 7d` | makes or changes a group; what is given here are the defaults |
//! | `measure g/m`, `stream g/s`, `trace g/t`, `property g/p` | makes a resource or replaces it, rules included, see [`lang::define`] |
//! | `topn g/hot` | makes a Top-N aggregation, see [`lang::define`] |
//! | `drop g/m` | deletes a resource, not its rows |
//! | `write g/m` | writes a table of rows as one stream, see below |
//! | `write g/m bare` | the same without a spec, so that the columns are in the order of the definition |
//! | `apply g/p` | applies documents, one call per line of a table |
//! | `delete g/p 7` | deletes a document; without the id all of the name |
//! | `now +8d` | sets the clock |
//! | `expire` | lets retention run |
//! | `query what it shows` | asks, see [`lang::query`] |
//!
//! The first line of a table names its columns, divided by `|`: tags, fields, and `@time`, `@version` (measures),
//! `@id` (elements, documents), `@span` (payload), `@strategy` (documents), `@status` (what the server is to answer,
//! without `STATUS_`; `SUCCEED` if it is not given). Columns that are not named are not sent. Cells are read by the
//! declared type of their column: text as it stands or in double quotes (there `\n`, `\p` for a bar and `\s` for a
//! backslash), `null`, `[a b]`, `0xff`, `min` and `max` of integers; `int:5` and the like send another type, `unset` a
//! value without a variant; an empty cell sends no value at all, which only works at the end of a family. `@more` and
//! `@family` send a value and a family that no spec names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod disasters;
mod lang;
mod matrix;
mod play;
mod show;
mod values;
mod world;

#[test]
fn measures() {
    play::play_all("measure");
}

#[test]
fn streams() {
    play::play_all("stream");
}

#[test]
fn traces() {
    play::play_all("trace");
}

#[test]
fn properties() {
    play::play_all("property");
}

#[test]
fn disasters_of_the_reference() {
    play::play_all("disasters");
}
