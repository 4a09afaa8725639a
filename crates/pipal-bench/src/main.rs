//! A load generator that speaks the wire protocol to any server.
fn main() {}
