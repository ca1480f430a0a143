//! The path of the admin socket, and binding and connecting to it.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// The name of the socket in the data directory.
pub const NAME: &str = "admin.sock";

/// The longest path of a Unix socket on Linux, without the terminating zero byte (`sun_path` has 108 bytes).
const SUN_PATH_BYTES: usize = 107;

/// Listens in `directory`, which this process has locked. Replaces the socket of an earlier server.
pub fn listen(directory: &Path) -> io::Result<UnixListener> {
    let path = directory.join(NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (name, _directory) = short_name(directory)?;
    let listener = UnixListener::bind(name)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the server of `directory`. Returns `None` if no server listens.
pub async fn connect(directory: &Path) -> io::Result<Option<UnixStream>> {
    if !directory.join(NAME).exists() {
        return Ok(None);
    }
    let (name, _directory) = short_name(directory)?;
    match UnixStream::connect(name).await {
        Ok(stream) => Ok(Some(stream)),
        // The socket file of a server that was killed.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns a path of the socket of at most `SUN_PATH_BYTES` bytes, and the directory handle that must stay open while the path
/// is used.
fn short_name(directory: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = directory.join(NAME);
    if path.as_os_str().len() <= SUN_PATH_BYTES {
        return Ok((path, None));
    }
    let directory = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())), Some(directory)))
}
