//! Where the socket is.

use std::{
    fs::{self, File, Permissions},
    io,
    os::{fd::AsRawFd as _, unix::fs::PermissionsExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{UnixListener, UnixStream};

/// The socket in the data directory.
pub const NAME: &str = "admin.sock";

/// The longest path of a socket that the system takes, without the zero at its end.
const SUN_PATH_BYTES: usize = 107;

/// Listens in a directory that this process has locked: what an earlier server left there is replaced.
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

/// Reaches the server of a directory; `None` if there is none.
pub async fn connect(directory: &Path) -> io::Result<Option<UnixStream>> {
    if !directory.join(NAME).exists() {
        return Ok(None);
    }
    let (name, _directory) = short_name(directory)?;
    match UnixStream::connect(name).await {
        Ok(stream) => Ok(Some(stream)),
        // Left by a server that was killed.
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A path of the socket that is not too long, and what has to stay open as long as it is used.
fn short_name(directory: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let path = directory.join(NAME);
    if path.as_os_str().len() <= SUN_PATH_BYTES {
        return Ok((path, None));
    }
    let directory = File::open(directory)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd())), Some(directory)))
}
