//! Terms: the bytes by which columns are indexed, and which columns are.
//!
//! A value has the terms that conditions compare (measure specification, 3.5): text its bytes, integers their
//! order-preserving form, arrays one per element. Times, doubles and bytes are not indexed: nobody asks for equal ones.
//!
//! Filters of chunks hold the same terms, but of analysed text its words. A value that equals a text has all words of
//! it, so that words answer for whole values too.

use crate::rows::ColumnUse;
use pipal_model::value::{decode_int_array, decode_str_array, int_term};
use pipal_model::{Analyzer, ColumnDef, ColumnType, Layout, RowPolicy, ValueRef};

/// Longer terms are not in filters of chunks, and not asked for there: nobody looks for a whole message.
pub(crate) const FILTER_TERM_BYTES_MAX: usize = 256;

/// True for types whose values have terms.
pub(crate) fn has_terms(ty: ColumnType) -> bool {
    match ty {
        ColumnType::Str | ColumnType::Int | ColumnType::StrArray | ColumnType::IntArray => true,
        ColumnType::Float | ColumnType::Binary | ColumnType::Timestamp => false,
    }
}

/// What a layout uses a column for.
pub(crate) fn use_of(layout: &Layout, column: &ColumnDef) -> ColumnUse {
    let filter = column.filter.filter(|_| has_terms(column.key.ty));
    ColumnUse { indexed: is_indexed(layout, column), filter }
}

/// True for the columns of a layout that are indexed: the attributes of a measure, and all tags of documents.
fn is_indexed(layout: &Layout, column: &ColumnDef) -> bool {
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

/// Calls `visit` with the words of a text, or of the elements of an array, until it returns true; tells whether it did.
pub(crate) fn any_word(
    value: ValueRef<'_>,
    analyzer: Analyzer,
    mut visit: impl FnMut(&[u8]) -> bool,
) -> bool {
    let mut in_text = |text: &[u8]| {
        let mut found = false;
        analyzer.tokens(text, |word| {
            found = visit(word);
            !found
        });
        found
    };
    match value {
        ValueRef::Str(text) => in_text(text),
        ValueRef::StrArray(bytes) => decode_str_array(bytes).any(in_text),
        _ => false,
    }
}

/// Calls `visit` with the terms that a value has in a filter of this analyzer.
pub(crate) fn each_filter_term(value: ValueRef<'_>, analyzer: Analyzer, mut visit: impl FnMut(&[u8])) {
    let short = |term: &[u8]| {
        if term.len() <= FILTER_TERM_BYTES_MAX {
            visit(term);
        }
        false
    };
    match value {
        ValueRef::Str(_) | ValueRef::StrArray(_) if analyzer != Analyzer::Keyword => {
            any_word(value, analyzer, short);
        }
        value => _ = any_term(value, short),
    }
}

/// A number by which values of a type are ordered; none for values that are no numbers.
pub(crate) fn ordered_number(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Int(number) | ValueRef::Timestamp(number) => Some(number),
        ValueRef::Float(number) => Some(ordered_float(number)),
        _ => None,
    }
}

/// Doubles as integers of the same order: -NaN, -infinity, ..., -0, 0, ..., infinity, NaN.
pub fn ordered_float(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    // The bits of negative doubles ascend with their magnitude.
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn doubles_keep_their_order_as_integers(a: f64, b: f64) {
            prop_assert_eq!(a.total_cmp(&b), ordered_float(a).cmp(&ordered_float(b)));
        }
    }
}
