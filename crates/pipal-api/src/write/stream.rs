//! Reading a `stream.v1.WriteRequest`.

use prost::{DecodeError, Message};

use super::cursor::{Cursor, Step, delimited, varint};
use super::slot::{WriteSlots, timestamp};
use super::view::{MetadataView, ValueView, WriteView, check_family_spec, set};
use crate::stream::v1::{ElementValue, WriteRequest};
use crate::validate::{Validate, Violations};

pub(super) fn canonical(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(WriteRequest::decode(bytes)?.encode_to_vec())
}

pub(super) fn validate(view: &WriteView<'_>) -> Result<(), Violations> {
    if view.message_id > 0 && view.value.is_some() {
        return Ok(());
    }
    // One place knows the rules and their texts: give it a request with the same gaps.
    let element = view.value.map(|_| ElementValue::default());
    WriteRequest { element, message_id: view.message_id, ..Default::default() }.validate()
}

pub(super) fn read<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<WriteView<'a>> {
    const METADATA: u32 = delimited(1);
    const ELEMENT: u32 = delimited(2);
    const MESSAGE_ID: u32 = varint(3);
    const SPEC: u32 = delimited(4);
    let mut view = WriteView::EMPTY;
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            METADATA => set(&mut view.metadata, MetadataView::read(cursor.bytes()?)?)?,
            ELEMENT => set(&mut view.value, element(cursor.bytes()?, slots)?)?,
            MESSAGE_ID => view.message_id = cursor.varint()?,
            SPEC => {
                let family = cursor.bytes()?;
                check_family_spec(family)?;
                slots.push_family_spec(family);
            }
            other => cursor.skip(other, 4)?,
        }
    }
    Ok(view)
}

/// Reads an `ElementValue`.
fn element<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<ValueView<'a>> {
    const ELEMENT_ID: u32 = delimited(1);
    const TIMESTAMP: u32 = delimited(2);
    const FAMILY: u32 = delimited(3);
    let mut view = ValueView::default();
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            ELEMENT_ID => view.element_id = cursor.text()?,
            TIMESTAMP => set(&mut view.timestamp, timestamp(cursor.bytes()?)?)?,
            FAMILY => slots.push_family(cursor.bytes()?)?,
            other => cursor.skip(other, 3)?,
        }
    }
    Ok(view)
}
