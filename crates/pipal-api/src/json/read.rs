//! JSON text to messages.

use prost_reflect::{DeserializeOptions, DynamicMessage};

use super::{JsonError, descriptor, duplicates};

/// How forgiving the reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Skips fields and enum names that the message does not know; otherwise they are errors.
    pub ignore_unknown: bool,
    /// Ignores whatever follows the JSON value; otherwise only white space may.
    pub ignore_rest: bool,
}

/// The message with this full name that a JSON text stands for.
///
/// Field names may be camel case or as in the `.proto` file, 64-bit integers may be text or numbers, enums names or
/// numbers, bytes base64 of either alphabet. `null` leaves a field unset. A key that an object holds twice is an
/// error, since readers disagree about which one counts.
///
/// # Errors
/// [`JsonError::Text`] if the text is no JSON or does not fit the message.
pub fn decode(full_name: &str, text: &str, options: ReadOptions) -> Result<DynamicMessage, JsonError> {
    let descriptor = descriptor(full_name)?;
    duplicates::check(text).map_err(as_text)?;
    let mut json = serde_json::Deserializer::from_str(text);
    let reading = DeserializeOptions::new().deny_unknown_fields(!options.ignore_unknown);
    let message =
        DynamicMessage::deserialize_with_options(descriptor, &mut json, &reading).map_err(as_text)?;
    if !options.ignore_rest {
        json.end().map_err(as_text)?;
    }
    Ok(message)
}

fn as_text(error: serde_json::Error) -> JsonError {
    JsonError::Text(error.to_string())
}
