//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.

pub mod analyzer;
pub mod budget;
pub mod error;
pub mod measure;
pub mod schema;
pub mod term;
pub mod top_n;
mod trace;

pub use error::{QueryError, QueryResult};
