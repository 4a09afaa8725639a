//! The bytes that one query may hold.

use crate::error::{QueryError, QueryResult};
use pipal_model::{MemoryPool, Reservation};
use std::cell::RefCell;
use std::sync::Arc;

/// Most bytes that a query holds unless its caller says otherwise.
pub const QUERY_BYTES_MAX: usize = 256 << 20;

/// Greatest limit that a caller may set: kept columns name their bytes by 32-bit offsets.
pub const QUERY_BYTES_CEILING: usize = 2 << 30;

/// Counts the bytes of one query. Holders report what they hold in total, so that nothing is counted twice.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    /// What was taken from the memory that all queries share.
    reserved: RefCell<Reservation>,
    /// Bytes of everything that lives until the end of the query, such as rows of the answer.
    kept_bytes: usize,
}

impl Budget {
    /// A budget of `limit_bytes` out of the memory that all queries share.
    pub fn new(memory: &Arc<MemoryPool>, limit_bytes: usize) -> Self {
        let reserved = RefCell::new(Reservation::new(memory, usize::MAX));
        Budget { limit_bytes, reserved, kept_bytes: 0 }
    }

    /// Checks that `held_bytes`, held beside what is kept, fits. Errors: resource exhausted.
    pub fn check(&self, held_bytes: usize) -> QueryResult<()> {
        let bytes = self.kept_bytes.saturating_add(held_bytes);
        if bytes > self.limit_bytes {
            let detail =
                format!("the query needs more than the limit of {} bytes; narrow it", self.limit_bytes);
            return Err(QueryError::exhausted(detail));
        }
        self.reserved.borrow_mut().cover(bytes).map_err(|refusal| {
            QueryError::exhausted(format!("the query needs {bytes} bytes, but {refusal}; ask again later"))
        })
    }

    /// Ends the query; what is left is memory for the `bytes` of its answer.
    pub fn finish(self, bytes: usize) -> Reservation {
        let mut reserved = self.reserved.into_inner();
        // The answer is there already, so it cannot be refused.
        reserved.set(bytes);
        reserved
    }

    /// Adds bytes that are held until the query ends. Errors: resource exhausted.
    pub fn keep(&mut self, bytes: usize) -> QueryResult<()> {
        self.check(bytes)?;
        self.kept_bytes = self.kept_bytes.saturating_add(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::{ErrorKind, MemoryLedger, Share};

    fn memory() -> Arc<MemoryPool> {
        MemoryLedger::unlimited().share(Share::Queries, 1 << 20)
    }

    #[test]
    fn the_limit_itself_fits_and_one_byte_more_does_not() {
        let memory = memory();
        let mut budget = Budget::new(&memory, 10);
        budget.keep(6).unwrap();
        budget.check(4).unwrap();
        assert_eq!(budget.check(5).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert!(budget.keep(usize::MAX).is_err());
    }

    #[test]
    fn queries_share_memory_and_give_it_back() {
        let memory = memory();
        let first = Budget::new(&memory, usize::MAX);
        first.check(900_000).unwrap();
        let second = Budget::new(&memory, usize::MAX);
        assert_eq!(second.check(900_000).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        let answer = first.finish(200_000);
        assert!(second.check(900_000).is_err(), "an answer has memory until it is out");
        drop(answer);
        second.check(900_000).unwrap();
        drop(second);
        assert_eq!(memory.used(), 0);
    }
}
