//! What a process has used, from `/proc`.

use std::{fs, time::Duration};

/// The unit of times in `stat`, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time since the start, and memory.
pub struct Usage {
    /// Of all threads.
    pub process: Duration,
    /// Of the thread that decides.
    pub committer: Duration,
    /// Memory that is resident, in bytes.
    pub memory: u64,
    /// The most that it was since the last reset, in bytes.
    pub memory_peak: u64,
}

impl Usage {
    /// As of now; the peak of memory is counted from here on.
    pub fn reset(id: u32) -> Self {
        fs::write(format!("/proc/{id}/clear_refs"), "5").unwrap();
        Self::now(id)
    }

    /// As of now.
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
        // Threads that have ended count here, too. The name of the process stands before all numbers, in parentheses.
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
