//! The face of measures: `banyandb.measure.v1.MeasureService`.

mod admission;
mod gate;
#[cfg(test)]
mod testing;
mod time;
mod write;

pub use write::MeasureRoutes;
