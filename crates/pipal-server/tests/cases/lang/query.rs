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
//! | `show host e.note ms field:x` | tags and fields; `@time`, `@version`, `@id`, `@span` (payload), `@names` (families and names) |
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
use super::define::{Kind, Resource, sort};
use super::tokens::{Token, Tokens};
use crate::values::{BASE, length, time, timestamp};
use pipal_api::model::v1::{
    AggregationFunction, Condition, Criteria, QueryOrder, Sort, TagProjection, TimeRange, criteria::Exp,
    logical_expression::LogicalOp, tag_projection,
};
use pipal_api::{measure, property, stream, trace};

/// What a query asks for, whatever its model.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    pub groups: Vec<String>,
    pub name: String,
    during: Option<(i64, i64)>,
    pub show: Vec<String>,
    criteria: Option<Criteria>,
    group: Vec<String>,
    agg: Option<(String, String)>,
    top: Option<(i32, String, Sort)>,
    order: Option<(String, Sort)>,
    limit: u32,
    offset: u32,
    ids: Vec<String>,
    best: Option<(i32, Sort)>,
    pub knowing: Vec<(String, String)>,
    pub unordered: bool,
}

const KEYWORDS: [&str; 15] = [
    "from", "during", "show", "where", "group", "agg", "top", "order", "limit", "offset", "ids", "best",
    "knowing", "unordered", "->",
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

    /// True when the answer is to show this about rows, such as `time`.
    pub fn shows(&self, extra: &str) -> bool {
        self.show.iter().any(|item| item.strip_prefix('@') == Some(extra))
    }

    fn items(&self) -> impl Iterator<Item = &str> {
        self.show.iter().map(String::as_str).filter(|item| !item.starts_with('@'))
    }

    /// The tags to show, by family, and the fields.
    fn projections(&self, resource: &Resource) -> (Option<TagProjection>, Vec<String>) {
        let (mut tags, mut fields) = (Vec::new(), Vec::new());
        for item in self.items() {
            if let Some(field) = item.strip_prefix("field:") {
                fields.push(field.to_owned());
            } else if let Some((family, tag)) = item.split_once('.') {
                push_tag(&mut tags, family, tag);
            } else if let Some((family, _)) = resource.tag(item) {
                push_tag(&mut tags, family, item);
            } else {
                assert!(resource.field(item).is_some(), "{item:?} is neither a tag nor a field");
                fields.push(item.to_owned());
            }
        }
        ((!tags.is_empty()).then_some(TagProjection { tag_families: tags }), fields)
    }

    fn time_range(&self) -> Option<TimeRange> {
        let (begin, end) = self.during?;
        Some(TimeRange { begin: Some(timestamp(begin)), end: Some(timestamp(end)) })
    }

    fn order_by(&self) -> Option<QueryOrder> {
        let order = |(rule, sort): &(String, Sort)| QueryOrder {
            index_rule_name: rule.clone(),
            sort: *sort as i32,
        };
        self.order.as_ref().map(order)
    }

    fn function(&self) -> Option<(i32, String)> {
        let (function, field) = self.agg.as_ref()?;
        let function = match &**function {
            "mean" => AggregationFunction::Mean,
            "max" => AggregationFunction::Max,
            "min" => AggregationFunction::Min,
            "count" => AggregationFunction::Count,
            "sum" => AggregationFunction::Sum,
            _ => AggregationFunction::Unspecified,
        };
        Some((function as i32, field.clone()))
    }

    pub fn measure(&self, resource: &Resource) -> measure::v1::QueryRequest {
        use measure::v1::query_request::{Aggregation, FieldProjection, GroupBy, Top};
        let (tag_projection, fields) = self.projections(resource);
        let group_by = (!self.group.is_empty()).then(|| {
            let mut families = Vec::new();
            for item in &self.group {
                let own = resource.tag(item).map_or("d", |(family, _)| family);
                let (family, tag) = item.split_once('.').unwrap_or((own, item));
                push_tag(&mut families, family, tag);
            }
            GroupBy { tag_projection: Some(TagProjection { tag_families: families }), field_name: String::new() }
        });
        let agg = self.function().map(|(function, field_name)| Aggregation { function, field_name });
        let top = self.top.clone().map(|(number, field_name, sort)| Top {
            number,
            field_name,
            field_value_sort: sort as i32,
        });
        measure::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            criteria: self.criteria.clone(),
            tag_projection,
            field_projection: (!fields.is_empty()).then_some(FieldProjection { names: fields }),
            group_by,
            agg,
            top,
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            ..Default::default()
        }
    }

    pub fn stream(&self, resource: &Resource) -> stream::v1::QueryRequest {
        stream::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            criteria: self.criteria.clone(),
            projection: Some(self.projections(resource).0.unwrap_or_default()),
            ..Default::default()
        }
    }

    pub fn trace(&self) -> trace::v1::QueryRequest {
        trace::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            offset: self.offset,
            limit: self.limit,
            order_by: self.order_by(),
            criteria: self.criteria.clone(),
            tag_projection: self.items().map(str::to_owned).collect(),
            ..Default::default()
        }
    }

    pub fn property(&self) -> property::v1::QueryRequest {
        let order = |(tag, sort): &(String, Sort)| property::v1::QueryOrder {
            tag_name: tag.clone(),
            sort: *sort as i32,
        };
        property::v1::QueryRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            ids: self.ids.clone(),
            criteria: self.criteria.clone(),
            tag_projection: self.items().map(str::to_owned).collect(),
            limit: self.limit,
            order_by: self.order.as_ref().map(order),
            ..Default::default()
        }
    }

    pub fn top_n(&self) -> measure::v1::TopNRequest {
        let (top_n, sort) = self.best.unwrap_or((10, Sort::Desc));
        measure::v1::TopNRequest {
            groups: self.groups.clone(),
            name: self.name.clone(),
            time_range: self.time_range(),
            top_n,
            agg: self.function().map_or(0, |(function, _)| function),
            conditions: self.criteria.as_ref().map_or_else(Vec::new, conditions),
            field_value_sort: sort as i32,
            ..Default::default()
        }
    }

    /// Checks that the statement asks nothing of a model that the model does not know.
    pub fn check(&self, kind: Kind) {
        let measure_only = !self.group.is_empty() || self.top.is_some();
        assert!(kind == Kind::Measure || !measure_only, "only measures are grouped and ranked");
        assert!(kind == Kind::TopN || self.best.is_none(), "`best` asks an aggregation");
        assert!(kind == Kind::Property || self.ids.is_empty(), "`ids` asks for documents");
    }
}

/// The conditions of a conjunction.
fn conditions(criteria: &Criteria) -> Vec<Condition> {
    match criteria.exp.as_ref().expect("conditions have content") {
        Exp::Condition(condition) => vec![condition.clone()],
        Exp::Le(node) => {
            assert_eq!(node.op, LogicalOp::And as i32, "conditions of TopN are joined by AND");
            let sides = [&node.left, &node.right];
            sides.into_iter().flatten().flat_map(|side| conditions(side)).collect()
        }
    }
}

fn push_tag(families: &mut Vec<tag_projection::TagFamily>, family: &str, tag: &str) {
    match families.last_mut().filter(|last| last.name == family) {
        Some(last) => last.tags.push(tag.to_owned()),
        None => families.push(tag_projection::TagFamily { name: family.into(), tags: vec![tag.into()] }),
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
