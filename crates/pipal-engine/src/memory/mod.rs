//! Rows in memory: sorted, immutable runs, and the record of which series have which attributes.

pub(crate) mod attributes;
mod build;
pub(crate) mod run;
mod useful;

pub(crate) use build::merge_runs;
pub(crate) use run::MemRun;
