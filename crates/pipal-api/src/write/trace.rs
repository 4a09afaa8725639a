//! Reading a `trace.v1.WriteRequest`. Its tags become one family, and the payload of the span the only field.

use prost::{DecodeError, Message};

use super::cursor::{Cursor, Step, Unusual, delimited, varint};
use super::slot::{Slot, WriteSlots};
use super::view::{MetadataView, TRACE_FAMILY, ValueView, WriteView, set};
use crate::measure::v1::TagFamilySpec;
use crate::trace::v1::{TagSpec, WriteRequest};
use crate::validate::{Validate, Violations};

pub(super) fn canonical(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Ok(WriteRequest::decode(bytes)?.encode_to_vec())
}

pub(super) fn validate(view: &WriteView<'_>, slots: &WriteSlots<'_>) -> Result<(), Violations> {
    let tags = slots.families().next().map_or(0, <[Slot<'_>]>::len);
    if view.message_id > 0 && tags > 0 {
        return Ok(());
    }
    // One place knows the rules and their texts: give it a request with the same gaps.
    let tags = vec![Default::default(); tags.min(1)];
    WriteRequest { tags, version: view.message_id, ..Default::default() }.validate()
}

pub(super) fn read<'a>(bytes: &'a [u8], slots: &mut WriteSlots<'a>) -> Step<WriteView<'a>> {
    const METADATA: u32 = delimited(1);
    const TAG: u32 = delimited(2);
    const SPAN: u32 = delimited(3);
    const VERSION: u32 = varint(4);
    const SPEC: u32 = delimited(5);
    let mut view = WriteView { value: Some(ValueView::default()), ..WriteView::EMPTY };
    let mut span: &[u8] = &[];
    let mut spec = None;
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            METADATA => set(&mut view.metadata, MetadataView::read(cursor.bytes()?)?)?,
            TAG => slots.push_tag(cursor.bytes()?)?,
            SPAN => span = cursor.bytes()?,
            VERSION => view.message_id = cursor.varint()?,
            SPEC => set(&mut spec, checked_spec(cursor.bytes()?)?)?,
            other => cursor.skip(other, 5)?,
        }
    }
    slots.end_family();
    slots.set_field(Slot::Binary(span));
    if let Some(spec) = spec {
        // The spec of a trace lists names only; here it is that of the one family.
        let tag_names = TagSpec::decode(spec).map_err(|_| Unusual)?.tag_names;
        slots.push_family_spec(&TagFamilySpec { name: TRACE_FAMILY.into(), tag_names }.encode_to_vec());
    }
    Ok(view)
}

/// Checks an encoded `TagSpec`.
fn checked_spec(bytes: &[u8]) -> Step<&[u8]> {
    const NAME: u32 = delimited(1);
    let mut cursor = Cursor::new(bytes);
    while let Some(key) = cursor.next_key()? {
        match key {
            NAME => cursor.text().map(|_| ())?,
            other => cursor.skip(other, 1)?,
        }
    }
    Ok(bytes)
}
