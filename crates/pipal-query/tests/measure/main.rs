//! Measure queries end to end over an engine in memory.

mod fixture;
mod groups;
mod index_mode;
mod model;
mod worked;
