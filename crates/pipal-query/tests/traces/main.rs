//! Trace queries on an engine in memory.

mod conditions;
mod fixture;
mod groups;
mod model;
mod worked;
