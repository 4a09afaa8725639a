//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.

pub mod analyzer;
pub mod budget;
pub mod error;
pub mod measure;
pub mod property;
pub mod schema;
pub mod term;
mod trace;

pub use error::{QueryError, QueryResult};
