//! The memory of schema objects.

use super::Registry;
use super::kind::{Kind, SchemaObject};
use crate::status::SchemaError;
use pipal_model::{Error, ErrorKind, Reservation};

/// What an object takes whatever it says: its entry in a table, its allocations.
const OBJECT_BYTES: usize = 384;
/// In memory a message is this many times as large as encoded: every name is a string of its own.
const EXPANSION: usize = 4;
/// The same of resources, which are there a second time in the form that writes and queries use.
const EXPANSION_COMPILED: usize = 20;

/// About the bytes that an object holds. Measured as the growth of the process with 10,000 objects of a kind: index rules
/// of 50 encoded bytes take 480, streams of 114 and 253 took 770 and 1,280 before they were
/// compiled too, measures of 172 and 311 take 3,700 to 4,000
/// and 6,600.
fn object_bytes<T: SchemaObject>(object: &T) -> usize {
    let is_compiled = matches!(T::KIND, Kind::Measure | Kind::Stream | Kind::Trace);
    let expansion = if is_compiled { EXPANSION_COMPILED } else { EXPANSION };
    OBJECT_BYTES + expansion * object.encoded_len()
}

impl Registry {
    /// Memory for an object that is going to be stored. When it takes the place of another one, the other's memory
    /// goes with it.
    ///
    /// # Errors
    /// `Storage` with `RESOURCE_EXHAUSTED` and the limit that has no room.
    pub(super) fn reserve<T: SchemaObject>(&self, object: &T) -> Result<Reservation, SchemaError> {
        Reservation::exactly(&self.0.memory, object_bytes(object)).map_err(|refusal| {
            let text = format!("no memory for {} {}: {refusal}", T::KIND.name(), object.name());
            Error::new(ErrorKind::ResourceExhausted, "store schema", text).into()
        })
    }

    /// Memory for an object that is stored already.
    pub(super) fn charge<T: SchemaObject>(&self, object: &T) -> Reservation {
        Reservation::charged(&self.0.memory, object_bytes(object))
    }
}
