//! Plans and operators: a request becomes a plan, a plan reads the engine, columns become an answer.

pub mod analyzer;
pub mod budget;
mod buffer;
mod entity;
pub mod error;
mod first_rows;
pub mod measure;
mod order;
mod read;
pub mod schema;
mod shape;
mod tags;
pub mod term;
mod trace;
mod view;

pub use error::{QueryError, QueryResult};
