//! Values of tags and fields, borrowed from the bytes of a request.

use prost_types::Timestamp;

use super::cursor::{Cursor, Step, Unusual, delimited, fixed64, varint};

/// The value of one tag or field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slot<'a> {
    /// A value message without a value.
    Unset,
    /// An explicit null.
    Null,
    /// Text: valid UTF-8.
    Str(&'a [u8]),
    /// An integer.
    Int(i64),
    /// Any bytes.
    Binary(&'a [u8]),
    /// A list of texts.
    StrArray(StrArray<'a>),
    /// A list of integers.
    IntArray(IntArray<'a>),
    /// A point in time, as it was sent.
    Timestamp(Timestamp),
    /// A float.
    Float(f64),
}

/// A checked, encoded `StrArray`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StrArray<'a>(&'a [u8]);

/// A checked, encoded `IntArray`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntArray<'a>(&'a [u8]);

/// The values of one request, in lists that are reused for the next one.
#[derive(Debug, Default)]
pub struct WriteSlots<'a> {
    tags: Vec<Slot<'a>>,
    family_ends: Vec<usize>,
    fields: Vec<Slot<'a>>,
    /// An encoded `measure.v1.DataPointSpec`, put together from a message that spells its spec otherwise.
    spec: Vec<u8>,
}

impl<'a> WriteSlots<'a> {
    /// The tags of each family, in the order of the request.
    pub fn families(&self) -> impl ExactSizeIterator<Item = &[Slot<'a>]> {
        let mut start = 0;
        self.family_ends.iter().map(move |&end| {
            let tags = self.tags.get(start..end).unwrap_or_default();
            start = end;
            tags
        })
    }

    /// The fields, in the order of the request.
    pub fn fields(&self) -> &[Slot<'a>] {
        &self.fields
    }

    /// The spec of a stream or trace in the form that a measure has it; none when the request has none.
    pub fn spec(&self) -> Option<&[u8]> {
        Some(&*self.spec).filter(|spec| !spec.is_empty())
    }

    /// Sets the only field of a request whose message has none.
    pub fn set_field(&mut self, value: Slot<'a>) {
        self.fields.clear();
        self.fields.push(value);
    }

    /// The same lists, emptied, for a request of another lifetime.
    pub fn recycle<'b>(self) -> WriteSlots<'b> {
        WriteSlots {
            tags: emptied(self.tags),
            family_ends: self.family_ends,
            fields: emptied(self.fields),
            spec: self.spec,
        }
        .cleared()
    }

    #[cfg(test)]
    pub(super) fn tag_capacity(&self) -> usize {
        self.tags.capacity()
    }

    fn cleared(mut self) -> Self {
        self.clear();
        self
    }

    pub(super) fn clear(&mut self) {
        self.tags.clear();
        self.family_ends.clear();
        self.fields.clear();
        self.spec.clear();
    }

    /// Appends an encoded `TagFamilySpec` to the spec.
    pub(super) fn push_family_spec(&mut self, family: &[u8]) {
        const FAMILY: u8 = 1 << 3 | 2;
        self.spec.push(FAMILY);
        prost::encoding::encode_varint(family.len() as u64, &mut self.spec);
        self.spec.extend_from_slice(family);
    }

    /// Appends a tag to the family that [`WriteSlots::end_family`] ends.
    pub(super) fn push_tag(&mut self, tag: &'a [u8]) -> Step<()> {
        self.tags.push(Slot::of_tag(tag)?);
        Ok(())
    }

    pub(super) fn end_family(&mut self) {
        self.family_ends.push(self.tags.len());
    }

    pub(super) fn push_family(&mut self, family: &'a [u8]) -> Step<()> {
        const TAG: u32 = delimited(1);
        let mut cursor = Cursor::new(family);
        while let Some(key) = cursor.next_key()? {
            match key {
                TAG => self.tags.push(Slot::of_tag(cursor.bytes()?)?),
                other => cursor.skip(other, 1)?,
            }
        }
        self.family_ends.push(self.tags.len());
        Ok(())
    }

    pub(super) fn push_field(&mut self, field: &'a [u8]) -> Step<()> {
        self.fields.push(Slot::of_field(field)?);
        Ok(())
    }
}

/// An empty list that keeps the memory of `list`: collecting into a list of the same layout happens in place.
fn emptied<'b>(mut list: Vec<Slot<'_>>) -> Vec<Slot<'b>> {
    list.clear();
    list.into_iter().map_while(|_| None).collect()
}

impl<'a> Slot<'a> {
    /// Reads a `model.v1.TagValue`.
    fn of_tag(bytes: &'a [u8]) -> Step<Self> {
        const NULL: u32 = varint(1);
        const STR: u32 = delimited(2);
        const STR_ARRAY: u32 = delimited(3);
        const INT: u32 = delimited(4);
        const INT_ARRAY: u32 = delimited(5);
        const BINARY: u32 = delimited(6);
        const TIMESTAMP: u32 = delimited(7);
        Slot::only(bytes, |cursor, key| {
            Ok(match key {
                STR => Slot::Str(text(cursor.bytes()?)?),
                INT => Slot::Int(int(cursor.bytes()?)?),
                NULL => null(cursor)?,
                STR_ARRAY => Slot::StrArray(StrArray::checked(cursor.bytes()?)?),
                INT_ARRAY => Slot::IntArray(IntArray::checked(cursor.bytes()?)?),
                BINARY => Slot::Binary(cursor.bytes()?),
                TIMESTAMP => Slot::Timestamp(timestamp(cursor.bytes()?)?),
                other => return cursor.skip(other, 7).map(|()| None),
            }
            .into())
        })
    }

    /// Reads a `model.v1.FieldValue`.
    fn of_field(bytes: &'a [u8]) -> Step<Self> {
        const NULL: u32 = varint(1);
        const STR: u32 = delimited(2);
        const INT: u32 = delimited(3);
        const BINARY: u32 = delimited(4);
        const FLOAT: u32 = delimited(5);
        Slot::only(bytes, |cursor, key| {
            Ok(match key {
                INT => Slot::Int(int(cursor.bytes()?)?),
                FLOAT => Slot::Float(float(cursor.bytes()?)?),
                NULL => null(cursor)?,
                STR => Slot::Str(text(cursor.bytes()?)?),
                BINARY => Slot::Binary(cursor.bytes()?),
                other => return cursor.skip(other, 5).map(|()| None),
            }
            .into())
        })
    }

    /// The only member of a oneof that is set. Two are well-formed: the last one wins, or they merge. That is left to
    /// the general decoder.
    fn only(bytes: &'a [u8], read: impl Fn(&mut Cursor<'a>, u32) -> Step<Option<Self>>) -> Step<Self> {
        let mut cursor = Cursor::new(bytes);
        let mut slot = Slot::Unset;
        while let Some(key) = cursor.next_key()? {
            let Some(member) = read(&mut cursor, key)? else { continue };
            match std::mem::replace(&mut slot, member) {
                Slot::Unset => {}
                _ => return Err(Unusual),
            }
        }
        Ok(slot)
    }
}

fn null<'a>(cursor: &mut Cursor<'a>) -> Step<Slot<'a>> {
    // The enum has one value, and protobuf keeps the other numbers: each of them says null.
    cursor.varint().map(|_| Slot::Null)
}

/// Reads a `model.v1.Str`.
fn text(bytes: &[u8]) -> Step<&[u8]> {
    const VALUE: u32 = delimited(1);
    let mut cursor = Cursor::new(bytes);
    let mut value = "";
    while let Some(key) = cursor.next_key()? {
        match key {
            VALUE => value = cursor.text()?,
            other => cursor.skip(other, 1)?,
        }
    }
    Ok(value.as_bytes())
}

/// Reads a `model.v1.Int`.
fn int(bytes: &[u8]) -> Step<i64> {
    const VALUE: u32 = varint(1);
    let mut cursor = Cursor::new(bytes);
    let mut value = 0;
    while let Some(key) = cursor.next_key()? {
        match key {
            VALUE => value = cursor.int64()?,
            other => cursor.skip(other, 1)?,
        }
    }
    Ok(value)
}

/// Reads a `model.v1.Float`.
fn float(bytes: &[u8]) -> Step<f64> {
    const VALUE: u32 = fixed64(1);
    let mut cursor = Cursor::new(bytes);
    let mut value = 0.0;
    while let Some(key) = cursor.next_key()? {
        match key {
            VALUE => value = cursor.double()?,
            other => cursor.skip(other, 1)?,
        }
    }
    Ok(value)
}

/// Reads a `google.protobuf.Timestamp`.
pub(super) fn timestamp(bytes: &[u8]) -> Step<Timestamp> {
    const SECONDS: u32 = varint(1);
    const NANOS: u32 = varint(2);
    let mut cursor = Cursor::new(bytes);
    let mut time = Timestamp::default();
    while let Some(key) = cursor.next_key()? {
        match key {
            SECONDS => time.seconds = cursor.int64()?,
            NANOS => time.nanos = cursor.int32()?,
            other => cursor.skip(other, 2)?,
        }
    }
    Ok(time)
}

impl<'a> StrArray<'a> {
    const VALUE: u32 = delimited(1);

    fn checked(bytes: &'a [u8]) -> Step<Self> {
        let mut cursor = Cursor::new(bytes);
        while let Some(key) = cursor.next_key()? {
            match key {
                Self::VALUE => cursor.text().map(|_| ())?,
                other => cursor.skip(other, 1)?,
            }
        }
        Ok(StrArray(bytes))
    }

    /// The texts: valid UTF-8.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        // The bytes were checked, so the only way to end is the end.
        std::iter::from_fn(move || {
            loop {
                match cursor.next_key().ok()?? {
                    Self::VALUE => return cursor.bytes().ok(),
                    other => cursor.skip(other, 1).ok()?,
                }
            }
        })
    }
}

impl<'a> IntArray<'a> {
    const VALUE: u32 = varint(1);
    const PACKED: u32 = delimited(1);

    fn checked(bytes: &'a [u8]) -> Step<Self> {
        let mut cursor = Cursor::new(bytes);
        while let Some(key) = cursor.next_key()? {
            match key {
                Self::VALUE => cursor.varint().map(|_| ())?,
                Self::PACKED => {
                    let mut packed = Cursor::new(cursor.bytes()?);
                    while !packed.is_empty() {
                        packed.varint()?;
                    }
                }
                other => cursor.skip(other, 1)?,
            }
        }
        Ok(IntArray(bytes))
    }

    /// The integers, whether they were sent packed or one by one.
    pub fn iter(&self) -> impl Iterator<Item = i64> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        let mut packed = Cursor::new(&[]);
        // The bytes were checked, so the only way to end is the end.
        std::iter::from_fn(move || {
            loop {
                if !packed.is_empty() {
                    return packed.int64().ok();
                }
                match cursor.next_key().ok()?? {
                    Self::VALUE => return cursor.int64().ok(),
                    Self::PACKED => packed = Cursor::new(cursor.bytes().ok()?),
                    other => cursor.skip(other, 1).ok()?,
                }
            }
        })
    }
}
