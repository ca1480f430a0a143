//! A small store in order, and what is found when something in it is wrong.

mod faults;
mod fixture;
mod scale;
