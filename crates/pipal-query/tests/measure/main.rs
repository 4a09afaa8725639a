//! Measure queries end to end over an engine in memory.

mod fixture;
mod worked;
