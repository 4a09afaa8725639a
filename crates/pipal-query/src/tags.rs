//! The tags of an answer: which ones in which order, where their values come from, and their messages.

use crate::error::QueryResult;
use crate::measure::GroupTarget;
use crate::schema::RowSchema;
use crate::view::{TagSource, View};
use pipal_api::model::v1::{Int, IntArray, Str, StrArray, Tag, TagFamily, TagValue, tag_value};
use pipal_model::ValueRef;
use pipal_model::value::{decode_int_array, decode_str_array};
use std::ops::Range;

/// Tags of the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OutputTags {
    /// Families that are not empty.
    pub families: Vec<OutputFamily>,
    /// Tags of all families.
    pub list: Vec<OutputTag>,
}

/// A family of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputFamily {
    /// Name.
    pub name: String,
    /// Its tags in [`OutputTags::list`].
    pub tags: Range<usize>,
}

/// A tag of the answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputTag {
    /// Name.
    pub name: String,
    /// Where it comes from, per group.
    pub sources: Vec<TagSource>,
}

/// How an empty array is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmptyArrays {
    /// As it is.
    Kept,
    /// As null.
    Null,
}

impl OutputTags {
    /// Looks up the tags of families in every group with `source`.
    pub fn resolve(
        families: &[(&str, Vec<&str>)],
        groups: &[GroupTarget],
        mut source: impl FnMut(&RowSchema, &str, &str) -> QueryResult<TagSource>,
    ) -> QueryResult<Self> {
        let mut output = OutputTags::default();
        for (family, tags) in families {
            let first = output.list.len();
            for name in tags {
                let sources = groups.iter().map(|group| source(&group.schema, family, name));
                let sources = sources.collect::<QueryResult<_>>()?;
                output.list.push(OutputTag { name: (*name).into(), sources });
            }
            output.families.push(OutputFamily { name: (*family).into(), tags: first..output.list.len() });
        }
        Ok(output)
    }

    /// Position of a tag among all tags.
    pub fn position(&self, family: &str, name: &str) -> Option<usize> {
        let family = self.families.iter().find(|f| f.name == family)?;
        family.tags.clone().find(|tag| self.list[*tag].name == name)
    }

    /// The messages of the tags of a row.
    pub fn messages(
        &self,
        view: &View<'_>,
        row: usize,
        empty_arrays: EmptyArrays,
        scratch: &mut Vec<u8>,
    ) -> Vec<TagFamily> {
        let (_, group) = view.series_of(row);
        let mut families = Vec::with_capacity(self.families.len());
        for family in &self.families {
            let mut tags = Vec::with_capacity(family.tags.len());
            for tag in &self.list[family.tags.clone()] {
                let value = tag_value(view.tag_value(tag.sources[group], row, scratch), empty_arrays);
                tags.push(Tag { key: tag.name.clone(), value: Some(TagValue { value: Some(value) }) });
            }
            families.push(TagFamily { name: family.name.clone(), tags });
        }
        families
    }

    /// About the bytes of the messages of one row beside the values' own.
    pub fn message_bytes(&self) -> usize {
        let families: usize = self.families.iter().map(|f| f.name.len() + size_of::<TagFamily>()).sum();
        families + self.list.iter().map(|tag| tag.name.len() + size_of::<Tag>()).sum::<usize>()
    }
}

/// Adds a family to the names of a projection, or finds it there.
pub(crate) fn family_of<'f, 'a>(
    families: &'f mut Vec<(&'a str, Vec<&'a str>)>,
    name: &'a str,
) -> &'f mut Vec<&'a str> {
    let at = families.iter().position(|(known, _)| *known == name).unwrap_or(families.len());
    if at == families.len() {
        families.push((name, Vec::new()));
    }
    &mut families[at].1
}

/// The value of a tag. A value that was not there when the row was written is null.
pub(crate) fn tag_value(value: ValueRef<'_>, empty_arrays: EmptyArrays) -> tag_value::Value {
    match value {
        ValueRef::Str(text) => tag_value::Value::Str(Str { value: text_of(text) }),
        ValueRef::Int(value) => tag_value::Value::Int(Int { value }),
        ValueRef::Binary(bytes) => tag_value::Value::BinaryData(bytes.to_vec().into()),
        ValueRef::Timestamp(nanos) => tag_value::Value::Timestamp(crate::trace::timestamp(nanos)),
        ValueRef::StrArray([]) | ValueRef::IntArray([]) if empty_arrays == EmptyArrays::Null => {
            tag_value::Value::Null(0)
        }
        ValueRef::StrArray(bytes) => {
            tag_value::Value::StrArray(StrArray { value: decode_str_array(bytes).map(text_of).collect() })
        }
        ValueRef::IntArray(bytes) => {
            tag_value::Value::IntArray(IntArray { value: decode_int_array(bytes).collect() })
        }
        ValueRef::Absent | ValueRef::Null | ValueRef::Float(_) => tag_value::Value::Null(0),
    }
}

/// Text came through the API as UTF-8; damaged bytes are shown as such rather than failing the query.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
