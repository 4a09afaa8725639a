//! Queries.
//!
//! ```text
//! query rows of a zone
//!   from g/m show host ms where zone = 'eu' order zone desc limit 3 offset 1
//!   -> h1 10 ; h2 20
//!   -> h3 null
//! ```
//! The first lines are the query, those with `->` the answer: rows divided by `;`, `nothing`, or `error` and a part of
//! its text. Clauses, in any order:
//!
//! | clause | meaning |
//! |---|---|
//! | `from g/m`, `from g,h/m` | the resource in one or more groups; `from g` for all properties of a group |
//! | `during -1h..+5m` | the time range; without it everything from `-100d` to `+100d`; `during always` sends none |
//! | `show host e.note ms field:x` | tags and fields; `@time`, `@version`, `@sid`, `@id`, `@span` (payload), `@names` |
//! | `where ...` | see [`super::criteria`] |
//! | `group zone` | group by tags |
//! | `agg sum ms` | aggregate; without a field for Top-N |
//! | `top 2 ms desc` | rank |
//! | `order zone desc`, `order time desc` | by a rule or by time; a tag for properties |
//! | `limit 3`, `offset 1` | page |
//! | `ids a b` | documents by id |
//! | `best 3 desc` | the call TopN |
//! | `knowing m current`, `older`, `newer` | revisions, per group |
//! | `unordered` | the order of the rows does not count |

use super::criteria::criteria;
use super::define::{Kind, sort};
use super::tokens::{Token, Tokens};
use crate::values::{BASE, length, time};
use pipal_api::model::v1::{Criteria, Sort};

/// What a query asks for, whatever its model.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    pub groups: Vec<String>,
    pub name: String,
    pub(super) during: Option<(i64, i64)>,
    pub show: Vec<String>,
    pub(super) criteria: Option<Criteria>,
    pub(super) group: Vec<String>,
    pub(super) agg: Option<(String, String)>,
    pub(super) top: Option<(i32, String, Sort)>,
    pub(super) order: Option<(String, Sort)>,
    pub(super) limit: u32,
    pub(super) offset: u32,
    pub(super) ids: Vec<String>,
    pub(super) best: Option<(i32, Sort)>,
    pub knowing: Vec<(String, String)>,
    pub unordered: bool,
}

const KEYWORDS: [&str; 15] = [
    "from",
    "during",
    "show",
    "where",
    "group",
    "agg",
    "top",
    "order",
    "limit",
    "offset",
    "ids",
    "best",
    "knowing",
    "unordered",
    "->",
];

impl Statement {
    pub fn of(text: &str) -> Statement {
        let mut tokens = Tokens::of(text);
        let hundred_days = length("100d");
        let during = Some((BASE - hundred_days, BASE + hundred_days));
        let mut statement = Statement { during, ..Statement::default() };
        while let Some(Token::Word(clause)) = tokens.next() {
            statement.clause(&clause, &mut tokens);
        }
        statement
    }

    fn clause(&mut self, clause: &str, tokens: &mut Tokens) {
        match clause {
            "from" => self.from(tokens),
            "during" => self.during = range(&tokens.word()),
            "show" => self.show = list(tokens),
            "where" => self.criteria = criteria(tokens),
            "group" => self.group = list(tokens),
            "ids" => self.ids = list(tokens),
            "agg" => {
                let [function, field] = pair(list(tokens));
                self.agg = Some((function, field));
            }
            "top" => {
                let number = tokens.word().parse().unwrap();
                let [field, direction] = pair(list(tokens));
                self.top = Some((number, field, direction_of(&direction)));
            }
            "order" => {
                let [by, direction] = pair(list(tokens));
                let by = if by == "time" { String::new() } else { by };
                self.order = Some((by, direction_of(&direction)));
            }
            "best" => {
                let [number, direction] = pair(list(tokens));
                self.best = Some((number.parse().unwrap(), direction_of(&direction)));
            }
            "knowing" => {
                let [group, what] = pair(list(tokens));
                self.knowing.push((group, what));
            }
            "limit" => self.limit = number(&tokens.word()),
            "offset" => self.offset = number(&tokens.word()),
            "unordered" => self.unordered = true,
            _ => panic!("{clause:?} begins no clause"),
        }
    }

    fn from(&mut self, tokens: &mut Tokens) {
        loop {
            let word = tokens.word();
            let (group, name) = word.split_once('/').unwrap_or((&word, ""));
            self.groups.push(group.to_owned());
            self.name = name.to_owned();
            if !tokens.take_sign(",") {
                return;
            }
        }
    }

    /// True for the call TopN.
    pub fn is_ranking(&self) -> bool {
        self.best.is_some()
    }

    /// True when the answer is to show this about rows, such as `time`.
    pub fn shows(&self, extra: &str) -> bool {
        self.show.iter().any(|item| item.strip_prefix('@') == Some(extra))
    }

    /// Checks that the statement asks nothing of a model that the model does not know.
    pub fn check(&self, kind: Kind) {
        let measure_only = !self.group.is_empty() || self.top.is_some();
        assert!(kind == Kind::Measure || !measure_only, "only measures are grouped and ranked");
        assert!(kind == Kind::TopN || self.best.is_none(), "`best` asks an aggregation");
        assert!(kind == Kind::Property || self.ids.is_empty(), "`ids` asks for documents");
    }
}

fn range(text: &str) -> Option<(i64, i64)> {
    if text == "always" {
        return None;
    }
    let (begin, end) = text.split_once("..").unwrap_or_else(|| panic!("no range: {text:?}"));
    Some((time(begin), time(end)))
}

fn number(word: &str) -> u32 {
    if word == "max" { u32::MAX } else { word.parse().unwrap() }
}

fn direction_of(word: &str) -> Sort {
    if word.is_empty() { Sort::Unspecified } else { sort(word) }
}

/// Words up to the next clause.
fn list(tokens: &mut Tokens) -> Vec<String> {
    let mut words = Vec::new();
    loop {
        match tokens.peek() {
            Some(Token::Word(word)) if !KEYWORDS.contains(&&**word) => {
                words.push(word.clone());
                tokens.next();
            }
            Some(Token::Text(text)) => {
                words.push(text.clone());
                tokens.next();
            }
            _ => return words,
        }
    }
}

/// One word or two.
fn pair(words: Vec<String>) -> [String; 2] {
    let mut words = words.into_iter();
    let pair = [words.next().unwrap_or_default(), words.next().unwrap_or_default()];
    assert_eq!(words.next(), None, "two words are enough");
    pair
}
