//! The standard Prometheus metrics of the process, from `/proc`. Nothing is rendered where there is no `/proc`.

use std::{
    fmt::{self, Write as _},
    fs,
};

/// Clock ticks per second in `/proc`, on every Linux.
const TICKS: f64 = 100.0;

/// Appends the metrics to `text`.
pub fn render(text: &mut String) -> fmt::Result {
    let times = times();
    for (name, kind, suffix, help, value) in [
        ("process_cpu_seconds", "counter", "_total", "Processor time used", times.map(|times| times.cpu)),
        (
            "process_start_time_seconds",
            "gauge",
            "",
            "Start time of the process in seconds since 1970",
            times.map(|times| times.start),
        ),
        ("process_resident_memory_bytes", "gauge", "", "Memory in use", resident_bytes()),
        ("process_open_fds", "gauge", "", "Open file descriptors", open_files()),
    ] {
        if let Some(value) = value {
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{suffix} {value}")?;
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Times {
    cpu: f64,
    start: f64,
}

fn times() -> Option<Times> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may contain any characters; the third field follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let boot = fs::read_to_string("/proc/stat").ok()?;
    let boot: f64 = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(Times { cpu: (ticks(14)? + ticks(15)?) / TICKS, start: boot + ticks(22)? / TICKS })
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}

fn open_files() -> Option<f64> {
    fs::read_dir("/proc/self/fd").ok().map(|files| files.count() as f64)
}
