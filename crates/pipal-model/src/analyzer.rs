//! Analyzers: how text becomes tokens (server surface, 3.4). The same code runs on stored values and on literals.

use std::borrow::Cow;
use std::ops::Range;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};
use unicode_segmentation::UnicodeSegmentation;

/// How text is cut into tokens.
///
/// The numbers are part of the format on disk: a tokenisation that changes needs a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Analyzer {
    /// The whole text is one token. Unknown names mean this too.
    #[default]
    Keyword = 1,
    /// Runs of letters, lower case.
    Simple = 2,
    /// Words after Unicode Standard Annex 29 that hold a letter or number, lower case.
    Standard = 3,
    /// Runs of letters and numbers, case kept.
    Url = 4,
}

impl Analyzer {
    /// The analyzer of this name. An empty or unknown name gives the keyword analyzer.
    pub fn by_name(name: &str) -> Self {
        match name {
            "simple" => Analyzer::Simple,
            "standard" => Analyzer::Standard,
            "url" => Analyzer::Url,
            _ => Analyzer::Keyword,
        }
    }

    /// The analyzer with this number on disk.
    pub fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Analyzer::Keyword,
            2 => Analyzer::Simple,
            3 => Analyzer::Standard,
            4 => Analyzer::Url,
            _ => return None,
        })
    }

    /// The number of the analyzer on disk.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Calls `visit` with every token of `text`, in order, until it returns false.
    pub fn tokens(self, text: &[u8], mut visit: impl FnMut(&[u8]) -> bool) {
        match self {
            Analyzer::Keyword => {
                visit(text);
            }
            Analyzer::Standard => {
                words(&String::from_utf8_lossy(text), |word| visit(word.to_lowercase().as_bytes()));
            }
            Analyzer::Simple => runs(text, is_letter, |word| visit(lower(word).as_bytes())),
            Analyzer::Url => runs(text, |c| is_letter(c) || c.is_numeric(), |word| visit(word.as_bytes())),
        }
    }
}

/// Visits words after Annex 29 as it was before Unicode 15.1: a colon between letters joined them.
fn words(text: &str, mut visit: impl FnMut(&str) -> bool) {
    let mut joined: Option<Range<usize>> = None;
    let mut last = "";
    for (at, word) in text.unicode_word_indices() {
        let end = at + word.len();
        match &mut joined {
            Some(range) if text.get(range.end..at) == Some(":") && colon_joins(last, word) => range.end = end,
            _ => {
                if let Some(range) = joined.replace(at..end)
                    && !visit(text.get(range).unwrap_or_default())
                {
                    return;
                }
            }
        }
        last = word;
    }
    if let Some(range) = joined {
        visit(text.get(range).unwrap_or_default());
    }
}

/// Another character, which is still of the class that the colon was of, tells.
fn colon_joins(left: &str, right: &str) -> bool {
    [left, "\u{2027}", right].concat().unicode_words().count() == 1
}

/// Unicode category L. `char::is_alphabetic` is wider: it also holds vowel signs and letter-like numbers.
fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    c.general_category_group() == GeneralCategoryGroup::Letter
}

fn lower(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|b| b.is_ascii_lowercase()) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(word.to_lowercase())
}

/// Visits the longest runs of characters that are inside. What follows the first invalid byte or U+FFFD yields no
/// tokens, as existing data was indexed that way.
fn runs(text: &[u8], inside: impl Fn(char) -> bool, mut visit: impl FnMut(&str) -> bool) {
    let valid = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
    };
    let readable = valid.split('\u{fffd}').next().unwrap_or_default();
    for word in readable.split(|c| !inside(c)) {
        if !word.is_empty() && !visit(word) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(analyzer: Analyzer, text: &[u8]) -> Vec<String> {
        let mut list = Vec::new();
        analyzer.tokens(text, |token| {
            list.push(String::from_utf8(token.to_vec()).unwrap());
            true
        });
        list
    }

    #[test]
    fn the_examples_of_the_specification_hold() {
        let path = b"/Api/v2-Users";
        assert_eq!(tokens(Analyzer::Keyword, path), ["/Api/v2-Users"]);
        assert_eq!(tokens(Analyzer::Simple, path), ["api", "v", "users"]);
        assert_eq!(tokens(Analyzer::Standard, path), ["api", "v2", "users"]);
        assert_eq!(tokens(Analyzer::Url, path), ["Api", "v2", "Users"]);
        assert_eq!(tokens(Analyzer::Url, b"https://a.b/Foo?id=7"), ["https", "a", "b", "Foo", "id", "7"]);
        assert_eq!(tokens(Analyzer::Simple, b"AB-c1d"), ["ab", "c", "d"]);
        assert_eq!(tokens(Analyzer::Standard, b"Hello, wi-fi 3.14"), ["hello", "wi", "fi", "3.14"]);
    }

    #[test]
    fn unicode_is_cut_by_category_and_lowered_in_full() {
        assert_eq!(tokens(Analyzer::Standard, "東京 tower".as_bytes()), ["東", "京", "tower"]);
        assert_eq!(tokens(Analyzer::Simple, "ΌΣΟΣ".as_bytes()), ["όσος"], "the last sigma is a final one");
        assert_eq!(
            tokens(Analyzer::Simple, "aⅧb".as_bytes()),
            ["a", "b"],
            "a letter-like number is no letter"
        );
        assert_eq!(tokens(Analyzer::Url, "aⅧb".as_bytes()), ["aⅧb"], "but it is a number");
        assert_eq!(tokens(Analyzer::Simple, "कि".as_bytes()), ["क"], "a vowel sign is no letter");
    }

    #[test]
    fn a_colon_joins_letters_and_nothing_else() {
        assert_eq!(
            tokens(Analyzer::Standard, b"it's a.b:c x_y 3.5 ab12"),
            ["it's", "a.b:c", "x_y", "3.5", "ab12"]
        );
        assert_eq!(tokens(Analyzer::Standard, b"a:b:c d: e :f g::h"), ["a:b:c", "d", "e", "f", "g", "h"]);
        assert_eq!(tokens(Analyzer::Standard, b"1:2 a1:2b 10:30"), ["1", "2", "a1", "2b", "10", "30"]);
        assert_eq!(tokens(Analyzer::Standard, "東:京 é:É".as_bytes()), ["東", "京", "é:é"]);
    }

    #[test]
    fn simple_and_url_stop_at_the_first_byte_that_is_no_text() {
        assert_eq!(tokens(Analyzer::Simple, b"ab \xff cd"), ["ab"]);
        assert_eq!(tokens(Analyzer::Url, "ab \u{fffd} cd".as_bytes()), ["ab"]);
        assert_eq!(tokens(Analyzer::Simple, b"\xff"), [""; 0]);
    }

    #[test]
    fn a_visitor_can_stop() {
        for analyzer in [Analyzer::Keyword, Analyzer::Simple, Analyzer::Standard, Analyzer::Url] {
            let mut seen = 0;
            analyzer.tokens(b"a b c", |_| {
                seen += 1;
                false
            });
            assert_eq!(seen, 1, "{analyzer:?}");
        }
    }
}
