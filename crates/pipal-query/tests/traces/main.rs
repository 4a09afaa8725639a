//! Trace queries on an engine in memory.

// A helper that fails must fail its test; the lint sees only the test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod companions;
mod conditions;
mod filters;
mod fixture;
mod groups;
mod model;
mod worked;
