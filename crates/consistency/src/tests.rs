//! A small consistent store, and the findings after changes.

mod faults;
mod fixture;
mod scale;
