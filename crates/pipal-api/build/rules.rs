//! Reads `proto/rules.txt`: the rules that requests must keep.

use std::collections::HashMap;
use std::error::Error;

/// One rule of one field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The message field is set.
    Required,
    /// The string has at least so many characters.
    MinLen(usize),
    /// The list has at least so many elements.
    MinItems(usize),
    /// The number is greater.
    Gt(i64),
    /// The number is greater or equal.
    Gte(i64),
    /// The number is a value of the enum.
    DefinedOnly,
    /// The number is another one.
    NotIn(i32),
}

/// The rules of one field: about itself, and about each of its elements if it is a list.
#[derive(Default)]
pub struct FieldRules {
    pub own: Vec<Rule>,
    pub items: Vec<Rule>,
}

/// Rules by full name of the message and name of the field.
pub type Rules = HashMap<(String, String), FieldRules>;

/// Parses the table; its header describes the format.
pub fn parse(text: &str) -> Result<Rules, Box<dyn Error>> {
    let mut rules = Rules::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split_whitespace();
        let (Some(message), Some(field)) = (words.next(), words.next()) else {
            return Err(format!("rule without message and field: {line}").into());
        };
        let mut found = FieldRules::default();
        while let Some(word) = words.next() {
            let (list, name) = match word.strip_prefix("items.") {
                Some(name) => (&mut found.items, name),
                None => (&mut found.own, word),
            };
            list.push(rule(name, &mut words).map_err(|e| format!("{e} in: {line}"))?);
        }
        let key = (format!("banyandb.{message}"), field.to_owned());
        if rules.insert(key, found).is_some() {
            return Err(format!("two lines for one field: {line}").into());
        }
    }
    Ok(rules)
}

fn rule<'a>(name: &str, words: &mut impl Iterator<Item = &'a str>) -> Result<Rule, Box<dyn Error>> {
    let mut argument = || words.next().ok_or("rule without its number");
    Ok(match name {
        "required" => Rule::Required,
        "defined_only" => Rule::DefinedOnly,
        "min_len" => Rule::MinLen(argument()?.parse()?),
        "min_items" => Rule::MinItems(argument()?.parse()?),
        "gt" => Rule::Gt(argument()?.parse()?),
        "gte" => Rule::Gte(argument()?.parse()?),
        "not_in" => Rule::NotIn(argument()?.parse()?),
        _ => return Err(format!("unknown rule {name}").into()),
    })
}
