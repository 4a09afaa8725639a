//! Every combination of model, type, index kind, operator and literal, on rows with null, absent, empty, repeated and
//! extreme values. Each row is a series, a trace or a document of its own and is known by its key, so an answer is a
//! set of keys. What is right is decided by evaluators that are written from the specification and look at one value
//! at a time. Combinations of which the specification does not say anything are left out.

mod ask;
mod fill;
mod measure;
mod property;
mod read_back;
mod stream;
mod tokens;
mod trace;

use crate::values::{BASE, Type, Value};
use pipal_api::model::v1::condition::{BinaryOp, MatchOption, match_option::Operator};
use pipal_api::model::v1::{Condition, Criteria, criteria::Exp};

/// What a tag is, besides its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    None,
    /// An analyzer, and whether the rule is named like the tag.
    Inverted(&'static str, bool),
    Skipping,
    Tree,
    /// Part of the entity, or of the series of a trace; without a rule.
    Key,
}

/// A tag of the matrix.
#[derive(Clone, Debug)]
struct Tag {
    name: String,
    ty: Type,
    index: Index,
}

/// The value of a tag in a row; none when it was not sent.
type Stored = Option<Value>;

/// What a condition is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The row is in the answer.
    Yes,
    No,
    /// The whole query is refused.
    Error,
    /// The specification does not say.
    Open,
}

impl From<bool> for Verdict {
    fn from(accepted: bool) -> Self {
        if accepted { Verdict::Yes } else { Verdict::No }
    }
}

impl Verdict {
    fn negated(self) -> Verdict {
        match self {
            Verdict::Yes => Verdict::No,
            Verdict::No => Verdict::Yes,
            other => other,
        }
    }
}

/// A condition of the matrix, without the tag.
#[derive(Clone, Debug)]
struct Question {
    op: BinaryOp,
    literal: Value,
    /// The analyzer of the condition; empty for that of the rule.
    analyzer: &'static str,
    /// Every token is needed, any will do, or not said.
    operator: Operator,
}

impl Question {
    fn criteria(&self, tag: &str) -> Criteria {
        let is_plain = self.analyzer.is_empty() && self.operator == Operator::Unspecified;
        let match_option = (!is_plain)
            .then(|| MatchOption { analyzer: self.analyzer.into(), operator: self.operator as i32 });
        let value = Some(self.literal.tag());
        let condition = Condition { name: tag.into(), op: self.op as i32, value, match_option };
        Criteria { exp: Some(Exp::Condition(condition)) }
    }
}

const ROWS: usize = 12;

/// The key of a row.
fn key(row: usize) -> String {
    format!("r{row:02}")
}

/// The values of a type, one per row.
fn stored(ty: Type) -> [Stored; ROWS] {
    let text = |text: &str| Some(Value::Str(text.into()));
    let int = |number| Some(Value::Int(number));
    let texts = |list: &[&str]| Some(Value::Strs(list.iter().map(|text| (*text).into()).collect()));
    let ints = |list: &[i64]| Some(Value::Ints(list.into()));
    let bytes = |list: &[u8]| Some(Value::Bin(list.into()));
    let time = |seconds: i64| Some(Value::Time(BASE + seconds * 1_000_000_000));
    let (null, absent) = (Some(Value::Null), None);
    match ty {
        Type::Str => [
            text(""),
            text("a"),
            text("b"),
            text("Foo-BAR 42/baz"),
            text("foo bar"),
            text("ab"),
            null,
            absent,
            text("a"),
            text("zz"),
            text("Hello, wi-fi 3.14"),
            text("FOO"),
        ],
        Type::Int => [
            int(0),
            int(1),
            int(-1),
            int(i64::MIN),
            int(i64::MAX),
            int(5),
            null,
            absent,
            int(1),
            int(5),
            int(255),
            int(-256),
        ],
        Type::Strs => [
            texts(&[]),
            texts(&["a"]),
            texts(&["a", "b"]),
            texts(&["b", "a"]),
            texts(&[""]),
            texts(&["a", "a"]),
            null,
            absent,
            texts(&["a"]),
            texts(&["Foo-BAR 42/baz", "x"]),
            texts(&["b"]),
            texts(&["foo", "bar"]),
        ],
        Type::Ints => [
            ints(&[]),
            ints(&[1]),
            ints(&[1, 5]),
            ints(&[5, 1]),
            ints(&[0]),
            ints(&[1, 1]),
            null,
            absent,
            ints(&[1]),
            ints(&[i64::MIN, i64::MAX]),
            ints(&[5]),
            ints(&[-1]),
        ],
        Type::Bin => [
            bytes(b""),
            bytes(b"a"),
            bytes(b"b"),
            bytes(b"\xff\x00"),
            bytes(b"ab"),
            bytes(b"zz"),
            null,
            absent,
            bytes(b"a"),
            bytes(&1i64.to_be_bytes()),
            bytes(b"foo"),
            bytes(b"\x00"),
        ],
        Type::Time => [
            time(0),
            time(1),
            time(-1),
            time(86_400),
            Some(Value::Time(1_000_000)),
            time(5),
            null,
            absent,
            time(1),
            time(5),
            time(60),
            time(-60),
        ],
        Type::Float => panic!("no tag is a float"),
    }
}

/// All questions.
fn questions() -> Vec<Question> {
    let text = |text: &str| Value::Str(text.into());
    let texts = |list: &[&str]| Value::Strs(list.iter().map(|text| (*text).into()).collect());
    let words = [text("a"), text("foo"), text("Foo-BAR 42/baz"), text("bar FOO"), text("zzz a"), text("...")];
    let mut literals = vec![
        Value::Null,
        Value::Unset,
        text(""),
        Value::Int(0),
        Value::Int(1),
        Value::Int(5),
        Value::Int(i64::MIN),
        Value::Int(i64::MAX),
        Value::Time(BASE + 1_000_000_000),
        Value::Bin(b"a".to_vec()),
        texts(&[]),
        texts(&["a"]),
        texts(&["a", "b"]),
        texts(&["b", "a"]),
        texts(&["", "zzz"]),
        texts(&["a", "a"]),
        Value::Ints(vec![]),
        Value::Ints(vec![1]),
        Value::Ints(vec![1, 5]),
        Value::Ints(vec![i64::MIN, i64::MAX]),
    ];
    literals.extend(words.clone());
    let ops = [
        BinaryOp::Unspecified,
        BinaryOp::Eq,
        BinaryOp::Ne,
        BinaryOp::Lt,
        BinaryOp::Gt,
        BinaryOp::Le,
        BinaryOp::Ge,
        BinaryOp::Having,
        BinaryOp::NotHaving,
        BinaryOp::In,
        BinaryOp::NotIn,
        BinaryOp::Match,
    ];
    let mut questions = Vec::new();
    for op in ops {
        for literal in &literals {
            let literal = literal.clone();
            questions.push(Question { op, literal, analyzer: "", operator: Operator::Unspecified });
        }
    }
    for literal in &words {
        for analyzer in ["", "url", "simple", "no-such-analyzer"] {
            for operator in [Operator::And, Operator::Or] {
                questions.push(Question {
                    op: BinaryOp::Match,
                    literal: literal.clone(),
                    analyzer,
                    operator,
                });
            }
        }
    }
    questions
}

/// Tags of every type and index, without keys.
fn tags() -> Vec<Tag> {
    let mut tags = Vec::new();
    for (ty, name) in [
        (Type::Str, "str"),
        (Type::Int, "int"),
        (Type::Strs, "strs"),
        (Type::Ints, "ints"),
        (Type::Bin, "bin"),
        (Type::Time, "time"),
    ] {
        let mut indexes = vec![
            ("none", Index::None),
            ("inverted", Index::Inverted("", true)),
            ("skipping", Index::Skipping),
            ("tree", Index::Tree),
        ];
        if matches!(ty, Type::Str | Type::Strs) {
            indexes.extend([
                ("keyword", Index::Inverted("keyword", true)),
                ("simple", Index::Inverted("simple", true)),
                ("standard", Index::Inverted("standard", true)),
                ("url", Index::Inverted("url", true)),
                ("other", Index::Inverted("url", false)),
            ]);
        }
        tags.extend(indexes.into_iter().map(|(kind, index)| Tag {
            name: format!("{name}_{kind}"),
            ty,
            index,
        }));
    }
    tags
}

/// The two tags of the entity beside the key of the row.
fn keys() -> Vec<Tag> {
    let key = |name: &str, ty| Tag { name: name.into(), ty, index: Index::Key };
    vec![key("key_str", Type::Str), key("key_int", Type::Int)]
}

/// The order of two scalars of one type.
fn compare(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Time(a), Value::Time(b)) => Some(a.cmp(b)),
        (Value::Bin(a), Value::Bin(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// What a range operator says about an order.
fn is_in_range(op: BinaryOp, order: std::cmp::Ordering) -> bool {
    match op {
        BinaryOp::Lt => order.is_lt(),
        BinaryOp::Le => order.is_le(),
        BinaryOp::Gt => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn is_range(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
}
