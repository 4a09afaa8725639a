//! Tables and small plots in plain text.

/// Blocks of rising height: U+2581 to U+2588.
const BLOCKS: [char; 8] =
    ['\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}'];
const FULL_BLOCK: char = '\u{2588}';

/// One character per value, between the least and the greatest one; values that are no numbers leave a gap.
pub fn sparkline(values: &[f64]) -> String {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (least, greatest) =
        (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let span = greatest - least;
    let block = |value: &f64| {
        if !value.is_finite() {
            return ' ';
        }
        let height = if span > 0.0 { (value - least) / span * (BLOCKS.len() - 1) as f64 } else { 0.0 };
        BLOCKS.get(height.round() as usize).copied().unwrap_or(FULL_BLOCK)
    };
    values.iter().map(block).collect()
}

/// A horizontal bar in proportion to the greatest value; at least one block for a positive value.
pub fn bar(value: f64, greatest: f64, width: usize) -> String {
    if value <= 0.0 || greatest <= 0.0 || !value.is_finite() {
        return String::new();
    }
    let length = (value / greatest * width as f64).round() as usize;
    FULL_BLOCK.to_string().repeat(length.clamp(1, width))
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// An indented table with a rule below its header. Columns of numbers are aligned to the right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
    let width = |index: usize, title: &str| {
        column(index).map(|cell| cell.chars().count()).max().unwrap_or(0).max(title.chars().count())
    };
    let widths: Vec<usize> = header.iter().enumerate().map(|(i, title)| width(i, title)).collect();
    let is_right: Vec<bool> = (0..header.len())
        .map(|i| column(i).next().is_some() && column(i).all(|cell| is_number(cell)))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(widths.iter().zip(&is_right)).map(|(cell, (width, right))| {
            if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("  {}", padded.collect::<Vec<_>>().join("  ")).trim_end().to_owned() + "\n"
    };
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(&mut header.iter().copied());
    text += &line(&mut rules.iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_spans_its_values() {
        assert_eq!(sparkline(&[0.0, 3.5, 7.0]), "\u{2581}\u{2585}\u{2588}");
        assert_eq!(sparkline(&[5.0, 5.0]), "\u{2581}\u{2581}");
        assert_eq!(sparkline(&[1.0, f64::NAN, 2.0]), "\u{2581} \u{2588}");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn bars_are_in_proportion() {
        assert_eq!(bar(10.0, 10.0, 8).chars().count(), 8);
        assert_eq!(bar(5.0, 10.0, 8).chars().count(), 4);
        assert_eq!(bar(0.001, 10.0, 8).chars().count(), 1);
        assert_eq!(bar(0.0, 10.0, 8), "");
        assert_eq!(bar(f64::NAN, 10.0, 8), "");
    }

    #[test]
    fn tables_align_text_left_and_numbers_right() {
        let rows = vec![vec!["a".to_owned(), "7".to_owned()], vec!["longer".to_owned(), "1234.5".to_owned()]];
        let expected = "  name        ms\n  ------  ------\n  a            7\n  longer  1234.5\n";
        assert_eq!(table(&["name", "ms"], &rows), expected);
    }
}
