//! Decoded columns: what encoders take, decoders fill and query operators read.

use pipal_model::{ColumnType, ValueRef};

/// Whether a row has a value. Absent (the column did not exist when the row was written), null and empty are
/// three different things. The numbers are part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Presence {
    /// There is a value.
    Value = 0,
    /// Written as null.
    Null = 1,
    /// The column was not part of the row.
    Absent = 2,
}

/// Presence of all rows of a column. `Mixed` is never used where one of the others says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Every row has the same presence.
    All(Presence),
    /// One entry per row.
    Mixed(Vec<Presence>),
}

/// Values of a column, one slot per row. Slots of missing rows hold 0 or the empty slice.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnData {
    /// `Int` and `Timestamp`.
    I64(Vec<i64>),
    /// `Float`; identity is by bits.
    F64(Vec<f64>),
    /// `Str`, `Binary` and arrays in their stored form.
    Bytes(BytesData),
}

/// Byte strings as views into shared storage, so that repeated values are stored once.
#[derive(Clone, Debug, Default)]
pub struct BytesData {
    storage: Vec<u8>,
    views: Vec<(u32, u32)>,
}

impl BytesData {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// The bytes of a row.
    pub fn get(&self, row: usize) -> &[u8] {
        let (offset, length) = self.views[row];
        &self.storage[offset as usize..offset as usize + length as usize]
    }

    /// Appends a row. A value equal to the one before shares its storage.
    pub fn push(&mut self, value: &[u8]) {
        if let Some(&(offset, length)) = self.views.last()
            && self.storage[offset as usize..offset as usize + length as usize] == *value
        {
            self.views.push((offset, length));
            return;
        }
        let view = self.store(value);
        self.views.push(view);
    }

    /// Appends bytes to the storage without a row; `push_view` makes rows of them. The storage holds at most
    /// 4 GiB, which the limits on batches and chunks stay far below.
    pub fn store(&mut self, value: &[u8]) -> (u32, u32) {
        debug_assert!(self.storage.len() + value.len() <= u32::MAX as usize);
        let offset = self.storage.len() as u32;
        self.storage.extend_from_slice(value);
        (offset, value.len() as u32)
    }

    /// Appends a row that shows what `store` returned.
    pub fn push_view(&mut self, view: (u32, u32)) {
        debug_assert!((view.0 as usize + view.1 as usize) <= self.storage.len());
        self.views.push(view);
    }

    /// Appends `count` rows that show the same stored bytes.
    pub(crate) fn push_views(&mut self, view: (u32, u32), count: usize) {
        self.views.resize(self.views.len() + count, view);
    }

    /// The views of the rows from `row` on, to be moved between rows.
    pub(crate) fn views_mut(&mut self, row: usize) -> &mut [(u32, u32)] {
        self.views.get_mut(row..).unwrap_or_default()
    }

    /// Bytes in the storage.
    pub(crate) fn stored_bytes(&self) -> usize {
        self.storage.len()
    }

    /// Forgets the rows from `rows` on and the storage from `stored` on.
    pub(crate) fn truncate(&mut self, rows: usize, stored: usize) {
        self.views.truncate(rows);
        self.storage.truncate(stored);
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.storage.capacity() + self.views.capacity() * 8
    }

    /// Forgets all rows and keeps the allocation.
    pub fn clear(&mut self) {
        self.storage.clear();
        self.views.clear();
    }
}

impl PartialEq for BytesData {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|row| self.get(row) == other.get(row))
    }
}

/// A column with its type, values and validity. Invariant: data and validity have one slot per row.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    ty: ColumnType,
    data: ColumnData,
    validity: Validity,
    rows: usize,
}

impl Column {
    /// An empty column of a type.
    pub fn new(ty: ColumnType) -> Self {
        let data = match ty {
            ColumnType::Int | ColumnType::Timestamp => ColumnData::I64(Vec::new()),
            ColumnType::Float => ColumnData::F64(Vec::new()),
            ColumnType::Str | ColumnType::Binary | ColumnType::StrArray | ColumnType::IntArray => {
                ColumnData::Bytes(BytesData::default())
            }
        };
        Column { ty, data, validity: Validity::All(Presence::Value), rows: 0 }
    }

    /// Type of the values.
    pub fn column_type(&self) -> ColumnType {
        self.ty
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The values; slots of missing rows hold 0 or the empty slice.
    pub fn data(&self) -> &ColumnData {
        &self.data
    }

    /// Values for decoders that append rows themselves; they must call [`Column::added`] afterwards.
    pub fn data_mut(&mut self) -> &mut ColumnData {
        &mut self.data
    }

    /// Tells the column that `count` rows with this presence were appended to its data.
    pub fn added(&mut self, count: usize, presence: Presence) {
        if count == 0 {
            return;
        }
        match &mut self.validity {
            Validity::All(old) if *old == presence => {}
            Validity::All(old) if self.rows == 0 => *old = presence,
            Validity::All(old) => {
                let mut list = vec![*old; self.rows];
                list.resize(self.rows + count, presence);
                self.validity = Validity::Mixed(list);
            }
            Validity::Mixed(list) => list.resize(list.len() + count, presence),
        }
        self.rows += count;
    }

    /// Validity of all rows.
    pub fn validity(&self) -> &Validity {
        &self.validity
    }

    /// Whether a row has a value.
    pub fn presence(&self, row: usize) -> Presence {
        match &self.validity {
            Validity::All(presence) => *presence,
            Validity::Mixed(list) => list[row],
        }
    }

    /// The value of a row.
    pub fn get(&self, row: usize) -> ValueRef<'_> {
        match self.presence(row) {
            Presence::Null => return ValueRef::Null,
            Presence::Absent => return ValueRef::Absent,
            Presence::Value => {}
        }
        match (&self.data, self.ty) {
            (ColumnData::I64(values), ColumnType::Timestamp) => ValueRef::Timestamp(values[row]),
            (ColumnData::I64(values), _) => ValueRef::Int(values[row]),
            (ColumnData::F64(values), _) => ValueRef::Float(values[row]),
            (ColumnData::Bytes(values), ColumnType::Binary) => ValueRef::Binary(values.get(row)),
            (ColumnData::Bytes(values), ColumnType::StrArray) => ValueRef::StrArray(values.get(row)),
            (ColumnData::Bytes(values), ColumnType::IntArray) => ValueRef::IntArray(values.get(row)),
            (ColumnData::Bytes(values), _) => ValueRef::Str(values.get(row)),
        }
    }

    /// Appends a value. A value of another type than the column's is appended as null.
    pub fn push(&mut self, value: ValueRef<'_>) {
        match (&mut self.data, value) {
            (ColumnData::I64(values), ValueRef::Int(v)) if self.ty == ColumnType::Int => values.push(v),
            (ColumnData::I64(values), ValueRef::Timestamp(v)) if self.ty == ColumnType::Timestamp => {
                values.push(v);
            }
            (ColumnData::F64(values), ValueRef::Float(v)) => values.push(v),
            (ColumnData::Bytes(values), ValueRef::Str(b)) if self.ty == ColumnType::Str => values.push(b),
            (ColumnData::Bytes(values), ValueRef::Binary(b)) if self.ty == ColumnType::Binary => {
                values.push(b);
            }
            (ColumnData::Bytes(values), ValueRef::StrArray(b)) if self.ty == ColumnType::StrArray => {
                values.push(b);
            }
            (ColumnData::Bytes(values), ValueRef::IntArray(b)) if self.ty == ColumnType::IntArray => {
                values.push(b);
            }
            (_, ValueRef::Absent) => return self.push_missing(Presence::Absent, 1),
            _ => return self.push_missing(Presence::Null, 1),
        }
        self.added(1, Presence::Value);
    }

    /// Appends `count` rows without a value.
    pub fn push_missing(&mut self, presence: Presence, count: usize) {
        match &mut self.data {
            ColumnData::I64(values) => values.resize(values.len() + count, 0),
            ColumnData::F64(values) => values.resize(values.len() + count, 0.0),
            ColumnData::Bytes(values) => {
                for _ in 0..count {
                    values.push_view((0, 0));
                }
            }
        }
        self.added(count, presence);
    }

    /// Appends rows of another column of the same physical kind; otherwise they are appended as absent.
    pub fn extend_from(&mut self, other: &Column, rows: std::ops::Range<usize>) {
        let count = rows.len();
        match (&mut self.data, &other.data) {
            (ColumnData::I64(to), ColumnData::I64(from)) => to.extend_from_slice(&from[rows.clone()]),
            (ColumnData::F64(to), ColumnData::F64(from)) => to.extend_from_slice(&from[rows.clone()]),
            (ColumnData::Bytes(to), ColumnData::Bytes(from)) => {
                for row in rows.clone() {
                    to.push(from.get(row));
                }
            }
            _ => return self.push_missing(Presence::Absent, count),
        }
        match &other.validity {
            Validity::All(presence) => self.added(count, *presence),
            Validity::Mixed(list) => list[rows].iter().for_each(|p| self.added(1, *p)),
        }
    }

    /// Forgets all rows and keeps the allocation.
    pub fn clear(&mut self) {
        match &mut self.data {
            ColumnData::I64(values) => values.clear(),
            ColumnData::F64(values) => values.clear(),
            ColumnData::Bytes(values) => values.clear(),
        }
        self.validity = Validity::All(Presence::Value);
        self.rows = 0;
    }

    /// Bytes held.
    pub fn heap_bytes(&self) -> usize {
        let data = match &self.data {
            ColumnData::I64(values) => values.capacity() * 8,
            ColumnData::F64(values) => values.capacity() * 8,
            ColumnData::Bytes(values) => values.heap_bytes(),
        };
        data + if let Validity::Mixed(list) = &self.validity { list.capacity() } else { 0 }
    }
}
