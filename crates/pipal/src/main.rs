//! The binary: server, client commands and tools.
fn main() {}
