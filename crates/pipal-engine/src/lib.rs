//! The storage engine: commit log, memory tables, parts, manifests, merge, retention, budgets.
//!
//! It knows rows, layouts and row policies, and nothing of protobuf, of the schema registry or of an async
//! runtime. Clock and files are traits, so that tests can stop time and cut the power.

pub mod fs;
pub mod rows;
