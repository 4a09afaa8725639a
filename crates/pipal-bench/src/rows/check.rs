//! What can be wrong with rows that were read, and how rows of the generator are compared with them.

use pipal_api::model::v1::{Tag, TagValue};

use crate::verify::Fault;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    pub fault: Fault,
    pub text: String,
}

impl Wrong {
    /// A fault with its description.
    pub fn new(fault: Fault, text: impl Into<String>) -> Self {
        Wrong { fault, text: text.into() }
    }
}

/// Fails with the first of these, and with their number.
pub fn none(wrongs: &[Wrong]) -> Result<(), String> {
    match wrongs.first() {
        None => Ok(()),
        Some(first) => Err(format!("{:?}: {} ({} in all)", first.fault, first.text, wrongs.len())),
    }
}

/// Compares tags that came back with those that were written; tags that were not asked for are left out.
pub fn tags_differ<'a>(
    found: impl IntoIterator<Item = &'a Tag>,
    written: &[(&str, TagValue)],
) -> Option<String> {
    for tag in found {
        let Some((_, expected)) = written.iter().find(|(name, _)| *name == tag.key) else {
            return Some(format!("tag {} was never written", tag.key));
        };
        if tag.value.as_ref() != Some(expected) {
            return Some(format!("tag {} is {:?} instead of {expected:?}", tag.key, tag.value));
        }
    }
    None
}

/// Compares two sequences of keys; the text says where they part.
pub fn keys_differ(found: &[i64], expected: &[i64]) -> Option<String> {
    if found == expected {
        return None;
    }
    let place =
        found.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(found.len().min(expected.len()));
    Some(format!(
        "{} rows instead of {}; place {place} has key {:?} instead of {:?}",
        found.len(),
        expected.len(),
        found.get(place),
        expected.get(place)
    ))
}
