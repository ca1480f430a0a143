//! Label selectors and field selectors: parsing, matching and errors.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

#[cfg(test)]
mod tests;
