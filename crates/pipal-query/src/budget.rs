//! The bytes that one query may hold.

use crate::error::{QueryError, QueryResult};

/// Most bytes that a query holds unless its caller says otherwise.
pub const QUERY_BYTES_MAX: usize = 256 << 20;

/// Greatest limit that a caller may set: kept columns name their bytes by 32-bit offsets.
pub const QUERY_BYTES_CEILING: usize = 2 << 30;

/// Counts the bytes of one query. Holders report what they hold in total, so that nothing is counted twice.
#[derive(Debug)]
pub struct Budget {
    limit_bytes: usize,
    /// Bytes of everything that lives until the end of the query, such as rows of the answer.
    kept_bytes: usize,
}

impl Budget {
    /// A budget of `limit_bytes`.
    pub fn new(limit_bytes: usize) -> Self {
        Budget { limit_bytes, kept_bytes: 0 }
    }

    /// Checks that `held_bytes`, held beside what is kept, fits. Errors: resource exhausted.
    pub fn check(&self, held_bytes: usize) -> QueryResult<()> {
        if self.kept_bytes.saturating_add(held_bytes) <= self.limit_bytes {
            return Ok(());
        }
        let detail = format!("the query needs more than the limit of {} bytes; narrow it", self.limit_bytes);
        Err(QueryError::exhausted(detail))
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
    use pipal_model::ErrorKind;

    #[test]
    fn the_limit_itself_fits_and_one_byte_more_does_not() {
        let mut budget = Budget::new(10);
        budget.keep(6).unwrap();
        budget.check(4).unwrap();
        assert_eq!(budget.check(5).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert!(budget.keep(usize::MAX).is_err());
    }
}
