//! One write stream, encoded before it is sent.

use bytes::Bytes;

use crate::data_model::DataModel;
use crate::protobuf::{put_bytes, put_header, put_timestamp, put_varint, timestamp_len};
use crate::shape::{Shape, put_fields};

/// Messages of one stream, ready for the wire. Message ids run without gaps from `first_id`.
#[derive(Debug, Clone)]
pub struct Batch {
    buffer: Bytes,
    /// End of each message in `buffer`.
    ends: Vec<usize>,
    pub first_id: u64,
    pub model: DataModel,
}

impl Batch {
    /// Number of messages.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Encoded size of all messages.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The messages in sending order, sharing the batch's memory.
    pub fn into_messages(self) -> impl Iterator<Item = Bytes> + Send + 'static {
        let mut start = 0;
        self.ends.into_iter().map(move |end| {
            let message = self.buffer.slice(start..end);
            start = end;
            message
        })
    }
}

/// Metadata and write spec of one schema object, sent where the object changes within a stream.
#[derive(Debug, Clone)]
pub struct WriteHeader {
    metadata: Vec<u8>,
    spec: Vec<u8>,
}

impl WriteHeader {
    /// The header of measure `group.name` with its write spec: families with their tags, and fields.
    pub fn new(group: &str, name: &str, families: &[(&str, Vec<&str>)], fields: &[&str]) -> Self {
        let mut spec_body = Vec::new();
        put_families(&mut spec_body, 1, families);
        for field in fields {
            put_bytes(&mut spec_body, 2, field.as_bytes());
        }
        let mut spec = Vec::new();
        put_bytes(&mut spec, 4, &spec_body);
        WriteHeader { metadata: encode_metadata(group, name), spec }
    }

    /// The header of stream `group.name` with its write spec: families with their tags.
    pub fn of_stream(group: &str, name: &str, families: &[(&str, Vec<&str>)]) -> Self {
        let mut spec = Vec::new();
        put_families(&mut spec, 4, families);
        WriteHeader { metadata: encode_metadata(group, name), spec }
    }

    /// The header of trace `group.name` with its write spec: the tags.
    pub fn of_trace(group: &str, name: &str, tags: &[&str]) -> Self {
        let mut spec_body = Vec::new();
        for tag in tags {
            put_bytes(&mut spec_body, 1, tag.as_bytes());
        }
        let mut spec = Vec::new();
        put_bytes(&mut spec, 5, &spec_body);
        WriteHeader { metadata: encode_metadata(group, name), spec }
    }

    /// The header of a measure of load M: tags and fields sorted by name, as the client does.
    pub fn of_shape(shape: &Shape, measure: u32) -> Self {
        let searchable = vec!["attr0", "attr1", "attr2", "attr3", "attr4", "attr5", "service_id"];
        let families = [("searchable", searchable), ("storage-only", vec!["entity_id"])];
        let fields = ["count", "summation", "value"];
        Self::new(&shape.options.group, &shape.measure_name(measure), &families, &fields)
    }
}

/// The `metadata` field of a write message.
fn encode_metadata(group: &str, name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_bytes(&mut body, 1, group.as_bytes());
    put_bytes(&mut body, 2, name.as_bytes());
    let mut metadata = Vec::new();
    put_bytes(&mut metadata, 1, &body);
    metadata
}

/// Appends tag families with the names of their tags as elements of the repeated field `field`.
fn put_families(out: &mut Vec<u8>, field: u32, families: &[(&str, Vec<&str>)]) {
    for (family, tags) in families {
        let mut body = Vec::new();
        put_bytes(&mut body, 1, family.as_bytes());
        for tag in tags {
            put_bytes(&mut body, 2, tag.as_bytes());
        }
        put_bytes(out, field, &body);
    }
}

/// Encodes messages one after the other.
#[derive(Debug)]
pub struct BatchBuilder {
    buffer: Vec<u8>,
    ends: Vec<usize>,
    first_id: u64,
    model: DataModel,
    fields: Vec<u8>,
}

impl BatchBuilder {
    /// A batch of points whose message ids start at `first_id`; `messages` is the expected number.
    pub fn new(first_id: u64, messages: usize) -> Self {
        const POINT_BYTES_EXPECTED: usize = 240;
        Self::of_model(DataModel::Measure, first_id, messages, POINT_BYTES_EXPECTED)
    }

    /// A batch for the write stream of `model`; messages are expected to take `message_bytes` each.
    pub fn of_model(model: DataModel, first_id: u64, messages: usize, message_bytes: usize) -> Self {
        BatchBuilder {
            buffer: Vec::with_capacity(messages * message_bytes),
            ends: Vec::with_capacity(messages),
            first_id,
            model,
            fields: Vec::with_capacity(64),
        }
    }

    /// Appends one message that `put_body` encodes, all but header; it is given the message's id.
    pub fn push_message(&mut self, header: Option<&WriteHeader>, put_body: impl FnOnce(&mut Vec<u8>, u64)) {
        if let Some(header) = header {
            self.buffer.extend_from_slice(&header.metadata);
            self.buffer.extend_from_slice(&header.spec);
        }
        put_body(&mut self.buffer, self.first_id + self.ends.len() as u64);
        self.ends.push(self.buffer.len());
    }

    /// Appends one point. `tags` holds the encoded `tag_families` fields, `put_values` appends the encoded `fields`
    /// fields; `header` is given where the measure changes.
    pub fn push(
        &mut self,
        header: Option<&WriteHeader>,
        time_ms: i64,
        tags: &[u8],
        put_values: impl FnOnce(&mut Vec<u8>),
    ) {
        self.fields.clear();
        put_values(&mut self.fields);
        let point_len = 2 + timestamp_len(time_ms) + tags.len() + self.fields.len();

        let out = &mut self.buffer;
        if let Some(header) = header {
            out.extend_from_slice(&header.metadata);
        }
        put_header(out, 2, point_len);
        put_timestamp(out, 1, time_ms);
        out.extend_from_slice(tags);
        out.extend_from_slice(&self.fields);
        put_varint(out, 3 << 3);
        put_varint(out, self.first_id + self.ends.len() as u64);
        if let Some(header) = header {
            out.extend_from_slice(&header.spec);
        }
        self.ends.push(self.buffer.len());
    }

    /// Number of messages so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The finished batch.
    pub fn finish(self) -> Batch {
        Batch { buffer: self.buffer.into(), ends: self.ends, first_id: self.first_id, model: self.model }
    }
}

/// Encodes the points `first..end` of one bucket of load M.
pub fn encode_points(
    shape: &Shape,
    headers: &[WriteHeader],
    points: std::ops::Range<u64>,
    bucket: u32,
    pass: u32,
    first_id: u64,
) -> Batch {
    let mut builder = BatchBuilder::new(first_id, (points.end - points.start) as usize);
    let time_ms = shape.time_ms(bucket);
    let mut current = None;
    for point in points {
        let (measure, entity) = shape.point(point);
        let header = if current == Some(measure) { None } else { headers.get(measure as usize) };
        current = Some(measure);
        let values = shape.values(measure, entity, bucket, pass);
        builder.push(header, time_ms, shape.encoded_tags(entity), |out| put_fields(out, values));
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::small_shape;
    use pipal_api::measure::v1::WriteRequest;
    use pipal_api::model::v1::{FieldValue, TagValue, field_value, tag_value};
    use prost::Message;

    fn texts(tags: &[TagValue]) -> Vec<Option<&str>> {
        let text = |tag: &'_ TagValue| match tag.value.as_ref() {
            Some(tag_value::Value::Str(text)) => Some(text.value.as_str().to_owned().leak() as &str),
            Some(tag_value::Value::Null(_)) => None,
            other => panic!("{other:?} is neither text nor null"),
        };
        tags.iter().map(text).collect()
    }

    fn int(field: &FieldValue) -> i64 {
        match field.value.as_ref() {
            Some(field_value::Value::Int(number)) => number.value,
            other => panic!("{other:?} is no whole number"),
        }
    }

    #[test]
    fn hand_written_messages_decode_as_the_contract_says() {
        let shape = small_shape(3, 4);
        let headers: Vec<WriteHeader> =
            (0..3).map(|measure| WriteHeader::of_shape(&shape, measure)).collect();
        let batch = encode_points(&shape, &headers, 2..9, 5, 1, 1_000);
        assert_eq!(batch.len(), 7);
        let messages: Vec<WriteRequest> =
            batch.into_messages().map(|bytes| WriteRequest::decode(bytes).unwrap()).collect();
        for (i, message) in messages.iter().enumerate() {
            let (measure, entity) = shape.point(2 + i as u64);
            assert_eq!(message.message_id, 1_000 + i as u64);
            let point = message.data_point.as_ref().unwrap();
            let time = point.timestamp.as_ref().unwrap();
            assert_eq!((time.seconds * 1000, time.nanos), (shape.time_ms(5), 0));
            assert_eq!(point.version, 0, "the client leaves the version to the message id");
            let searchable = texts(&point.tag_families[0].tags);
            let service = crate::shape::service_id(entity);
            let layer = crate::shape::layer_of_entity(entity);
            assert_eq!(searchable, [Some(layer), None, None, None, None, None, Some(&service)]);
            assert_eq!(texts(&point.tag_families[1].tags), [Some(shape.entity_id(entity))]);
            let values = shape.values(measure, entity, 5, 1);
            let fields: Vec<i64> = point.fields.iter().map(int).collect();
            assert_eq!(fields, [values.count, values.summation, values.value]);
        }
        // Points 2, 4 and 8 start a measure: only they carry metadata and spec.
        let starts: Vec<usize> = (0..7).filter(|&i| messages[i].metadata.is_some()).collect();
        assert_eq!(starts, [0, 2, 6]);
        let first = &messages[2];
        assert_eq!(first.metadata.as_ref().unwrap().name, shape.measure_name(1));
        let spec = first.data_point_spec.as_ref().unwrap();
        assert_eq!(spec.field_names, ["count", "summation", "value"]);
        assert_eq!(spec.tag_family_spec[0].tag_names.last().unwrap(), "service_id");
        assert_eq!(spec.tag_family_spec[1].tag_names, ["entity_id"]);
        assert!(messages.iter().all(|m| m.metadata.is_some() == m.data_point_spec.is_some()));
    }

    #[test]
    fn milliseconds_become_nanoseconds() {
        let mut builder = BatchBuilder::new(7, 1);
        builder.push(None, 12_345, &[], |_| {});
        let message = builder.finish().into_messages().next().unwrap();
        let time = WriteRequest::decode(message).unwrap().data_point.unwrap().timestamp.unwrap();
        assert_eq!((time.seconds, time.nanos), (12, 345_000_000));
    }
}
