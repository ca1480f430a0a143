//! A changed system time for a process of a test.

use std::path::PathBuf;

/// Returns the path of libfaketime, which changes the time that a process reads if it is in `LD_PRELOAD`.
pub fn other_clock() -> PathBuf {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join(LIBRARY)).filter(|library| library.exists());
    libraries.next().expect("libfaketime is installed (Debian: apt-get install faketime)")
}
