//! Label selectors and field selectors: parsing, matching, and the words for what is wrong with them.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

#[cfg(test)]
mod tests;
