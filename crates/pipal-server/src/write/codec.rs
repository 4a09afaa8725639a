//! The codec of the write route: requests stay bytes, replies are encoded by hand.
//!
//! A stream of 10,000 points has 10,000 requests and as many replies. Building messages of structs and strings
//! for them costs more than storing the points.

use bytes::{Buf, BufMut, Bytes};
use pipal_api::write::Model;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Takes requests as bytes and sends [`Reply`]s in the form of the model.
#[derive(Clone, Copy, Debug)]
pub struct WriteCodec(pub Model);

impl Codec for WriteCodec {
    type Encode = Reply;
    type Decode = Bytes;
    type Encoder = WriteCodec;
    type Decoder = WriteCodec;

    fn encoder(&mut self) -> WriteCodec {
        *self
    }

    fn decoder(&mut self) -> WriteCodec {
        *self
    }
}

impl Decoder for WriteCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}

impl Encoder for WriteCodec {
    type Item = Reply;
    type Error = Status;

    fn encode(&mut self, reply: Reply, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(reply.encoded_len_max());
        reply.encode(self.0, target);
        Ok(())
    }
}

/// One `WriteResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The id that the client gave its message, which traces call version.
    pub message_id: u64,
    /// Name of the status, such as `STATUS_SUCCEED`.
    pub status: &'static str,
    /// The `common.v1.Metadata` in force for the message, encoded as the client sent it.
    pub metadata: Bytes,
}

/// Numbers of the fields of a `WriteResponse`.
struct Fields {
    message_id: u8,
    status: u8,
    metadata: u8,
}

fn fields_of(model: Model) -> Fields {
    match model {
        Model::Measure | Model::Stream => Fields { message_id: 1, status: 2, metadata: 3 },
        Model::Trace => Fields { message_id: 2, status: 3, metadata: 1 },
    }
}

/// Wire type of texts and messages.
const DELIMITED: u8 = 2;
/// Three tags and three varints.
const OVERHEAD_BYTES_MAX: usize = 3 + 3 * 10;

impl Reply {
    fn encoded_len_max(&self) -> usize {
        self.status.len() + self.metadata.len() + OVERHEAD_BYTES_MAX
    }

    fn encode(&self, model: Model, out: &mut impl BufMut) {
        let fields = fields_of(model);
        if self.message_id != 0 {
            out.put_u8(fields.message_id << 3);
            put_varint(self.message_id, out);
        }
        put_bytes(fields.status << 3 | DELIMITED, self.status.as_bytes(), out);
        put_bytes(fields.metadata << 3 | DELIMITED, &self.metadata, out);
    }
}

fn put_bytes(tag: u8, bytes: &[u8], out: &mut impl BufMut) {
    out.put_u8(tag);
    put_varint(bytes.len() as u64, out);
    out.put_slice(bytes);
}

fn put_varint(mut value: u64, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{measure::WriteResponse, trace};
    use prost::Message;

    impl WriteCodec {
        /// The message that a client decodes.
        pub fn decoded(reply: &Reply) -> WriteResponse {
            let mut bytes = Vec::new();
            reply.encode(Model::Measure, &mut bytes);
            assert!(bytes.len() <= reply.encoded_len_max());
            WriteResponse::decode(&*bytes).unwrap()
        }
    }

    #[test]
    fn a_reply_is_what_the_generated_message_would_be() {
        let metadata =
            crate::api::common::Metadata { group: "g".into(), name: "n".repeat(300), ..Default::default() };
        for message_id in [0, 1, 127, 128, u64::MAX] {
            let reply =
                Reply { message_id, status: "STATUS_SUCCEED", metadata: metadata.encode_to_vec().into() };
            let status = "STATUS_SUCCEED".to_owned();
            let want = WriteResponse { message_id, status, metadata: Some(metadata.clone()) };
            assert_eq!(WriteCodec::decoded(&reply), want);
            let mut span = Vec::new();
            reply.encode(Model::Trace, &mut span);
            let (version, status) = (message_id, want.status);
            let want = trace::WriteResponse { version, status, metadata: Some(metadata.clone()) };
            assert_eq!(trace::WriteResponse::decode(&*span).unwrap(), want);
        }
    }
}
