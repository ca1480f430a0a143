//! Time parameters of a connection string, with libpq's names and units. Absent ones get a default here, because with
//! the system defaults a dead connection is detected only after many minutes.

use std::time::Duration;

use tokio_postgres::Config;

use crate::limits;

/// The parameters as written. An empty value counts as absent.
#[derive(Default)]
pub struct Timing {
    connect: Option<String>,
    unacknowledged: Option<String>,
    idle: Option<String>,
    interval: Option<String>,
    retries: Option<String>,
}

impl Timing {
    /// Returns the parameter named `key`, if it is a time parameter.
    pub fn parameter(&mut self, key: &str) -> Option<&mut Option<String>> {
        match key {
            "connect_timeout" => Some(&mut self.connect),
            "tcp_user_timeout" => Some(&mut self.unacknowledged),
            "keepalives_idle" => Some(&mut self.idle),
            "keepalives_interval" => Some(&mut self.interval),
            "keepalives_count" => Some(&mut self.retries),
            _ => None,
        }
    }

    /// Applies the parameters or their defaults. As in libpq, 0 means the system default, except for `connect_timeout`,
    /// which always has a limit.
    pub fn apply(&self, config: &mut Config) -> Result<(), String> {
        let connect = number("connect_timeout", self.connect.as_deref(), "seconds")?.filter(|seconds| *seconds > 0);
        config.connect_timeout(connect.map_or(limits::CONNECT_MAX, seconds));
        match number("tcp_user_timeout", self.unacknowledged.as_deref(), "milliseconds")? {
            None => drop(config.tcp_user_timeout(limits::TCP_UNACKNOWLEDGED_MAX)),
            Some(0) => {}
            Some(milliseconds) => drop(config.tcp_user_timeout(Duration::from_millis(milliseconds.into()))),
        }
        match number("keepalives_idle", self.idle.as_deref(), "seconds")? {
            None => drop(config.keepalives_idle(limits::KEEPALIVE_IDLE)),
            Some(0) => {}
            Some(idle) => drop(config.keepalives_idle(seconds(idle))),
        }
        match number("keepalives_interval", self.interval.as_deref(), "seconds")? {
            None => drop(config.keepalives_interval(limits::KEEPALIVE_INTERVAL)),
            Some(0) => {}
            Some(interval) => drop(config.keepalives_interval(seconds(interval))),
        }
        match number("keepalives_count", self.retries.as_deref(), "probes")? {
            None => drop(config.keepalives_retries(limits::KEEPALIVE_RETRIES)),
            Some(0) => {}
            Some(retries) => drop(config.keepalives_retries(retries)),
        }
        Ok(())
    }
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

fn number(parameter: &str, said: Option<&str>, unit: &str) -> Result<Option<u32>, String> {
    let read = |text: &str| text.trim().parse().map_err(|_| format!("{parameter}: must be a number of {unit}"));
    said.filter(|text| !text.is_empty()).map(read).transpose()
}
