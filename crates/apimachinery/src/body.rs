//! Request bodies: JSON, YAML and protobuf decoded to JSON values, within limits of depth and memory.

mod decode;
mod memory_size;
mod protobuf;

pub(crate) use decode::decode_element;
pub use decode::{Decoded, decode, decode_operations};
pub(crate) use memory_size::{Budget, Exceeded, check_object_size, check_size};
