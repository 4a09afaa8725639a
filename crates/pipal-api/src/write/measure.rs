//! Reading a `measure.v1.WriteRequest`.

use prost::{DecodeError, Message};

use super::cursor::{Cursor, Step, delimited, varint};
use super::slot::{WriteSlots, timestamp};
use super::view::{MetadataView, ValueView, WriteView, check_family_spec, set};
use crate::measure::v1::{DataPointValue, WriteRequest};
use crate::validate::{Validate, Violations};

pub(super) fn canonical(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(WriteRequest::decode(bytes)?.encode_to_vec())
}

pub(super) fn validate(view: &WriteView<'_>, slots: &WriteSlots<'_>) -> Result<(), Violations> {
    let families = slots.families().len();
    if view.message_id > 0 && families > 0 && view.value.is_some_and(|p| p.timestamp.is_some()) {
        return Ok(());
    }
    // One place knows the rules and their texts: give it a request with the same gaps.
    let data_point = view.value.map(|point| DataPointValue {
        timestamp: point.timestamp,
        tag_families: vec![Default::default(); families.min(1)],
        ..Default::default()
    });
    WriteRequest { data_point, message_id: view.message_id, ..Default::default() }.validate()
}

pub(super) fn read<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<WriteView<'a>> {
    const METADATA: u32 = delimited(1);
    const DATA_POINT: u32 = delimited(2);
    const MESSAGE_ID: u32 = varint(3);
    const SPEC: u32 = delimited(4);
    let mut view = WriteView::EMPTY;
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            METADATA => set(&mut view.metadata, MetadataView::read(cursor.bytes()?)?)?,
            DATA_POINT => set(&mut view.value, data_point(cursor.bytes()?, slots)?)?,
            MESSAGE_ID => view.message_id = cursor.varint()?,
            SPEC => set(&mut view.spec, checked_spec(cursor.bytes()?)?)?,
            other => cursor.skip(other, 4)?,
        }
    }
    Ok(view)
}

/// Reads a `DataPointValue`.
fn data_point<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<ValueView<'a>> {
    const TIMESTAMP: u32 = delimited(1);
    const FAMILY: u32 = delimited(2);
    const FIELD: u32 = delimited(3);
    const VERSION: u32 = varint(4);
    let mut view = ValueView::default();
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
