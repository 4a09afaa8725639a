//! The memory of the process: one ledger with a limit, and shares of it for what memory is used for.
//!
//! Whoever is about to need memory reserves it and is refused when its share or the whole is used up. What cannot be
//! refused any more, such as rows that are acknowledged, is charged all the same, and leaves less to the others: a
//! ledger may be overdrawn, but it never forgets a byte.

mod ledger;
mod reservation;
#[cfg(test)]
mod tests;

pub use ledger::{MemoryLedger, MemoryPool, Refusal, Share, ShareUse};
pub use reservation::Reservation;
