//! The canonical JSON form of any message, both ways (the proto3 JSON mapping).
//!
//! Everything works on the descriptors that the build embeds, so that a message is known by its full name alone and
//! a face can translate requests and responses without knowing their Rust types.

mod bind;
mod duplicates;
mod number;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::fmt;
use std::sync::OnceLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

pub use bind::bind_text;
pub use read::{ReadOptions, decode};
pub use write::{WriteOptions, write};

/// Why a message could not be translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// No message has this full name.
    UnknownMessage(String),
    /// The text is no JSON, or does not fit the message.
    Text(String),
    /// The protobuf bytes do not fit the message.
    Bytes(String),
    /// A value of this message has no JSON form: a time beyond year 9999, for instance.
    Unrepresentable {
        /// Full name of the message that holds the value.
        message: String,
    },
    /// The embedded descriptors are damaged: a defect of the build.
    Descriptors(String),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::UnknownMessage(name) => write!(f, "unknown message {name}"),
            JsonError::Text(reason) => write!(f, "{reason}"),
            JsonError::Bytes(reason) => write!(f, "malformed message: {reason}"),
            JsonError::Unrepresentable { message } => write!(f, "a value of {message} has no JSON form"),
            JsonError::Descriptors(reason) => write!(f, "damaged descriptors: {reason}"),
        }
    }
}

impl std::error::Error for JsonError {}

/// The descriptors of all messages and services, decoded on first use.
///
/// # Errors
/// [`JsonError::Descriptors`] if the build embedded something else than descriptors.
pub fn pool() -> Result<&'static DescriptorPool, JsonError> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).map_err(|e| e.to_string()))
        .as_ref()
        .map_err(|reason| JsonError::Descriptors(reason.clone()))
}

/// The descriptor of the message with this full name, such as `banyandb.measure.v1.QueryRequest`.
///
/// # Errors
/// [`JsonError::UnknownMessage`] if there is none.
pub fn descriptor(full_name: &str) -> Result<MessageDescriptor, JsonError> {
    pool()?.get_message_by_name(full_name).ok_or_else(|| JsonError::UnknownMessage(full_name.to_owned()))
}

/// The JSON text of a message.
///
/// # Errors
/// [`JsonError::Unrepresentable`] if a value has no JSON form.
pub fn to_string<M: Message + Name>(message: &M, options: WriteOptions) -> Result<String, JsonError> {
    encoded_to_string(&M::full_name(), &message.encode_to_vec(), options)
}

/// The JSON text of an encoded message with this full name.
///
/// # Errors
/// [`JsonError::Bytes`] if the bytes do not fit the message, and those of [`to_string`].
pub fn encoded_to_string(full_name: &str, bytes: &[u8], options: WriteOptions) -> Result<String, JsonError> {
    let message = DynamicMessage::decode(descriptor(full_name)?, bytes);
    write(&message.map_err(|e| JsonError::Bytes(e.to_string()))?, options)
}

/// The message that a JSON text stands for.
///
/// # Errors
/// [`JsonError::Text`] if the text does not fit the message.
pub fn from_str<M: Message + Name + Default>(text: &str, options: ReadOptions) -> Result<M, JsonError> {
    let message = decode(&M::full_name(), text, options)?;
    M::decode(message.encode_to_vec().as_slice()).map_err(|e| JsonError::Bytes(e.to_string()))
}
