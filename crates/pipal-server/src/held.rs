//! Memory that an answer holds on its way out.
//!
//! A handler puts [`HeldMemory`] into the extensions of its response. [`crate::guard`] takes it out again and gives it to
//! the body, since extensions go with the headers. The body attaches it to the bytes of the encoded message, and those
//! live until the transport has written them: a client that does not read keeps its answer charged.

use parking_lot::Mutex;
use pipal_model::Reservation;
use pipal_query::context::Answer;
use std::sync::Arc;
use tonic::Response;
use tonic::codegen::{Bytes, http};

/// The memory of an answer, as an extension of its response. Extensions must be clonable; whoever takes it first has it.
#[derive(Clone, Debug)]
pub struct HeldMemory(Arc<Mutex<Option<Reservation>>>);

impl HeldMemory {
    /// Memory for the message that a response will be encoded from, and for its encoding.
    pub fn new(memory: Reservation) -> Self {
        HeldMemory(Arc::new(Mutex::new(Some(memory))))
    }

    /// Takes the memory out of a response.
    pub fn take_from(extensions: &mut http::Extensions) -> Option<Reservation> {
        extensions.remove::<HeldMemory>()?.0.lock().take()
    }
}

/// The response with an answer, which keeps its memory until it has been sent.
pub fn held<R>(answer: Answer<R>) -> Response<R> {
    let mut response = Response::new(answer.response);
    response.extensions_mut().insert(HeldMemory::new(answer.memory));
    response
}

/// Bytes with the memory that they hold.
struct HeldBytes {
    bytes: Bytes,
    _memory: Reservation,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same bytes; `memory`, from now on of their size, is given back with the last of their owners.
pub fn hold(bytes: Bytes, mut memory: Reservation) -> Bytes {
    memory.set(bytes.len());
    Bytes::from_owner(HeldBytes { bytes, _memory: memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::{MemoryLedger, Share};

    #[test]
    fn memory_stays_as_long_as_a_slice_of_the_bytes() {
        let pool = MemoryLedger::unlimited().share(Share::Queries, 1 << 20);
        let mut bytes = hold(Bytes::from(vec![7; 1000]), Reservation::charged(&pool, 5000));
        assert_eq!(pool.used(), 1000);
        let tail = bytes.split_off(900);
        drop(bytes);
        assert_eq!((pool.used(), &tail[..]), (1000, &[7; 100][..]));
        drop(tail);
        assert_eq!(pool.used(), 0);
    }
}
