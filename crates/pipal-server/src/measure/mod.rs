//! The face of measures: `banyandb.measure.v1.MeasureService`.
//!
//! Writes ([`crate::write`]) and queries ([`crate::queries`]) are those of all models.

mod service;
#[cfg(test)]
pub mod testing;

pub use service::MeasureFace;
