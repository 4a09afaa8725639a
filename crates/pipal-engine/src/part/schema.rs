//! The schema table: all columns of a part once, and the distinct column lists that its resources have, with their
//! orders.

use super::wire::{Decoded, Malformed, Reader, put_bytes, put_varint};
use crate::terms::has_terms;
use pipal_model::{Analyzer, ColumnKey, ColumnType, Orders};
use std::collections::HashMap;
use std::sync::Arc;

/// Added to four times the number of a column that is indexed.
const INDEXED: u64 = 1;
/// Added if its terms are in the part.
const WITH_TERMS: u64 = 2;

/// The columns of a resource, which of them are indexed, of which the part has the terms, which have filters, and the orders.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct ColumnList {
    /// Sorted by key.
    pub(super) columns: Arc<[ColumnKey]>,
    /// One flag per column: the schema indexes it.
    pub(super) indexed: Arc<[bool]>,
    /// One flag per column: the terms of its values are in the part. Never without the flag above.
    pub(super) with_terms: Arc<[bool]>,
    /// Per column, how its values become terms of filters, if they do.
    pub(super) filters: Arc<[Option<Analyzer>]>,
    /// Orders in which the schema asks for rows.
    pub(super) orders: Arc<Orders>,
}

impl ColumnList {
    /// The place of a column.
    pub(super) fn position(&self, key: &ColumnKey) -> Option<usize> {
        let place = self.columns.partition_point(|column| column < key);
        self.columns.get(place).is_some_and(|column| column == key).then_some(place)
    }

    /// True when the terms of the column at this place are in the part.
    pub(super) fn has_terms(&self, place: usize) -> bool {
        self.with_terms.get(place).copied().unwrap_or(false)
    }
}

/// Column lists by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SchemaTable {
    schemas: Vec<ColumnList>,
    heap_bytes: usize,
}

impl SchemaTable {
    pub(super) fn get(&self, schema: u32) -> Decoded<&ColumnList> {
        self.schemas.get(schema as usize).ok_or(Malformed("a known schema"))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap_bytes
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let count = reader.count(3)?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let family = reader.text()?.into();
            let name = reader.text()?.into();
            let ty = ColumnType::from_code(reader.u8()?).ok_or(Malformed("a column type"))?;
            columns.push(ColumnKey { family, name, ty });
        }
        let count = reader.count(1)?;
        let mut table = SchemaTable::default();
        for _ in 0..count {
            let length = reader.count(1)?;
            let mut schema: Vec<ColumnKey> = Vec::with_capacity(length);
            let (mut indexed, mut with_terms) = (Vec::with_capacity(length), Vec::with_capacity(length));
            for _ in 0..length {
                let code = reader.varint()?;
                let column = columns.get((code >> 2) as usize).ok_or(Malformed("a known column"))?;
                let is_known = match code & (INDEXED | WITH_TERMS) {
                    0 => true,
                    WITH_TERMS => false,
                    _ => has_terms(column.ty),
                };
                if !is_known {
                    return Err(Malformed("an index of a type that has terms"));
                }
                table.heap_bytes += size_of::<ColumnKey>() + column.family.len() + column.name.len() + 3;
                schema.push(column.clone());
                indexed.push(code & INDEXED != 0);
                with_terms.push(code & WITH_TERMS != 0);
            }
            let filters = decode_filters(reader, &schema)?;
            let orders = Arc::new(reader.orders(&schema)?);
            let (indexed, with_terms) = (indexed.into(), with_terms.into());
            table.schemas.push(ColumnList { columns: schema.into(), indexed, with_terms, filters, orders });
        }
        Ok(table)
    }
}

/// Few columns have filters: they are listed behind the columns.
fn decode_filters(reader: &mut Reader<'_>, columns: &[ColumnKey]) -> Decoded<Arc<[Option<Analyzer>]>> {
    let count = reader.count(2)?;
    let mut filters = vec![None; columns.len()];
    let mut next = 0usize;
    for _ in 0..count {
        let place = next.saturating_add(reader.varint_u32()? as usize);
        let analyzer = Analyzer::from_code(reader.u8()?).ok_or(Malformed("an analyzer"))?;
        match (filters.get_mut(place), columns.get(place)) {
            (Some(filter), Some(column)) if has_terms(column.ty) => *filter = Some(analyzer),
            _ => return Err(Malformed("a filter of a type that has terms")),
        }
        next = place + 1;
    }
    Ok(filters.into())
}

fn encode_filters(filters: &[Option<Analyzer>], out: &mut Vec<u8>) {
    put_varint(filters.iter().flatten().count() as u64, out);
    let mut next = 0;
    for (place, filter) in filters.iter().enumerate() {
        if let Some(analyzer) = filter {
            put_varint((place - next) as u64, out);
            out.push(analyzer.code());
            next = place + 1;
        }
    }
}

/// Numbers column lists while a part is written.
#[derive(Default)]
pub(super) struct SchemaBuilder {
    columns: HashMap<ColumnKey, u32>,
    columns_encoded: Vec<u8>,
    schemas: HashMap<ColumnList, u32>,
    schemas_encoded: Vec<u8>,
}

impl SchemaBuilder {
    /// The number of a column list.
    pub(super) fn number(&mut self, schema: ColumnList) -> u32 {
        if let Some(&number) = self.schemas.get(&schema) {
            return number;
        }
        put_varint(schema.columns.len() as u64, &mut self.schemas_encoded);
        let flags = schema.indexed.iter().zip(schema.with_terms.iter());
        for (column, (indexed, with_terms)) in schema.columns.iter().zip(flags) {
            debug_assert!(*indexed || !*with_terms, "only indexed columns have lists of terms");
            let flags = if *indexed { INDEXED } else { 0 } | if *with_terms { WITH_TERMS } else { 0 };
            put_varint(u64::from(self.column(column)) << 2 | flags, &mut self.schemas_encoded);
        }
        encode_filters(&schema.filters, &mut self.schemas_encoded);
        let place = |column: &ColumnKey| schema.position(column).map_or(u64::MAX, |place| place as u64);
        schema.orders.encode(place, &mut self.schemas_encoded);
        let number = self.schemas.len() as u32;
        self.schemas.insert(schema, number);
        number
    }

    fn column(&mut self, column: &ColumnKey) -> u32 {
        if let Some(&number) = self.columns.get(column) {
            return number;
        }
        put_bytes(column.family.as_bytes(), &mut self.columns_encoded);
        put_bytes(column.name.as_bytes(), &mut self.columns_encoded);
        self.columns_encoded.push(column.ty.code());
        let number = self.columns.len() as u32;
        self.columns.insert(column.clone(), number);
        number
    }

    /// Appends what [`SchemaTable::decode`] reads.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.columns.len() as u64, out);
        out.extend_from_slice(&self.columns_encoded);
        put_varint(self.schemas.len() as u64, out);
        out.extend_from_slice(&self.schemas_encoded);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipal_model::OrderKey;

    fn key(family: &str, name: &str, ty: ColumnType) -> ColumnKey {
        ColumnKey { family: family.into(), name: name.into(), ty }
    }

    #[test]
    fn an_index_or_a_filter_of_doubles_is_refused() {
        let columns = [key("", "v", ColumnType::Float)].into();
        let list = ColumnList {
            columns,
            indexed: [true].into(),
            with_terms: [true].into(),
            filters: [None].into(),
            orders: Arc::default(),
        };
        let filtered = ColumnList {
            indexed: [false].into(),
            with_terms: [false].into(),
            filters: [Some(Analyzer::Keyword)].into(),
            ..list.clone()
        };
        for list in [list, filtered] {
            let mut builder = SchemaBuilder::default();
            builder.number(list);
            let mut bytes = Vec::new();
            builder.encode(&mut bytes);
            assert!(SchemaTable::decode(&mut Reader::new(&bytes)).is_err());
        }
    }

    #[test]
    fn equal_lists_share_a_number_and_retyped_columns_do_not() {
        let mut builder = SchemaBuilder::default();
        let list = |columns: Vec<ColumnKey>, indexed: &[bool]| ColumnList {
            with_terms: columns.iter().map(|_| false).collect(),
            filters: columns.iter().map(|_| None).collect(),
            columns: columns.into(),
            indexed: indexed.into(),
            orders: Arc::default(),
        };
        let columns = || vec![key("", "v", ColumnType::Int), key("f", "t", ColumnType::Str)];
        let a = list(columns(), &[false, false]);
        let b = list(vec![key("", "v", ColumnType::Float)], &[false]);
        let indexed = list(columns(), &[false, true]);
        let none = list(vec![], &[]);
        let copy = list(columns(), &[false, false]);
        let with_terms = ColumnList { with_terms: [false, true].into(), ..indexed.clone() };
        let by_value = OrderKey::Column(key("", "v", ColumnType::Int));
        let orders = Orders::new(vec![key("f", "t", ColumnType::Str)], vec![OrderKey::Time, by_value]);
        let ordered = ColumnList { orders: Arc::new(orders), ..indexed.clone() };
        let numbers =
            [&a, &b, &copy, &none, &indexed, &with_terms, &ordered].map(|s| builder.number(s.clone()));
        assert_eq!(numbers, [0, 1, 0, 2, 3, 4, 5]);
        let mut bytes = Vec::new();
        builder.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let table = SchemaTable::decode(&mut reader).unwrap();
        reader.end().unwrap();
        let lists = [&a, &b, &none, &indexed, &with_terms, &ordered];
        assert_eq!([0, 1, 2, 3, 4, 5].map(|n| table.get(n).unwrap()), lists);
        assert!(table.get(6).is_err());
        let position = |name, ty| indexed.position(&key("f", name, ty));
        assert_eq!((position("t", ColumnType::Str), position("t", ColumnType::Int)), (Some(1), None));
        assert_eq!([0, 1, 2].map(|place| with_terms.has_terms(place)), [false, true, false]);
        assert!(!indexed.has_terms(1), "indexed, but not in this part");
        for cut in 0..bytes.len() {
            assert!(SchemaTable::decode(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
    }
}
