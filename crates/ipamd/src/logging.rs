//! Logs go to standard error: lines for a human on a terminal, JSON for everything else. Standard output belongs to the
//! answers of the client commands.

use std::io::{self, IsTerminal as _};

use anyhow::anyhow;
use tracing_subscriber::{EnvFilter, fmt};

use crate::config::LogFormat;

/// Starts logging. Called once, before anything is worth logging. `level` is a filter such as `info` or
/// `info,apiserver=debug`.
pub fn start(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let builder = fmt().with_env_filter(EnvFilter::try_new(level)?).with_writer(io::stderr);
    let started = match shape(format, io::stderr().is_terminal()) {
        Shape::Text { colours } => builder.with_ansi(colours && colours_wanted()).try_init(),
        Shape::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow!("cannot start logging: {error}"))
}

#[derive(Debug, PartialEq, Eq)]
enum Shape {
    Text { colours: bool },
    Json,
}

fn shape(format: LogFormat, terminal: bool) -> Shape {
    match format {
        LogFormat::Auto if terminal => Shape::Text { colours: true },
        LogFormat::Auto | LogFormat::Json => Shape::Json,
        LogFormat::Text => Shape::Text { colours: terminal },
    }
}

/// See <https://no-color.org>.
fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_human_gets_text_and_a_machine_json() {
        for (format, terminal, expected) in [
            (LogFormat::Auto, true, Shape::Text { colours: true }),
            (LogFormat::Auto, false, Shape::Json),
            (LogFormat::Text, true, Shape::Text { colours: true }),
            (LogFormat::Text, false, Shape::Text { colours: false }),
            (LogFormat::Json, true, Shape::Json),
            (LogFormat::Json, false, Shape::Json),
        ] {
            assert_eq!(shape(format, terminal), expected, "{format:?}, terminal: {terminal}");
        }
    }
}
