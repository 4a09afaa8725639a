//! Which chunks may have rows that a predicate accepts.

use super::super::index::PartIndex;
use super::super::reader::Part;
use super::super::schema::ColumnList;
use super::super::terms::{TermList, TermRows, hash_of};
use super::{SPAN_CHUNKS_MAX, SpanBlock};
use crate::row_ranges::RowRanges;
use crate::rows::ResourceKey;
use crate::scan::RowPredicate;
use crate::terms::FILTER_TERM_BYTES_MAX;
use pipal_model::value::int_of_term;
use pipal_model::{Analyzer, ColumnKey, ColumnType, Result};
use std::sync::Arc;

/// Of a text that is looked for by its words, so many are asked for: the first ones rule out nearly everything.
const WORDS_MAX: usize = 4;

impl Part {
    pub(super) fn span_block(&self, index: &PartIndex, number: usize) -> Result<Arc<SpanBlock>> {
        let place = self.misled(index.bounds.get(number))?;
        let decode = |bytes: Vec<u8>| SpanBlock::decode(&bytes, place.first, place.second);
        Ok(self.cached(place.extent.offset, || self.file.load_as(place.extent, decode))?.0)
    }

    /// Rows of a resource among which are all that the predicate accepts; none when nothing is ruled out.
    pub(in super::super) fn find_useful_rows(
        &self,
        key: &ResourceKey,
        predicate: &RowPredicate,
    ) -> Result<Option<RowRanges>> {
        let index = self.index()?;
        let Some(resource) = self.find_resource(&index, key)? else { return Ok(Some(RowRanges::default())) };
        let list = self.misled(index.schemas.get(resource.schema))?;
        let mut useful = RowRanges::default();
        let mut next = resource.first_row;
        let first = index.bounds.count_first_below(resource.first_row);
        for number in first..index.bounds.count_first_below(resource.end_row()) {
            let block = self.span_block(&index, number)?;
            if block.first_row != next {
                return Err(self.wrong("bounds of a resource with a gap"));
            }
            let span = Span { part: self, index: &index, list, block: &block };
            let mask = span.mask(predicate)?;
            for (rows, is_useful) in block.ranges().zip(mask) {
                next = rows.end;
                if is_useful {
                    useful.push(rows);
                }
            }
        }
        if next > resource.end_row() {
            return Err(self.wrong("bounds that leave their resource"));
        }
        // Nothing is known of what has no bounds, which is the whole of a small resource.
        useful.push(next..resource.end_row());
        Ok((useful.len() < resource.rows).then_some(useful))
    }
}

/// One flag per chunk of a span: it may have rows of use.
type Mask = Vec<bool>;

struct Span<'a> {
    part: &'a Part,
    index: &'a PartIndex,
    list: &'a ColumnList,
    block: &'a SpanBlock,
}

impl Span<'_> {
    fn all(&self, flag: bool) -> Mask {
        vec![flag; self.block.chunks.len()]
    }

    fn mask(&self, predicate: &RowPredicate) -> Result<Mask> {
        Ok(match predicate {
            RowPredicate::All => self.all(true),
            RowPredicate::Nothing => self.all(false),
            RowPredicate::Has { column, terms } => self.with_terms(column, terms)?,
            RowPredicate::Word { column, analyzer, words } => self.with_words(column, *analyzer, words)?,
            RowPredicate::Range { column, least, greatest } => self.within(column, *least, *greatest),
            RowPredicate::And(left, right) => {
                let left = self.mask(left)?;
                if left.contains(&true) { both(left, self.mask(right)?) } else { left }
            }
            RowPredicate::Or(left, right) => {
                let left = self.mask(left)?;
                if left.contains(&false) { either(left, self.mask(right)?) } else { left }
            }
        })
    }

    /// The analyzer of a filter that is there.
    fn analyzer(&self, place: usize) -> Option<Analyzer> {
        let column = self.block.column(place).filter(|column| column.has_filter)?;
        self.list.filters.get(column.place).copied().flatten()
    }

    fn with_terms(&self, column: &ColumnKey, terms: &[Box<[u8]>]) -> Result<Mask> {
        // A column that the resource does not have is absent from all rows.
        let Some(place) = self.list.position(column) else { return Ok(self.all(false)) };
        let bounded = self.with_numbers(place, terms);
        let Some(analyzer) = self.analyzer(place) else { return Ok(bounded) };
        let is_text = matches!(column.ty, ColumnType::Str | ColumnType::StrArray);
        let filtered = match analyzer {
            Analyzer::Keyword => self.with_one_of(place, terms)?,
            analyzer if is_text => self.with_words_of(place, analyzer, terms)?,
            _ => self.with_one_of(place, terms)?,
        };
        Ok(both(bounded, filtered))
    }

    /// Chunks that may have one of the terms as far as bounds tell.
    fn with_numbers(&self, place: usize, terms: &[Box<[u8]>]) -> Mask {
        let bounds = self.block.column(place).and_then(|column| column.bounds.as_ref());
        let Some(bounds) = bounds else { return self.all(true) };
        let numbers: Vec<i64> = terms.iter().filter_map(|term| int_of_term(term)).collect();
        let chunks = bounds.iter().zip(&self.block.chunks);
        chunks.map(|(bounds, rows)| numbers.iter().any(|n| bounds.may_have(*rows, *n, *n))).collect()
    }

    /// Chunks that may have one of the terms as far as the filter tells.
    fn with_one_of(&self, place: usize, terms: &[Box<[u8]>]) -> Result<Mask> {
        if terms.iter().any(|term| term.len() > FILTER_TERM_BYTES_MAX) {
            return Ok(self.all(true));
        }
        let mut hashes: Vec<u32> = terms.iter().map(|term| hash_of(term)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let list = TermList {
            part: self.part,
            blocks: &self.index.filters,
            leads_to_max: SPAN_CHUNKS_MAX as u64,
            place: (self.block.first_row, place as u32),
        };
        let Some(TermRows::These(chunks)) = list.find(&hashes, usize::MAX)? else {
            return Ok(self.all(true));
        };
        let mut mask = self.all(false);
        for chunk in chunks {
            let flag = usize::try_from(chunk).ok().and_then(|chunk| mask.get_mut(chunk));
            *flag.ok_or_else(|| self.part.wrong("a filter that leads to no chunk"))? = true;
        }
        Ok(mask)
    }

    /// Chunks that may have one of the texts in a filter of words: those with all words of the text.
    fn with_words_of(&self, place: usize, analyzer: Analyzer, texts: &[Box<[u8]>]) -> Result<Mask> {
        let mut any = self.all(false);
        for text in texts {
            let mut words: Vec<Box<[u8]>> = Vec::new();
            analyzer.tokens(text, |word| {
                if word.len() <= FILTER_TERM_BYTES_MAX {
                    words.push(word.into());
                }
                words.len() < WORDS_MAX
            });
            let mut with_all = self.all(true);
            for word in words {
                with_all = both(with_all, self.with_one_of(place, &[word])?);
            }
            any = either(any, with_all);
        }
        Ok(any)
    }

    fn with_words(&self, column: &ColumnKey, analyzer: Analyzer, words: &[Box<[u8]>]) -> Result<Mask> {
        let Some(place) = self.list.position(column) else { return Ok(self.all(false)) };
        if self.analyzer(place) == Some(analyzer) {
            self.with_one_of(place, words)
        } else {
            Ok(self.all(true))
        }
    }

    fn within(&self, column: &ColumnKey, least: i64, greatest: i64) -> Mask {
        let Some(place) = self.list.position(column) else { return self.all(false) };
        let bounds = self.block.column(place).and_then(|column| column.bounds.as_ref());
        let Some(bounds) = bounds else { return self.all(true) };
        let chunks = bounds.iter().zip(&self.block.chunks);
        chunks.map(|(bounds, rows)| bounds.may_have(*rows, least, greatest)).collect()
    }
}

fn both(left: Mask, right: Mask) -> Mask {
    left.into_iter().zip(right).map(|(left, right)| left && right).collect()
}

fn either(left: Mask, right: Mask) -> Mask {
    left.into_iter().zip(right).map(|(left, right)| left || right).collect()
}
