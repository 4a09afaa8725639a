//! Stream queries end to end over an engine in memory.

// A helper that fails must fail its test; the lint sees only the test functions themselves.
#![allow(clippy::unwrap_used, clippy::panic)]

mod criteria;
mod filters;
mod fixture;
mod groups;
mod limits;
mod model;
mod shape;
mod worked;
