//! The rows of one request, for any number of tables, in the form that log and memory tables take.

use crate::row_format::{body_length, decode_head, encode_row};
use crate::table_key::TableKey;
use hashbrown::HashMap;
use pipal_model::{Error, ErrorKind, Layout, Result, ValueRef};
use std::sync::Arc;

/// Most bytes that one request may hold; a larger one is refused, not buffered.
pub const REQUEST_BYTES_MAX: usize = 40 << 20;
/// Longest entity in bytes.
pub const ENTITY_BYTES_MAX: usize = 1 << 20;

/// A row as a client sent it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Entity bytes, see [`pipal_model::series`].
    pub entity: &'a [u8],
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Version or revision.
    pub version: i64,
    /// True for the tombstone of a document.
    pub deleted: bool,
    /// One value per column of the layout; missing trailing ones are absent, values of a wrong type null.
    pub values: &'a [ValueRef<'a>],
}

/// All rows of one request. They become durable and visible as one unit.
#[derive(Debug, Default)]
pub struct WriteBatch {
    tables: Vec<TableRows>,
    index: HashMap<TableKey, usize>,
    rows: usize,
}

impl WriteBatch {
    /// A batch without rows.
    pub fn new() -> Self {
        WriteBatch::default()
    }

    /// Adds a row of a table. Errors: the row or the request is too large.
    pub fn push(&mut self, table: TableKey, layout: &Arc<Layout>, row: &Row<'_>) -> Result<()> {
        if row.entity.len() > ENTITY_BYTES_MAX {
            let detail =
                format!("an entity of {} bytes exceeds the maximum of {ENTITY_BYTES_MAX}", row.entity.len());
            return Err(Error::invalid("write row", detail));
        }
        if self.bytes() > REQUEST_BYTES_MAX {
            let detail = format!("the request exceeds the maximum of {REQUEST_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::ResourceExhausted, "write row", detail));
        }
        let at = match self.tables.last() {
            Some(last) if last.key == table => self.tables.len() - 1,
            _ => *self.index.entry(table).or_insert_with(|| {
                self.tables.push(TableRows::new(table));
                self.tables.len() - 1
            }),
        };
        self.tables[at].push(layout, row);
        self.rows += 1;
        Ok(())
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// True without rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Bytes of all rows.
    pub fn bytes(&self) -> usize {
        self.tables.iter().map(|t| t.bytes.len()).sum()
    }

    /// The tables that the batch writes to.
    pub fn tables(&self) -> impl Iterator<Item = TableKey> + '_ {
        self.tables.iter().map(|t| t.key)
    }

    pub(crate) fn table_rows(&self) -> &[TableRows] {
        &self.tables
    }

    pub(crate) fn into_tables(self) -> Vec<TableRows> {
        self.tables
    }
}

/// The rows of one request for one table.
#[derive(Debug)]
pub(crate) struct TableRows {
    pub key: TableKey,
    /// Layouts of the rows; rows name them by index.
    pub layouts: Vec<Arc<Layout>>,
    /// Start of each row in `bytes`.
    pub offsets: Vec<u32>,
    /// Rows, see `row_format`.
    pub bytes: Vec<u8>,
    layout_index: HashMap<u128, u32>,
}

impl TableRows {
    pub fn new(key: TableKey) -> Self {
        TableRows {
            key,
            layouts: Vec::new(),
            offsets: Vec::new(),
            bytes: Vec::new(),
            layout_index: HashMap::new(),
        }
    }

    fn push(&mut self, layout: &Arc<Layout>, row: &Row<'_>) {
        let index = *self.layout_index.entry(layout.fingerprint()).or_insert_with(|| {
            self.layouts.push(layout.clone());
            self.layouts.len() as u32 - 1
        });
        self.offsets.push(self.bytes.len() as u32);
        encode_row(index, layout, row, &mut self.bytes);
    }

    /// Rows read back from the log. None when the bytes are malformed.
    pub fn parse(key: TableKey, layouts: Vec<Arc<Layout>>, bytes: &[u8], rows: usize) -> Option<Self> {
        let mut table = TableRows::new(key);
        let mut at = 0;
        for _ in 0..rows {
            let rest = bytes.get(at..)?;
            let head = decode_head(rest)?;
            let layout = layouts.get(head.layout as usize)?;
            table.offsets.push(u32::try_from(at).ok()?);
            at += rest.len() - head.body.len() + body_length(layout, head.body)?;
        }
        if at != bytes.len() {
            return None;
        }
        table.layouts = layouts;
        table.bytes = bytes.to_vec();
        Some(table)
    }
}

/// Joins the rows of each table, which a long request has in several pieces. All pieces of a table have the same
/// layouts, because each entry of a request lists all layouts of its tables.
pub(crate) fn join_tables(pieces: Vec<TableRows>) -> Result<Vec<TableRows>> {
    let mut joined: Vec<TableRows> = Vec::new();
    for piece in pieces {
        match joined.iter_mut().find(|t| t.key == piece.key) {
            None => joined.push(piece),
            Some(table) if table.layouts == piece.layouts => {
                let shift = table.bytes.len() as u32;
                table.offsets.extend(piece.offsets.iter().map(|offset| offset + shift));
                table.bytes.extend_from_slice(&piece.bytes);
            }
            Some(_) => {
                return Err(Error::internal("join request", "pieces of a table have different layouts"));
            }
        }
    }
    Ok(joined)
}
