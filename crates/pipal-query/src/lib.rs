//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.

pub mod budget;
mod buffer;
pub mod context;
mod entity;
pub mod error;
mod expression;
mod first_rows;
mod key_values;
pub mod measure;
mod order;
mod patterns;
pub mod property;
mod read;
mod row_filter;
mod rule_order;
pub mod schema;
mod series_patterns;
mod shape;
pub mod stream;
mod tags;
pub mod term;
pub mod top_n;
mod trace;
pub mod traces;
mod values;
mod view;

pub use error::{QueryError, QueryResult};
