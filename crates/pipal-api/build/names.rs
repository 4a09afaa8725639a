//! Names of generated Rust items and of Go-style fields, as the code generators of both languages spell them.

use heck::{ToSnakeCase, ToUpperCamelCase};
use protox::prost_reflect::{EnumDescriptor, FieldDescriptor, MessageDescriptor, OneofDescriptor};

const PACKAGE_PREFIX: &str = "banyandb.";

/// The path of the generated Rust type of a message: `crate::measure::v1::query_request::Top`.
pub fn message_path(message: &MessageDescriptor) -> String {
    type_path(message.package_name(), message.full_name())
}

/// The path of the generated Rust type of an enum.
pub fn enum_path(item: &EnumDescriptor) -> String {
    type_path(item.package_name(), item.full_name())
}

/// The path of the generated Rust enum of a oneof: `crate::common::v1::plugin::Kind`.
pub fn oneof_path(oneof: &OneofDescriptor) -> String {
    let parent = oneof.parent_message();
    let nested = format!("{}.{}", parent.full_name(), oneof.name());
    type_path(parent.package_name(), &nested)
}

/// The Rust identifier of a field.
pub fn field_ident(field: &FieldDescriptor) -> String {
    raw_ident(&field.name().to_snake_case())
}

/// The Rust identifier of a oneof.
pub fn oneof_ident(oneof: &OneofDescriptor) -> String {
    raw_ident(&oneof.name().to_snake_case())
}

/// The Rust variant of a oneof member.
pub fn variant_ident(field: &FieldDescriptor) -> String {
    field.name().to_upper_camel_case()
}

/// The Go name of a field: an underscore before a lower-case letter goes and the letter becomes a capital.
pub fn go_field(field: &FieldDescriptor) -> String {
    go_camel_case(field.name())
}

/// The Go name of a message: the names of nested messages are joined by underscores.
pub fn go_message(message: &MessageDescriptor) -> String {
    let full = message.full_name();
    let local = full.strip_prefix(message.package_name()).unwrap_or(full).trim_start_matches('.');
    local.split('.').map(go_camel_case).collect::<Vec<_>>().join("_")
}

fn go_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    let mut at_word = true;
    while let Some(c) = chars.next() {
        if c == '_' && chars.peek().is_some_and(char::is_ascii_lowercase) {
            at_word = true;
            continue;
        }
        camel.push(if at_word { c.to_ascii_uppercase() } else { c });
        // A digit ends a word: the letter after it is a capital.
        at_word = c.is_ascii_digit();
    }
    camel
}

fn type_path(package: &str, full: &str) -> String {
    let package_path = package.strip_prefix(PACKAGE_PREFIX).unwrap_or(package).replace('.', "::");
    let local = full.strip_prefix(package).unwrap_or(full).trim_start_matches('.');
    let mut parts: Vec<&str> = local.split('.').collect();
    let last = parts.pop().unwrap_or_default().to_upper_camel_case();
    let modules: String =
        parts.iter().map(|part| format!("{}::", raw_ident(&part.to_snake_case()))).collect();
    format!("crate::{package_path}::{modules}{last}")
}

fn raw_ident(name: &str) -> String {
    const KEYWORDS: [&str; 6] = ["type", "match", "loop", "move", "ref", "use"];
    if KEYWORDS.contains(&name) { format!("r#{name}") } else { name.to_owned() }
}
