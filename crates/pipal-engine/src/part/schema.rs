//! The schema table: all columns of a part once, and the distinct column lists that its resources have.

use super::wire::{Decoded, Malformed, Reader, put_bytes, put_varint};
use pipal_model::{ColumnKey, ColumnType};
use std::collections::HashMap;
use std::sync::Arc;

/// Column lists by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SchemaTable {
    schemas: Vec<Arc<[ColumnKey]>>,
    heap_bytes: usize,
}

impl SchemaTable {
    pub(super) fn get(&self, schema: u32) -> Decoded<&Arc<[ColumnKey]>> {
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
            for _ in 0..length {
                let column = columns.get(reader.varint()? as usize).ok_or(Malformed("a known column"))?;
                table.heap_bytes += size_of::<ColumnKey>() + column.family.len() + column.name.len();
                schema.push(column.clone());
            }
            table.schemas.push(schema.into());
        }
        Ok(table)
    }
}

/// Numbers column lists while a part is written.
#[derive(Default)]
pub(super) struct SchemaBuilder {
    columns: HashMap<ColumnKey, u32>,
    columns_encoded: Vec<u8>,
    schemas: HashMap<Arc<[ColumnKey]>, u32>,
    schemas_encoded: Vec<u8>,
}

impl SchemaBuilder {
    /// The number of a column list.
    pub(super) fn number(&mut self, schema: &Arc<[ColumnKey]>) -> u32 {
        if let Some(&number) = self.schemas.get(schema) {
            return number;
        }
        put_varint(schema.len() as u64, &mut self.schemas_encoded);
        for column in schema.iter() {
            let number = self.column(column);
            put_varint(u64::from(number), &mut self.schemas_encoded);
        }
        let number = self.schemas.len() as u32;
        self.schemas.insert(Arc::clone(schema), number);
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

    fn key(family: &str, name: &str, ty: ColumnType) -> ColumnKey {
        ColumnKey { family: family.into(), name: name.into(), ty }
    }

    #[test]
    fn equal_lists_share_a_number_and_retyped_columns_do_not() {
        let mut builder = SchemaBuilder::default();
        let a: Arc<[ColumnKey]> = [key("", "v", ColumnType::Int), key("f", "t", ColumnType::Str)].into();
        let b: Arc<[ColumnKey]> = [key("", "v", ColumnType::Float)].into();
        let none: Arc<[ColumnKey]> = [].into();
        let copy: Arc<[ColumnKey]> = a.to_vec().into();
        assert_eq!([&a, &b, &copy, &none].map(|s| builder.number(s)), [0, 1, 0, 2]);
        let mut bytes = Vec::new();
        builder.encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        let table = SchemaTable::decode(&mut reader).unwrap();
        reader.end().unwrap();
        assert_eq!([0, 1, 2].map(|n| table.get(n).unwrap()), [&a, &b, &none]);
        assert!(table.get(3).is_err());
        for cut in 0..bytes.len() {
            assert!(SchemaTable::decode(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
    }
}
