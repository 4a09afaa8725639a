//! A view of a measure's write request over its bytes.

use std::borrow::Cow;
use std::fmt;

use prost::Message;
use prost_types::Timestamp;

use super::cursor::{Cursor, Step, Unusual, delimited, varint};
use super::slot::{WriteSlots, timestamp};
use crate::measure::v1::{DataPointValue, WriteRequest};
use crate::validate::{Validate, Violations};

/// A `measure.v1.WriteRequest` without its tag and field values, which [`WriteSlots`] hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasureWriteView<'a> {
    /// Which measure; absent means the one of the stream's previous request.
    pub metadata: Option<MetadataView<'a>>,
    /// The encoded, checked `DataPointSpec`, which names tags and fields; absent means the previous one. Equal bytes
    /// mean the same spec, so a writer that repeats it costs a comparison.
    pub spec: Option<&'a [u8]>,
    /// The sender's number of this request; zero if absent.
    pub message_id: u64,
    /// The data point, if there is one.
    pub data_point: Option<DataPointView>,
}

/// A `common.v1.Metadata`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataView<'a> {
    /// The encoded message, to send back as it came.
    pub bytes: &'a [u8],
    /// The group.
    pub group: &'a str,
    /// The name of the measure.
    pub name: &'a str,
    /// The revision of the schema that the writer knows; zero if it does not say.
    pub mod_revision: i64,
}

/// A `measure.v1.DataPointValue` without its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataPointView {
    /// The time, as it was sent.
    pub timestamp: Option<Timestamp>,
    /// The version; zero if absent.
    pub version: i64,
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

impl<'a> MeasureWriteView<'a> {
    /// Reads a request, and its values into `slots`, replacing what they hold.
    ///
    /// Accepts exactly what the generated decoder accepts, with the same outcome. Input that needs merging, such as a
    /// field that occurs twice, goes through that decoder: `spare` then holds the bytes that the view borrows.
    ///
    /// # Errors
    /// If the bytes are no well-formed request.
    pub fn parse(
        bytes: &'a [u8],
        spare: &'a mut Vec<u8>,
        slots: &mut WriteSlots<'a>,
    ) -> Result<Self, MalformedWrite> {
        if let Ok(view) = Self::read(bytes, slots) {
            return Ok(view);
        }
        let request = WriteRequest::decode(bytes).map_err(|e| MalformedWrite(e.to_string().into()))?;
        *spare = request.encode_to_vec();
        Self::read(spare, slots)
            .map_err(|Unusual| MalformedWrite("re-encoded request is not readable".into()))
    }

    /// Checks the rules of a write request.
    ///
    /// # Errors
    /// The violations that the generated message would report.
    pub fn validate(&self, slots: &WriteSlots<'_>) -> Result<(), Violations> {
        let families = slots.families().len();
        if self.message_id > 0 && families > 0 && self.data_point.is_some_and(|p| p.timestamp.is_some()) {
            return Ok(());
        }
        // One place knows the rules and their texts: give it a request with the same gaps.
        let data_point = self.data_point.map(|point| DataPointValue {
            timestamp: point.timestamp,
            tag_families: vec![Default::default(); families.min(1)],
            ..Default::default()
        });
        WriteRequest { data_point, message_id: self.message_id, ..Default::default() }.validate()
    }

    fn read(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<Self> {
        const METADATA: u32 = delimited(1);
        const DATA_POINT: u32 = delimited(2);
        const MESSAGE_ID: u32 = varint(3);
        const SPEC: u32 = delimited(4);
        slots.clear();
        let mut view = MeasureWriteView { metadata: None, spec: None, message_id: 0, data_point: None };
        let mut cursor = Cursor::new(bytes);
        while let Some(key) = cursor.next_key()? {
            match key {
                METADATA => set(&mut view.metadata, MetadataView::read(cursor.bytes()?)?)?,
                DATA_POINT => set(&mut view.data_point, DataPointView::read(cursor.bytes()?, slots)?)?,
                MESSAGE_ID => view.message_id = cursor.varint()?,
                SPEC => set(&mut view.spec, checked_spec(cursor.bytes()?)?)?,
                other => cursor.skip(other, 4)?,
            }
        }
        Ok(view)
    }
}

impl<'a> MetadataView<'a> {
    fn read(bytes: &'a [u8]) -> Step<Self> {
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

impl DataPointView {
    fn read<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<Self> {
        const TIMESTAMP: u32 = delimited(1);
        const FAMILY: u32 = delimited(2);
        const FIELD: u32 = delimited(3);
        const VERSION: u32 = varint(4);
        let mut view = DataPointView::default();
        let mut cursor = Cursor::new(bytes);
        while let Some(key) = cursor.next_key()? {
            match key {
                TIMESTAMP => set(&mut view.timestamp, timestamp(cursor.bytes()?)?)?,
                FAMILY => slots.push_family(cursor.bytes()?)?,
                FIELD => slots.push_field(cursor.bytes()?)?,
                VERSION => view.version = cursor.int64()?,
                other => cursor.skip(other, 4)?,
            }
        }
        Ok(view)
    }
}

/// Sets a message field that is not set yet; a second occurrence has to be merged.
fn set<T>(place: &mut Option<T>, value: T) -> Step<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Unusual),
    }
}

/// Checks an encoded `DataPointSpec`.
fn checked_spec(bytes: &[u8]) -> Step<&[u8]> {
    const FAMILY: u32 = delimited(1);
    const FIELD_NAME: u32 = delimited(2);
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            FAMILY => check_family_spec(cursor.bytes()?)?,
            FIELD_NAME => cursor.text().map(|_| ())?,
            other => cursor.skip(other, 2)?,
        }
    }
    Ok(bytes)
}

/// Checks an encoded `TagFamilySpec`: its name, and the names of its tags.
fn check_family_spec(bytes: &[u8]) -> Step<()> {
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
