//! A view of a write request over its bytes, the same for all models.

use std::borrow::Cow;
use std::fmt;

use prost::DecodeError;
use prost_types::Timestamp;

use super::cursor::{Cursor, Step, Unusual, delimited, varint};
use super::slot::WriteSlots;
use super::{measure, stream, trace};
use crate::validate::Violations;

/// The models whose rows are written by streams of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Model {
    /// `measure.v1`.
    Measure,
    /// `stream.v1`.
    Stream,
    /// `trace.v1`.
    Trace,
}

impl Model {
    /// The name of the model in metrics, logs and packages of the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Model::Measure => "measure",
            Model::Stream => "stream",
            Model::Trace => "trace",
        }
    }
}

/// The family that the tags of a trace are in; its messages have none.
pub const TRACE_FAMILY: &str = "trace";

/// A `WriteRequest` without its tag and field values, which [`WriteSlots`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteView<'a> {
    /// Which resource; absent means the one of the stream's previous request.
    pub metadata: Option<MetadataView<'a>>,
    /// The encoded, checked `measure.v1.DataPointSpec`, which names tags and fields; absent means the previous one,
    /// unless [`WriteSlots::spec`] has one. Equal bytes mean the same spec, so a writer that repeats it costs a
    /// comparison.
    pub spec: Option<&'a [u8]>,
    /// The sender's number of this request, which traces call its version; zero if absent.
    pub message_id: u64,
    /// The data point, element or span, if there is one.
    pub value: Option<ValueView<'a>>,
}

/// A `common.v1.Metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataView<'a> {
    /// The encoded message, to send back as it came.
    pub bytes: &'a [u8],
    /// The group.
    pub group: &'a str,
    /// The name of the resource.
    pub name: &'a str,
    /// The revision of the schema that the writer knows; zero if it does not say.
    pub mod_revision: i64,
}

/// What is written, without its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValueView<'a> {
    /// The time of a data point or element, as it was sent; a span has it in a tag.
    pub timestamp: Option<Timestamp>,
    /// The version of a data point; zero if absent.
    pub version: i64,
    /// The id of an element; empty if absent.
    pub element_id: &'a str,
}

/// A write request that is no well-formed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MalformedWrite(Cow<'static, str>);

impl fmt::Display for MalformedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MalformedWrite {}

impl<'a> WriteView<'a> {
    /// Reads a request, and its values into `slots`, replacing what they hold.
    ///
    /// Accepts exactly what the generated decoder accepts, with the same outcome. Input that needs merging, such as a
    /// field that occurs twice, goes through that decoder: `spare` then holds the bytes that the view borrows.
    ///
    /// # Errors
    /// If the bytes are no well-formed request.
    pub fn parse(
        model: Model,
        bytes: &'a [u8],
        spare: &'a mut Vec<u8>,
        slots: &mut WriteSlots<'a>,
    ) -> Result<Self, MalformedWrite> {
        if let Ok(view) = read(model, bytes, slots) {
            return Ok(view);
        }
        *spare = canonical(model, bytes).map_err(|e| MalformedWrite(e.to_string().into()))?;
        read(model, spare, slots)
            .map_err(|Unusual| MalformedWrite("re-encoded request is not readable".into()))
    }

    /// Checks the rules of a write request.
    ///
    /// # Errors
    /// The violations that the generated message would report.
    pub fn validate(&self, model: Model, slots: &WriteSlots<'_>) -> Result<(), Violations> {
        match model {
            Model::Measure => measure::validate(self, slots),
            Model::Stream => stream::validate(self),
            Model::Trace => trace::validate(self, slots),
        }
    }

    pub(super) const EMPTY: WriteView<'static> =
        WriteView { metadata: None, spec: None, message_id: 0, value: None };
}

fn read<'a>(model: Model, bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<WriteView<'a>> {
    slots.clear();
    match model {
        Model::Measure => measure::read(bytes, slots),
        Model::Stream => stream::read(bytes, slots),
        Model::Trace => trace::read(bytes, slots),
    }
}

/// The request as the generated code encodes it: every field once, in order.
fn canonical(model: Model, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    match model {
        Model::Measure => measure::canonical(bytes),
        Model::Stream => stream::canonical(bytes),
        Model::Trace => trace::canonical(bytes),
    }
}

impl<'a> MetadataView<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Step<Self> {
        const GROUP: u32 = delimited(1);
        const NAME: u32 = delimited(2);
        const ID: u32 = varint(3);
        const CREATE_REVISION: u32 = varint(4);
        const MOD_REVISION: u32 = varint(5);
        let mut view = MetadataView { bytes, group: "", name: "", mod_revision: 0 };
        let mut cursor = Cursor::new(bytes);
        while let Some(key) = cursor.next_key()? {
            match key {
                GROUP => view.group = cursor.text()?,
                NAME => view.name = cursor.text()?,
                ID | CREATE_REVISION => cursor.varint().map(|_| ())?,
                MOD_REVISION => view.mod_revision = cursor.int64()?,
                other => cursor.skip(other, 5)?,
            }
        }
        Ok(view)
    }
}

/// Sets a message field that is not set yet; a second occurrence has to be merged.
pub(super) fn set<T>(place: &mut Option<T>, value: T) -> Step<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Unusual),
    }
}

/// Checks an encoded `TagFamilySpec`: its name, and the names of its tags.
pub(super) fn check_family_spec(bytes: &[u8]) -> Step<()> {
    const NAME: u32 = delimited(1);
    const TAG_NAME: u32 = delimited(2);
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            NAME | TAG_NAME => cursor.text().map(|_| ())?,
            other => cursor.skip(other, 2)?,
        }
    }
    Ok(())
}
