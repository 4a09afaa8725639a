//! The tags of an answer: which ones in which order, where their values come from, and their messages.

use crate::context::GroupTarget;
use crate::error::QueryResult;
use crate::schema::RowSchema;
use crate::values;
use crate::view::{TagSource, View};
use pipal_api::model::v1::{Tag, TagFamily, TagValue, tag_value};
use pipal_model::ValueRef;
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
                let value = shown(view.tag_value(tag.sources[group], row, scratch), empty_arrays);
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

fn shown(value: ValueRef<'_>, empty_arrays: EmptyArrays) -> tag_value::Value {
    match (value, empty_arrays) {
        (ValueRef::StrArray([]) | ValueRef::IntArray([]), EmptyArrays::Null) => tag_value::Value::Null(0),
        (value, _) => values::tag_value(value),
    }
}
