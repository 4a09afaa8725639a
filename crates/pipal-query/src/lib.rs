//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.

pub mod analyzer;
pub mod budget;
pub mod context;
mod entity;
pub mod error;
mod expression;
pub mod measure;
mod patterns;
mod row_filter;
pub mod schema;
pub mod term;
mod trace;
pub mod traces;
mod values;

pub use error::{QueryError, QueryResult};
