//! Processor time and memory of a process, from `/proc`.

use std::{fs, time::Duration};

/// The unit of times in `stat`, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time since the start of the process, and memory.
pub struct Usage {
    /// Of all threads.
    pub process: Duration,
    /// Of the committer thread.
    pub committer: Duration,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// The peak resident memory since the last reset, in bytes.
    pub memory_peak: u64,
}

impl Usage {
    /// Resets the peak of the resident memory and reads the current values.
    pub fn reset(id: u32) -> Self {
        fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
        Self::now(id)
    }

    /// Reads the current values.
    pub fn now(id: u32) -> Self {
        let mut committer = Duration::ZERO;
        for thread in fs::read_dir(format!("/proc/{id}/task")).unwrap() {
            let thread = thread.unwrap().path();
            let read = |name: &str| fs::read_to_string(thread.join(name)).unwrap_or_default();
            let time = read("schedstat").split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default();
            if read("comm").trim() == "committer" {
                committer += Duration::from_nanos(time);
            }
        }
        // This includes ended threads. The process name in parentheses precedes all numbers.
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        let numbers: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks: u64 = numbers[11].parse::<u64>().unwrap() + numbers[12].parse::<u64>().unwrap();
        let process = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let kibibytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self { process, committer, memory: kibibytes("VmRSS") << 10, memory_peak: kibibytes("VmHWM") << 10 }
    }
}
