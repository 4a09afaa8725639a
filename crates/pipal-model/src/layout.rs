//! The shape of rows: which columns a resource has, and which of the four row policies applies to it.

use crate::analyzer::Analyzer;
use crate::orders::Orders;
use crate::value::{ColumnType, write_varint};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_128;

/// How rows of a resource are identified, and which of two rows with one identity stays.
///
/// The data models differ for the engine only in this value. The numbers are part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum RowPolicy {
    /// Measures: identity is entity and time; the greatest version wins, of equal versions the last arrival.
    Versioned = 1,
    /// Streams and traces: identity is the whole row; only bit-equal rows collapse.
    Collapse = 2,
    /// Documents: identity is the entity; the greatest version wins, of equal ones the last arrival; tombstones.
    Document = 3,
    /// Index-mode measures and series attributes: identity is the entity; the last arrival wins.
    Latest = 4,
}

impl RowPolicy {
    /// The policy with this number on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => RowPolicy::Versioned,
            2 => RowPolicy::Collapse,
            3 => RowPolicy::Document,
            4 => RowPolicy::Latest,
            _ => return None,
        })
    }

    /// The number of the policy on disk.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// True when an entity has at most one live row, whatever its time.
    pub fn one_row_per_entity(self) -> bool {
        matches!(self, RowPolicy::Document | RowPolicy::Latest)
    }
}

/// What identifies a column: a retyped or moved tag is another column.
/// Fields have the empty family; every tag has a family of at least one character.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnKey {
    /// Tag family; empty for fields.
    pub family: Box<str>,
    /// Name of the tag or field.
    pub name: Box<str>,
    /// Declared type.
    pub ty: ColumnType,
}

/// A column of a layout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnDef {
    /// Identity of the column.
    pub key: ColumnKey,
    /// True for an indexed tag of a normal measure: the engine keeps its value as a series attribute too.
    pub attribute: bool,
    /// How values become the terms by which parts skip rows of streams and traces; none if they do not.
    pub filter: Option<Analyzer>,
}

impl ColumnDef {
    /// A column that only holds values: neither an attribute nor filtered.
    pub fn plain(key: ColumnKey) -> Self {
        ColumnDef { key, attribute: false, filter: None }
    }
}

/// Bit of the type byte of an encoded column: it is an attribute.
const ATTRIBUTE: u8 = 0x80;
/// Where the number of the analyzer begins in the type byte, in three bits; 0 for columns without filters.
const FILTER_SHIFT: u32 = 4;
/// Added to the number of the policy when the definition ends with orders.
const WITH_ORDERS: u8 = 0x80;

/// The columns of the rows of one resource as one schema revision has them, without the entity's tags
/// (those are in the entity bytes, see [`crate::series`]).
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    resource: Box<str>,
    policy: RowPolicy,
    columns: Box<[ColumnDef]>,
    orders: Arc<Orders>,
    fingerprint: u128,
    attributes: Option<Attributes>,
}

/// The part of a layout that the engine keeps once per series.
#[derive(Debug, PartialEq, Eq)]
struct Attributes {
    layout: Arc<Layout>,
    positions: Box<[usize]>,
}

impl Layout {
    /// Makes a layout. `resource` is the plain name of the measure, stream, trace or document kind.
    pub fn new(resource: &str, policy: RowPolicy, columns: Vec<ColumnDef>) -> Self {
        Layout::ordered(resource, policy, columns, Orders::default())
    }

    /// Makes a layout whose rows are asked for in these orders too. Columns of them that the layout does not have are
    /// left out.
    pub fn ordered(resource: &str, policy: RowPolicy, columns: Vec<ColumnDef>, orders: Orders) -> Self {
        let mut layout = Layout {
            resource: resource.into(),
            policy,
            attributes: Attributes::of(resource, &columns),
            orders: Arc::new(orders.within(&columns)),
            columns: columns.into(),
            fingerprint: 0,
        };
        let mut bytes = Vec::new();
        layout.encode(&mut bytes);
        layout.fingerprint = xxh3_128(&bytes);
        layout
    }

    /// Name of the resource.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Policy of its rows.
    pub fn policy(&self) -> RowPolicy {
        self.policy
    }

    /// Columns, in the order of the values of a row.
    pub fn columns(&self) -> &[ColumnDef] {
        &self.columns
    }

    /// Orders beside the sort key in which rows are asked for.
    pub fn orders(&self) -> &Arc<Orders> {
        &self.orders
    }

    /// The layout of the series attributes and the positions of its columns in this layout; none when no
    /// column is an attribute.
    pub fn attributes(&self) -> Option<(&Arc<Layout>, &[usize])> {
        self.attributes.as_ref().map(|a| (&a.layout, &*a.positions))
    }

    /// A 128-bit hash of the whole definition; equal layouts have equal fingerprints in every process.
    pub fn fingerprint(&self) -> u128 {
        self.fingerprint
    }

    /// Appends the definition: policy, with a flag if there are orders; resource; columns with family, name and a byte of
    /// type, analyzer of the filter and attribute flag; orders, if there are any.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.policy.code() | if self.orders.is_empty() { 0 } else { WITH_ORDERS });
        write_text(&self.resource, out);
        write_varint(self.columns.len() as u64, out);
        for column in &self.columns {
            write_text(&column.key.family, out);
            write_text(&column.key.name, out);
            let filter = column.filter.map_or(0, Analyzer::code) << FILTER_SHIFT;
            out.push(column.key.ty.code() | filter | if column.attribute { ATTRIBUTE } else { 0 });
        }
        if !self.orders.is_empty() {
            let is = |key: &ColumnKey| self.columns.iter().position(|column| column.key == *key);
            self.orders.encode(|key| is(key).map_or(u64::MAX, |place| place as u64), out);
        }
    }

    /// Reads what [`Layout::encode`] wrote; none when the bytes are malformed or have a surplus.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let code = take_byte(&mut bytes)?;
        let policy = RowPolicy::from_code(code & !WITH_ORDERS)?;
        let resource = take_text(&mut bytes)?;
        let count = take_varint(&mut bytes)?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let family = take_text(&mut bytes)?;
            let name = take_text(&mut bytes)?;
            let code = take_byte(&mut bytes)?;
            let ty = ColumnType::from_code(code & 0xf)?;
            let filter = match code >> FILTER_SHIFT & 7 {
                0 => None,
                number => Some(Analyzer::from_code(number)?),
            };
            let key = ColumnKey { family: family.into(), name: name.into(), ty };
            columns.push(ColumnDef { key, attribute: code & ATTRIBUTE != 0, filter });
        }
        let orders = match code & WITH_ORDERS {
            0 => Orders::default(),
            _ => {
                let column = |place: u64| Some(columns.get(usize::try_from(place).ok()?)?.key.clone());
                Orders::decode(&mut bytes, column).filter(|orders| !orders.is_empty())?
            }
        };
        bytes.is_empty().then(|| Layout::ordered(resource, policy, columns, orders))
    }
}

impl Attributes {
    fn of(resource: &str, columns: &[ColumnDef]) -> Option<Self> {
        let positions: Box<[usize]> = (0..columns.len()).filter(|&i| columns[i].attribute).collect();
        if positions.is_empty() {
            return None;
        }
        let kept = positions.iter().map(|&i| ColumnDef::plain(columns[i].key.clone()));
        Some(Attributes {
            layout: Arc::new(Layout::new(resource, RowPolicy::Latest, kept.collect())),
            positions,
        })
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let (value, used) = crate::value::read_varint(bytes)?;
    *bytes = &bytes[used..];
    Some(value)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::try_from(take_varint(bytes)?).ok()?;
    if bytes.len() < length {
        return None;
    }
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    std::str::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orders::OrderKey;

    #[test]
    fn a_layout_keeps_the_orders_of_its_columns() {
        let key = |name: &str, ty| ColumnKey { family: "t".into(), name: name.into(), ty };
        let (service, latency) = (key("service", ColumnType::Str), key("latency", ColumnType::Int));
        let columns = [&service, &latency].map(|key| ColumnDef::plain(key.clone()));
        let keys = vec![OrderKey::Column(latency), OrderKey::Time];
        let orders = Orders::new(vec![key("unknown", ColumnType::Str), service.clone()], keys.clone());
        let layout = Layout::ordered("segment", RowPolicy::Collapse, columns.to_vec(), orders);
        assert_eq!(**layout.orders(), Orders::new(vec![service], keys));
        let mut bytes = Vec::new();
        layout.encode(&mut bytes);
        assert_eq!(Layout::decode(&bytes).as_ref(), Some(&layout));
        for cut in 0..bytes.len() {
            assert_eq!(Layout::decode(&bytes[..cut]), None, "a definition cut at {cut} must be refused");
        }
        let plain = Layout::new("segment", RowPolicy::Collapse, columns.to_vec());
        assert_ne!(plain.fingerprint(), layout.fingerprint());
    }

    #[test]
    fn a_layout_survives_its_encoding_with_the_same_fingerprint() {
        let column = |family: &str, name: &str, ty, attribute, filter| ColumnDef {
            key: ColumnKey { family: family.into(), name: name.into(), ty },
            attribute,
            filter,
        };
        let layout = Layout::new(
            "service_cpm",
            RowPolicy::Versioned,
            vec![
                column("default", "id", ColumnType::Str, true, None),
                column("default", "text", ColumnType::Str, false, Some(Analyzer::Url)),
                column("", "value", ColumnType::Timestamp, false, None),
            ],
        );
        let mut bytes = Vec::new();
        layout.encode(&mut bytes);
        assert_eq!(Layout::decode(&bytes), Some(layout));
        for cut in 0..bytes.len() {
            assert_eq!(Layout::decode(&bytes[..cut]), None, "a definition cut at {cut} must be refused");
        }
    }
}
