//! Another time for a process of a test.

use std::path::PathBuf;

/// The library that shows a process another time: libfaketime, for `LD_PRELOAD`.
pub fn other_clock() -> PathBuf {
    const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let mut libraries = folders.map(|folder| folder.path().join(LIBRARY)).filter(|library| library.exists());
    libraries.next().expect("libfaketime is here (Debian: apt-get install faketime)")
}
