//! The rules that a request must keep before a handler sees it, and how broken ones are reported.
//!
//! `proto/rules.txt` lists the rules; the build turns them into plain comparisons, so that a valid request costs no
//! allocation. The text of a violation is part of the wire contract:
//! `invalid <Message>.<Field>: <reason>`, with Go-style names.

use std::fmt;

/// What an embedded message that breaks rules of its own is reported with.
const EMBEDDED: &str = "embedded message failed validation";

/// A message that knows its rules. Every message of the contract implements this; one without rules, here or in an
/// embedded message, is always valid.
pub trait Validate {
    /// Adds every broken rule of this message to `found`.
    fn collect(&self, found: &mut Violations) {
        let _ = found;
    }

    /// Checks all rules.
    ///
    /// # Errors
    /// All broken rules, in the order of the fields.
    fn validate(&self) -> Result<(), Violations> {
        let mut found = Violations::default();
        self.collect(&mut found);
        if found.0.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// All broken rules of one message; displayed joined by `; `.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Go-style name of the message.
    pub message: &'static str,
    /// Go-style name of the field.
    pub field: &'static str,
    /// Position in the list, if the rule is about one element of it.
    pub index: Option<usize>,
    /// What is wrong.
    pub reason: &'static str,
    /// The broken rules of the embedded message, if it is the culprit; empty otherwise.
    pub cause: Violations,
}

impl Violations {
    /// The broken rules in the order of the fields.
    pub fn iter(&self) -> impl Iterator<Item = &Violation> {
        self.0.iter()
    }

    pub(crate) fn field(&mut self, message: &'static str, field: &'static str, reason: &'static str) {
        self.add(message, field, None, reason, Violations::default());
    }

    pub(crate) fn item(
        &mut self,
        message: &'static str,
        field: &'static str,
        index: usize,
        reason: &'static str,
    ) {
        self.add(message, field, Some(index), reason, Violations::default());
    }

    pub(crate) fn embedded<M: Validate>(&mut self, message: &'static str, field: &'static str, inner: &M) {
        if let Err(cause) = inner.validate() {
            self.add(message, field, None, EMBEDDED, cause);
        }
    }

    pub(crate) fn embedded_item<M: Validate>(
        &mut self,
        message: &'static str,
        field: &'static str,
        index: usize,
        inner: &M,
    ) {
        if let Err(cause) = inner.validate() {
            self.add(message, field, Some(index), EMBEDDED, cause);
        }
    }

    fn add(
        &mut self,
        message: &'static str,
        field: &'static str,
        index: Option<usize>,
        reason: &'static str,
        cause: Violations,
    ) {
        self.0.push(Violation { message, field, index, reason, cause });
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, violation) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("; ")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {}.{}", self.message, self.field)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        write!(f, ": {}", self.reason)?;
        if !self.cause.0.is_empty() {
            write!(f, " | caused by: {}", self.cause)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// Whether a duration is above zero. Seconds and nanoseconds of a valid one have the same sign.
fn is_positive(duration: &prost_types::Duration) -> bool {
    duration.seconds >= 0 && duration.nanos >= 0 && (duration.seconds > 0 || duration.nanos > 0)
}

// The build generates this code from rules.txt; its style is the generator's.
#[allow(clippy::all)]
mod generated {
    use super::{Validate, Violations};

    include!(concat!(env!("OUT_DIR"), "/validate.rs"));
}

#[cfg(test)]
mod tests;
