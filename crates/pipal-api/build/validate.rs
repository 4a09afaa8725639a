//! Generates a `Validate` implementation for every message of the contract.

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write;

use protox::prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

use crate::names;
use crate::rules::{FieldRules, Rule, Rules};

type Generated<T> = Result<T, Box<dyn Error>>;

/// Rust source with one implementation per message. A rule of an unknown field or one that does not fit its
/// field's type is an error, so that a slip in the table cannot drop a check silently.
pub fn generate(pool: &DescriptorPool, mut rules: Rules) -> Generated<String> {
    let messages: Vec<_> = pool
        .all_messages()
        .filter(|m| m.package_name().starts_with("banyandb.") && !m.is_map_entry())
        .collect();
    let ruled = messages_with_rules(&messages, &rules);
    let mut out = String::new();
    for message in &messages {
        implementation(message, &ruled, &mut rules, &mut out)?;
    }
    match rules.into_keys().next() {
        Some((message, field)) => Err(format!("rule for an unknown field: {message} {field}").into()),
        None => Ok(out),
    }
}

/// The full names of the messages that have rules or contain, at any depth, messages with rules.
fn messages_with_rules(messages: &[MessageDescriptor], rules: &Rules) -> HashSet<String> {
    let mut ruled: HashSet<String> = rules.keys().map(|(message, _)| message.clone()).collect();
    loop {
        let before = ruled.len();
        for message in messages {
            if message.fields().any(|field| embedded(&field).is_some_and(|m| ruled.contains(m.full_name()))) {
                ruled.insert(message.full_name().to_owned());
            }
        }
        if ruled.len() == before {
            return ruled;
        }
    }
}

/// The message type of a field; of a map, that of its values.
fn embedded(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => embedded(&entry.map_entry_value_field()),
        Kind::Message(message) => Some(message),
        _ => None,
    }
}

fn implementation(
    message: &MessageDescriptor,
    ruled: &HashSet<String>,
    rules: &mut Rules,
    out: &mut String,
) -> Generated<()> {
    writeln!(out, "impl Validate for {} {{", names::message_path(message))?;
    if ruled.contains(message.full_name()) {
        writeln!(out, "fn collect(&self, found: &mut Violations) {{")?;
        // Plain fields come first and members of oneofs after them, as in the founding implementation.
        let (members, plain): (Vec<_>, Vec<_>) = message.fields().partition(|f| real_oneof(f).is_some());
        for field in plain.iter().chain(&members) {
            let key = (message.full_name().to_owned(), field.name().to_owned());
            let field_rules = rules.remove(&key).unwrap_or_default();
            let nested = embedded(field).is_some_and(|m| ruled.contains(m.full_name()));
            let place = format!("{:?}, {:?}", names::go_message(message), names::go_field(field));
            field_checks(field, &place, &field_rules, nested, out)
                .map_err(|e| format!("{} {}: {e}", message.full_name(), field.name()))?;
        }
        writeln!(out, "}}")?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

fn real_oneof(field: &FieldDescriptor) -> Option<protox::prost_reflect::OneofDescriptor> {
    field.containing_oneof().filter(|oneof| !oneof.is_synthetic())
}

fn field_checks(
    field: &FieldDescriptor,
    place: &str,
    rules: &FieldRules,
    nested: bool,
    out: &mut String,
) -> Generated<()> {
    let has_rules = !rules.own.is_empty() || !rules.items.is_empty();
    if let Some(oneof) = real_oneof(field) {
        if has_rules {
            return Err("rules of oneof members are not supported".into());
        }
        if nested {
            let variant = format!("{}::{}", names::oneof_path(&oneof), names::variant_ident(field));
            let holder = names::oneof_ident(&oneof);
            writeln!(
                out,
                "if let Some({variant}(inner)) = &self.{holder} {{ found.embedded({place}, inner); }}"
            )?;
        }
        return Ok(());
    }
    if field.is_map() && (has_rules || nested) {
        return Err("rules of maps are not supported".into());
    }
    let value = format!("self.{}", names::field_ident(field));
    for rule in &rules.own {
        own_check(field, place, &value, *rule, out)?;
    }
    item_checks(field, place, &value, rules, nested, out)?;
    if nested && !field.is_list() {
        writeln!(out, "if let Some(inner) = &{value} {{ found.embedded({place}, inner); }}")?;
    }
    Ok(())
}

fn item_checks(
    field: &FieldDescriptor,
    place: &str,
    value: &str,
    rules: &FieldRules,
    nested: bool,
    out: &mut String,
) -> Generated<()> {
    let nested = nested && field.is_list();
    if rules.items.is_empty() && !nested {
        return Ok(());
    }
    if !field.is_list() {
        return Err("item rules need a list".into());
    }
    writeln!(out, "for (index, item) in {value}.iter().enumerate() {{")?;
    for rule in &rules.items {
        let (condition, reason) = scalar_check(field, "*item", *rule)?;
        writeln!(out, "if {condition} {{ found.item({place}, index, {reason:?}); }}")?;
    }
    if nested {
        writeln!(out, "found.embedded_item({place}, index, item);")?;
    }
    writeln!(out, "}}")?;
    Ok(())
}

fn own_check(
    field: &FieldDescriptor,
    place: &str,
    value: &str,
    rule: Rule,
    out: &mut String,
) -> Generated<()> {
    let (condition, reason) = match (rule, field.kind()) {
        (Rule::MinItems(n), _) if field.is_list() => {
            (format!("{value}.len() < {n}"), format!("value must contain at least {n} item(s)"))
        }
        (_, _) if field.is_list() => return Err("a list takes min_items and item rules only".into()),
        (Rule::Required, Kind::Message(_)) => (format!("{value}.is_none()"), "value is required".to_owned()),
        (Rule::Gt(0), Kind::Message(m)) if m.full_name() == "google.protobuf.Duration" => (
            format!("{value}.is_some_and(|duration| !super::is_positive(&duration))"),
            "value must be greater than 0s".to_owned(),
        ),
        (_, _) if field.supports_presence() => return Err("the rule needs a field without presence".into()),
        _ => scalar_check(field, value, rule)?,
    };
    writeln!(out, "if {condition} {{ found.field({place}, {reason:?}); }}")?;
    Ok(())
}

/// The condition under which a value breaks `rule`, and the reason to report.
fn scalar_check(field: &FieldDescriptor, value: &str, rule: Rule) -> Generated<(String, String)> {
    let numeric = matches!(field.kind(), Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64);
    Ok(match (rule, field.kind()) {
        (Rule::MinLen(1), Kind::String) => {
            (format!("({value}).is_empty()"), "value length must be at least 1 runes".to_owned())
        }
        (Rule::MinLen(n), Kind::String) => {
            (format!("({value}).chars().count() < {n}"), format!("value length must be at least {n} runes"))
        }
        (Rule::Gt(n), _) if numeric => (format!("{value} <= {n}"), format!("value must be greater than {n}")),
        (Rule::Gte(n), _) if numeric => {
            (format!("{value} < {n}"), format!("value must be greater than or equal to {n}"))
        }
        (Rule::DefinedOnly, Kind::Enum(e)) => (
            format!("{}::try_from({value}).is_err()", names::enum_path(&e)),
            "value must be one of the defined enum values".to_owned(),
        ),
        (Rule::NotIn(n), Kind::Enum(e)) => {
            let name = e.get_value(n).ok_or("not_in needs a defined number")?.name().to_owned();
            (format!("{value} == {n}"), format!("value must not be in list [{name}]"))
        }
        _ => return Err("the rule does not fit the type of the field".into()),
    })
}
