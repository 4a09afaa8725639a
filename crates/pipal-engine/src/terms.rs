//! Terms: the bytes by which columns are indexed, and which columns are.
//!
//! A value has the terms that conditions compare (measure specification, 3.5): text its bytes, integers their
//! order-preserving form, arrays one per element. Times, doubles and bytes are not indexed: nobody asks for equal ones.

use pipal_model::value::{decode_int_array, decode_str_array, int_term};
use pipal_model::{ColumnDef, ColumnType, Layout, RowPolicy, ValueRef};

/// True for types whose values have terms.
pub(crate) fn has_terms(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Str | ColumnType::Int | ColumnType::StrArray | ColumnType::IntArray => true,
        ColumnType::Float | ColumnType::Binary | ColumnType::Timestamp => false,
    }
}

/// True for the columns of a layout that are indexed: the attributes of a measure, and all tags of documents.
pub(crate) fn is_indexed(layout: &Layout, column: &ColumnDef) -> bool {
    let wanted = match layout.policy() {
        RowPolicy::Latest | RowPolicy::Document => !column.key.family.is_empty(),
        RowPolicy::Versioned | RowPolicy::Collapse => column.attribute,
    };
    wanted && has_terms(column.key.ty)
}

/// Calls `visit` with the terms of a value until it returns true; tells whether it did.
pub(crate) fn any_term(value: ValueRef<'_>, mut visit: impl FnMut(&[u8]) -> bool) -> bool {
    match value {
        ValueRef::Str(text) => visit(text),
        ValueRef::Int(v) => visit(&int_term(v)),
        ValueRef::StrArray(bytes) => decode_str_array(bytes).any(visit),
        ValueRef::IntArray(bytes) => decode_int_array(bytes).any(|v| visit(&int_term(v))),
        ValueRef::Absent
        | ValueRef::Null
        | ValueRef::Float(_)
        | ValueRef::Binary(_)
        | ValueRef::Timestamp(_) => false,
    }
}

/// True when a value has one of the terms, which are sorted.
pub(crate) fn has_any_of(value: ValueRef<'_>, terms: &[Box<[u8]>]) -> bool {
    any_term(value, |term| terms.binary_search_by(|probe| (**probe).cmp(term)).is_ok())
}
