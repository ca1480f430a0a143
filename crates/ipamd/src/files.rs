//! Files that contain secrets: written atomically, and readable only by their owner.

use std::{
    fs::{self, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// The name of a directory's lock file.
const LOCK: &str = "ipam.lock";

/// Replaces the file `path` with `contents` and mode 0600. After a crash of the process or the machine the file is either the old
/// one or the new one. Two processes must not write the same file concurrently.
pub fn write_private(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    replace(path, contents).with_context(|| format!("cannot write {}", path.display()))
}

/// Returns the contents of a file, or `None` if it does not exist.
pub fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Creates the directory and its missing parents with mode 0700.
pub fn create_private_dir(path: &Path) -> anyhow::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(path).with_context(|| format!("cannot create the directory {}", path.display()))
}

/// Locks a directory for this process, as long as the returned file is open.
pub fn lock_dir(path: &Path) -> anyhow::Result<File> {
    let lock = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&lock).with_context(|| format!("cannot open {}", lock.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "the directory {} is in use: another ipam process holds it; stop that process or use another directory",
            path.display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", lock.display())),
    }
}

/// Removes the permissions of group and others, which a file that was restored from a backup may have. Returns true if the mode
/// was changed.
pub fn restrict(path: &Path) -> anyhow::Result<bool> {
    let context = || format!("cannot restrict the access to {}", path.display());
    let mode = fs::metadata(path).with_context(context)?.permissions().mode();
    let private = mode & !0o077;
    if private == mode {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(private)).with_context(context)?;
    Ok(true)
}

fn replace(path: &Path, contents: &[u8]) -> anyhow::Result<()> {
    let (directory, temporary) = directory_and_temporary(path)?;
    // The file of an interrupted write may have another mode, so it is not reused.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The rename is durable only after the directory is synced.
    File::open(directory)?.sync_all()?;
    Ok(())
}

/// Returns the directory of a file, and the path of its temporary file. The name is fixed, so that interrupted writes leave at
/// most one.
fn directory_and_temporary(path: &Path) -> anyhow::Result<(&Path, PathBuf)> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("this is not the path of a file")
    };
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".new");
    Ok((directory, directory.join(temporary)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn write_private_replaces_file_and_sets_private_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "an older and longer text").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write_private(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn write_private_replaces_leftover_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, left) = (directory.path().join("secret"), directory.path().join(".secret.new"));
        fs::write(&left, "half").unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o666)).unwrap();
        write_private(&path, b"whole").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"whole".to_vec(), 0o600));
        assert!(!left.exists());
    }

    #[test]
    fn restrict_removes_group_and_other_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(restrict(&path).unwrap());
        assert_eq!(mode(&path), 0o600);
        assert!(!restrict(&path).unwrap());
    }

    #[test]
    fn write_error_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("missing").join("secret");
        let error = write_private(&path, b"").unwrap_err();
        assert!(format!("{error:#}").contains("missing/secret"), "{error:#}");
        assert_eq!(read(&path).unwrap(), None);
    }
}
