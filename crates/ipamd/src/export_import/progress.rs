//! The progress of a long command: a progress bar on a terminal, log lines otherwise.

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two redraws of the bar without progress.
const TICK_INTERVAL: Duration = Duration::from_millis(200);

/// The unit of the progress.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Objects.
    Objects,
    /// Bytes of a file.
    Bytes,
}

/// The progress of one activity.
pub struct Progress {
    activity: &'static str,
    bar: ProgressBar,
    logged: Instant,
}

impl Progress {
    /// Starts an activity. Without a `total` the bar shows no remaining time.
    pub fn start(activity: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        if io::stderr().is_terminal() {
            bar.set_style(style(unit, total.is_some()));
            bar.set_message(activity);
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.enable_steady_tick(TICK_INTERVAL);
        }
        Self { activity, bar, logged: Instant::now() }
    }

    /// Sets the position.
    pub fn set_position(&mut self, position: u64) {
        self.bar.set_position(position);
        if self.bar.is_hidden() && self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            tracing::info!(activity = self.activity, position, total = self.bar.length(), "in progress");
        }
    }

    /// Sets the position and the total. A `total` of 0 is unknown.
    pub fn set_position_of(&mut self, position: u64, total: u64) {
        if total > 0 {
            self.bar.set_length(total);
        }
        self.set_position(position);
    }

    /// Ends the activity and clears the bar.
    pub fn done(self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: Unit, is_bounded: bool) -> ProgressStyle {
    let template = match (unit, is_bounded) {
        (Unit::Objects, true) => "{msg} {bar:30} {human_pos}/{human_len} objects, {per_sec}, {eta} left",
        (Unit::Objects, false) => "{msg} {spinner} {human_pos} objects, {per_sec}",
        (Unit::Bytes, true) => "{msg} {bar:30} {binary_bytes}/{binary_total_bytes}, {binary_bytes_per_sec}, {eta} left",
        (Unit::Bytes, false) => "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}",
    };
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_bar_templates_are_valid() {
        for unit in [Unit::Objects, Unit::Bytes] {
            for is_bounded in [false, true] {
                style(unit, is_bounded);
            }
        }
    }
}
