//! Rows of tables as messages.

use crate::lang::Table;
use crate::lang::define::{Kind, Resource};
use crate::values::{Type, Value, time, timestamp};
use bytes::Bytes;
use pipal_api::common::v1::Metadata;
use pipal_api::model::v1::{Tag, TagFamilyForWrite, TagValue};
use pipal_api::property::v1::apply_request::Strategy;
use pipal_api::property::v1::{ApplyRequest, Property};
use pipal_api::{measure, stream, trace};
use prost::Message;

/// A row of a table for a resource.
pub struct RowOf<'a> {
    pub resource: &'a Resource,
    pub table: &'a Table,
    pub row: &'a [String],
    pub number: u64,
    /// Without a spec: values go by position.
    pub bare: bool,
}

impl RowOf<'_> {
    /// The cell of a column, if it is there.
    pub fn text(&self, column: &str) -> Option<&str> {
        let at = self.table.columns.iter().position(|name| name == column)?;
        self.row.get(at).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// The columns of tags and fields, and what the resource says of them.
    fn columns(&self) -> impl Iterator<Item = &str> {
        self.table.columns.iter().map(String::as_str).filter(|name| !name.starts_with('@'))
    }

    fn value(&self, column: &str, ty: Type) -> Option<Value> {
        self.text(column).map(|text| Value::of_cell(text, ty))
    }

    /// Adds the value of a column, if the row has one. What comes behind a value that is not there cannot be sent.
    fn push_tag(&self, column: &str, ty: Type, is_short: &mut bool, tags: &mut Vec<TagValue>) {
        match self.value(column, ty) {
            Some(value) => {
                assert!(!*is_short, "{column} stands behind an empty cell");
                tags.push(value.tag());
            }
            None => *is_short = true,
        }
    }

    /// What no spec names: a value more, or a family more.
    fn surplus(&self, column: &str) -> Option<TagValue> {
        self.value(column, Type::Str).map(|value| value.tag())
    }

    fn time(&self) -> prost_types::Timestamp {
        timestamp(time(self.text("@time").expect("a row has a time")))
    }

    /// Tags by family, in the order of the columns, with their names. A column that the resource does not know is text
    /// of the first family.
    fn families(&self) -> (Vec<(String, Vec<String>)>, Vec<TagFamilyForWrite>) {
        let (mut spec, mut values): (Vec<(String, Vec<String>)>, Vec<TagFamilyForWrite>) = Default::default();
        let mut short: Vec<bool> = Vec::new();
        for column in self.columns().filter(|column| self.resource.field(column).is_none()) {
            let default = (self.resource.families[0].0.as_str(), Type::Str);
            let (family, ty) = self.resource.tag(column).unwrap_or(default);
            let at = spec.iter().position(|(known, _)| known == family).unwrap_or_else(|| {
                spec.push((family.to_owned(), Vec::new()));
                values.push(TagFamilyForWrite::default());
                short.push(false);
                spec.len() - 1
            });
            spec[at].1.push(column.to_owned());
            self.push_tag(column, ty, &mut short[at], &mut values[at].tags);
        }
        values[0].tags.extend(self.surplus("@more"));
        values.extend(self.surplus("@family").map(|tag| TagFamilyForWrite { tags: vec![tag] }));
        (spec, values)
    }

    fn metadata(&self) -> Option<Metadata> {
        self.resource.metadata()
    }

    pub fn message(&self) -> Bytes {
        match self.resource.kind {
            Kind::Measure => self.point().encode_to_vec().into(),
            Kind::Stream => self.element().encode_to_vec().into(),
            _ => self.span().encode_to_vec().into(),
        }
    }

    fn point(&self) -> measure::v1::WriteRequest {
        use measure::v1::{DataPointSpec, DataPointValue, TagFamilySpec, WriteRequest};
        let (names, tag_families) = self.families();
        let spec = |(name, tag_names)| TagFamilySpec { name, tag_names };
        let tag_family_spec = names.into_iter().map(spec).collect();
        let known = self.columns().filter_map(|name| Some((name, self.resource.field(name)?)));
        let (mut field_names, mut fields) = (Vec::new(), Vec::new());
        for (name, ty) in known {
            field_names.push(name.to_owned());
            fields.extend(self.value(name, ty).map(|value| value.field()));
        }
        let version = self.text("@version").map_or(0, |version| version.parse().unwrap());
        WriteRequest {
            metadata: self.metadata(),
            data_point: Some(DataPointValue { timestamp: Some(self.time()), tag_families, fields, version }),
            message_id: self.number,
            data_point_spec: (!self.bare).then_some(DataPointSpec { tag_family_spec, field_names }),
        }
    }

    fn element(&self) -> stream::v1::WriteRequest {
        use stream::v1::{ElementValue, TagFamilySpec, WriteRequest};
        let (names, tag_families) = self.families();
        let spec = |(name, tag_names)| TagFamilySpec { name, tag_names };
        let element_id = self.text("@id").unwrap_or_default().to_owned();
        WriteRequest {
            metadata: self.metadata(),
            element: Some(ElementValue { element_id, timestamp: Some(self.time()), tag_families }),
            message_id: self.number,
            tag_family_spec: names.into_iter().filter(|_| !self.bare).map(spec).collect(),
        }
    }

    fn span(&self) -> trace::v1::WriteRequest {
        let (mut tags, mut is_short) = (Vec::new(), false);
        for column in self.columns() {
            let ty = self.resource.tag(column).map_or(Type::Str, |(_, ty)| ty);
            self.push_tag(column, ty, &mut is_short, &mut tags);
        }
        tags.extend(self.surplus("@more"));
        let tag_names = self.columns().map(str::to_owned).collect();
        trace::v1::WriteRequest {
            metadata: self.metadata(),
            tags,
            span: self.text("@span").unwrap_or_default().as_bytes().to_vec().into(),
            version: self.number,
            tag_spec: (!self.bare).then_some(trace::v1::TagSpec { tag_names }),
        }
    }

    pub fn application(&self) -> ApplyRequest {
        let mut tags = Vec::new();
        for column in self.columns() {
            let Some(text) = self.text(column) else { continue };
            let ty = self.resource.tag(column).map_or(Type::Str, |(_, ty)| ty);
            tags.push(Tag { key: column.to_owned(), value: Some(Value::of_cell(text, ty).tag()) });
        }
        let strategy = match self.text("@strategy") {
            None => Strategy::Unspecified,
            Some("merge") => Strategy::Merge,
            Some("replace") => Strategy::Replace,
            Some(other) => panic!("{other:?} is no strategy"),
        };
        let id = self.text("@id").unwrap_or_default().to_owned();
        let property = Property { metadata: self.metadata(), id, tags, updated_at: None };
        ApplyRequest { property: Some(property), strategy: strategy as i32 }
    }
}
