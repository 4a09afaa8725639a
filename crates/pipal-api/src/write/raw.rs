//! A message that stays bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{DecodeContext, WireType, encode_key, skip_field};
use prost::{DecodeError, Message};

/// The bytes of a message, unchecked. As the type of a gRPC request it takes any message and keeps its bytes without
/// a copy; encoded it gives them back. Merging appends, which is what merging means in protobuf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage(Bytes);

impl RawMessage {
    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    fn append(&mut self, more: &[u8]) {
        let mut joined = BytesMut::with_capacity(self.0.len() + more.len());
        joined.extend_from_slice(&self.0);
        joined.extend_from_slice(more);
        self.0 = joined.freeze();
    }
}

impl From<Bytes> for RawMessage {
    fn from(bytes: Bytes) -> Self {
        RawMessage(bytes)
    }
}

impl From<RawMessage> for Bytes {
    fn from(message: RawMessage) -> Self {
        message.0
    }
}

impl Message for RawMessage {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.0);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        let mut field = Vec::new();
        encode_key(tag, wire_type, &mut field);
        skip_field(wire_type, tag, &mut Recorder { inner: buf, seen: &mut field }, ctx)?;
        self.append(&field);
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn decode(mut buf: impl Buf) -> Result<Self, DecodeError> {
        Ok(RawMessage(buf.copy_to_bytes(buf.remaining())))
    }

    fn merge(&mut self, mut buf: impl Buf) -> Result<(), DecodeError> {
        let more = buf.copy_to_bytes(buf.remaining());
        if self.0.is_empty() {
            self.0 = more;
        } else {
            self.append(&more);
        }
        Ok(())
    }
}

/// Reads from `inner` and keeps a copy of everything that is read.
struct Recorder<'b, B> {
    inner: &'b mut B,
    seen: &'b mut Vec<u8>,
}

impl<B: Buf> Buf for Recorder<'_, B> {
    fn remaining(&self) -> usize {
        self.inner.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.inner.chunk()
    }

    fn advance(&mut self, count: usize) {
        // Bounds are the caller's duty by the contract of `Buf`; the copy keeps to the same bounds.
        let mut left = count;
        while left > 0 {
            let chunk = self.inner.chunk();
            let taken = left.min(chunk.len());
            if taken == 0 {
                // Nothing is left: let the inner buffer deal with it as it does.
                return self.inner.advance(left);
            }
            self.seen.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.inner.advance(taken);
            left -= taken;
        }
    }
}
