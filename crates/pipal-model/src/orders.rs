//! Orders beside the one that rows are stored in: what the ordered companions of a part are built from.

use crate::layout::{ColumnDef, ColumnKey};
use crate::value::{ColumnType, read_varint, write_varint};

/// Most keys that a resource is ordered by; further ones are sorted when they are asked for.
pub const ORDER_KEYS_MAX: usize = 8;
/// Most leading columns of an order; further ones are tested with the rows.
pub const LEADING_COLUMNS_MAX: usize = 16;

/// The number that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OrderKey {
    /// The time of the row.
    Time,
    /// An integer or a timestamp in a column; 0 where the row has none.
    Column(ColumnKey),
}

/// Orders in which the rows of a resource are asked for, and the columns that such questions fix before the order
/// matters. Without a key there are no leading columns either.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Orders {
    leading: Box<[ColumnKey]>,
    keys: Box<[OrderKey]>,
}

impl Orders {
    /// Orders by each of `keys`, with the same leading columns. What is there twice, is no number, or exceeds
    /// [`ORDER_KEYS_MAX`] or [`LEADING_COLUMNS_MAX`], is left out.
    pub fn new(leading: Vec<ColumnKey>, keys: Vec<OrderKey>) -> Self {
        let mut orders = Orders { leading: Box::new([]), keys: distinct(keys, OrderKey::is_number) };
        orders.keys = orders.keys.into_iter().take(ORDER_KEYS_MAX).collect();
        if !orders.keys.is_empty() {
            orders.leading = distinct(leading, |_| true).into_iter().take(LEADING_COLUMNS_MAX).collect();
        }
        orders
    }

    /// The leading columns.
    pub fn leading(&self) -> &[ColumnKey] {
        &self.leading
    }

    /// The keys.
    pub fn keys(&self) -> &[OrderKey] {
        &self.keys
    }

    /// True without a key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The place of a key.
    pub fn position(&self, key: &OrderKey) -> Option<usize> {
        self.keys.iter().position(|known| known == key)
    }

    /// The columns that the orders name.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnKey> {
        let of_key = |key| match key {
            &OrderKey::Time => None,
            OrderKey::Column(column) => Some(column),
        };
        self.leading.iter().chain(self.keys.iter().filter_map(of_key))
    }

    /// These orders without those columns that are not among `columns`.
    pub(crate) fn within(self, columns: &[ColumnDef]) -> Self {
        let has = |column: &ColumnKey| columns.iter().any(|known| known.key == *column);
        let leading = self.leading.into_iter().filter(has).collect();
        let is_there = |key: &OrderKey| match key {
            OrderKey::Time => true,
            OrderKey::Column(column) => has(column),
        };
        Orders::new(leading, self.keys.into_iter().filter(is_there).collect())
    }

    /// Appends the orders; `place` tells the place of a column in the list beside which they are stored.
    pub fn encode(&self, place: impl Fn(&ColumnKey) -> u64, out: &mut Vec<u8>) {
        write_varint(self.keys.len() as u64, out);
        if self.is_empty() {
            return;
        }
        for key in &self.keys {
            match key {
                OrderKey::Time => write_varint(0, out),
                OrderKey::Column(column) => write_varint(place(column) + 1, out),
            }
        }
        write_varint(self.leading.len() as u64, out);
        self.leading.iter().for_each(|column| write_varint(place(column), out));
    }

    /// Reads what [`Orders::encode`] wrote off the front of `bytes`; `column` gives the column at a place. None when
    /// the bytes are malformed.
    pub fn decode(bytes: &mut &[u8], column: impl Fn(u64) -> Option<ColumnKey>) -> Option<Self> {
        let count = take_count(bytes, ORDER_KEYS_MAX)?;
        if count == 0 {
            return Some(Orders::default());
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(match take(bytes)?.checked_sub(1) {
                None => OrderKey::Time,
                Some(place) => OrderKey::Column(column(place)?),
            });
        }
        let count = take_count(bytes, LEADING_COLUMNS_MAX)?;
        let leading: Option<Vec<ColumnKey>> = (0..count).map(|_| column(take(bytes)?)).collect();
        let read = Orders { leading: leading?.into(), keys: keys.into() };
        // What `new` would change was not written by it.
        (Orders::new(read.leading.to_vec(), read.keys.to_vec()) == read).then_some(read)
    }
}

impl OrderKey {
    fn is_number(&self) -> bool {
        match self {
            OrderKey::Time => true,
            OrderKey::Column(column) => matches!(column.ty, ColumnType::Int | ColumnType::Timestamp),
        }
    }
}

fn distinct<T: PartialEq>(list: Vec<T>, keep: impl Fn(&T) -> bool) -> Box<[T]> {
    let mut kept: Vec<T> = Vec::with_capacity(list.len());
    for item in list {
        if keep(&item) && !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept.into()
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (value, used) = read_varint(bytes)?;
    *bytes = bytes.get(used..)?;
    Some(value)
}

fn take_count(bytes: &mut &[u8], most: usize) -> Option<usize> {
    usize::try_from(take(bytes)?).ok().filter(|count| *count <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, ty: ColumnType) -> ColumnKey {
        ColumnKey { family: "t".into(), name: name.into(), ty }
    }

    #[test]
    fn what_is_twice_or_no_number_is_left_out() {
        let text = column("s", ColumnType::Str);
        let number = OrderKey::Column(column("n", ColumnType::Int));
        let keys = vec![number.clone(), OrderKey::Column(text.clone()), OrderKey::Time, number.clone()];
        let orders = Orders::new(vec![text.clone(), text.clone()], keys);
        assert_eq!((orders.leading(), orders.keys()), (&[text.clone()][..], &[number, OrderKey::Time][..]));
        assert_eq!(orders.position(&OrderKey::Time), Some(1));
        assert_eq!(Orders::new(vec![text], Vec::new()), Orders::default());
        let many = (0..20).map(|i| OrderKey::Column(column(&i.to_string(), ColumnType::Int))).collect();
        assert_eq!(Orders::new(Vec::new(), many).keys().len(), ORDER_KEYS_MAX);
    }

    #[test]
    fn orders_survive_their_encoding_and_other_bytes_are_refused() {
        let columns = [column("s", ColumnType::Str), column("n", ColumnType::Int)];
        let at = |place: u64| columns.get(usize::try_from(place).ok()?).cloned();
        let place = |column: &ColumnKey| columns.iter().position(|known| known == column).unwrap() as u64;
        let keys = vec![OrderKey::Column(columns[1].clone()), OrderKey::Time];
        let orders = Orders::new(vec![columns[0].clone()], keys);
        let mut bytes = Vec::new();
        orders.encode(place, &mut bytes);
        let mut rest = &bytes[..];
        assert_eq!((Orders::decode(&mut rest, at), rest), (Some(orders), &[][..]));
        for cut in 0..bytes.len() {
            assert_eq!(Orders::decode(&mut &bytes[..cut], at), None, "cut at {cut}");
        }
        // A text as key, the same key twice, an unknown column, more keys than may be.
        for wrong in [&[1, 1, 0][..], &[2, 2, 2, 0], &[1, 2, 1, 7], &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(Orders::decode(&mut &wrong[..], at), None, "{wrong:?}");
        }
    }
}
