//! The clock of the HTTP layer.

use apimachinery::time::Time;

/// The current time. The only place where the HTTP layer reads the clock.
#[expect(clippy::disallowed_methods, reason = "the HTTP layer is the source of time")]
pub fn now() -> Time {
    Time::new(jiff::Timestamp::now())
}
