//! A naive model of the engine and a world to drive both with the same operations.
#![allow(dead_code, reason = "each test binary uses its own part of the support code")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

pub mod hooked;
pub mod model;
pub mod random;
pub mod script;
pub mod world;
