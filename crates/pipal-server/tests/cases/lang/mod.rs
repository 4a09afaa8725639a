//! The language of case files: blocks, tables, definitions, queries.

mod criteria;
pub mod define;
pub mod query;
mod request;
mod tokens;

/// A line of a file and its number.
pub type Line = (usize, String);

/// A line at the left margin and the indented ones below it.
#[derive(Debug)]
pub struct Block {
    pub line: usize,
    pub head: String,
    pub body: Vec<Line>,
}

/// The blocks of a file.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if !line.starts_with(' ') {
            blocks.push(Block { line: i + 1, head: content.to_owned(), body: Vec::new() });
            continue;
        }
        let block = blocks.last_mut().unwrap_or_else(|| panic!("line {} belongs to no block", i + 1));
        block.body.push((i + 1, content.to_owned()));
    }
    blocks
}

/// A table: names of the columns, and rows of cells. Cells at the end of a row may be missing.
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<(usize, Vec<String>)>,
}

impl Table {
    pub fn of(body: &[Line]) -> Table {
        let cells = |text: &str| text.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let ((_, head), rows) = body.split_first().expect("a table has a head");
        let columns = cells(head);
        let row = |(line, text): &Line| {
            let mut row = cells(text);
            while row.last().is_some_and(String::is_empty) {
                row.pop();
            }
            assert!(row.len() <= columns.len(), "line {line}: more cells than columns");
            (*line, row)
        };
        Table { rows: rows.iter().map(row).collect(), columns }
    }
}
