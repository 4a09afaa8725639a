//! The face of properties: `banyandb.property.v1.PropertyService` (property specification).
//!
//! A change passes its checks ([`gate`], [`apply`]), waits for its turn ([`locks`]), looks its document up, and is
//! answered once it is durable and visible ([`changes`]). Queries run on threads of their own ([`queries`]).
//! [`PropertyQueries`] and [`PropertyChanges`] are what other faces call.

mod apply;
mod changes;
mod gate;
mod locks;
mod queries;
mod service;
#[cfg(test)]
mod tests;

pub use changes::PropertyChanges;
pub use queries::PropertyQueries;
pub use service::PropertyFace;
