//! Temporary folders.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::output::Failure;

/// A temporary folder. It is removed, with its content, when it is dropped.
pub(super) struct Temporary {
    pub(super) path: PathBuf,
}

impl Temporary {
    /// `name`: what it is for.
    pub(super) fn new(name: &str) -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("{name}.{}", std::process::id()));
        // Not a folder that another user created under this name.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| Failure::creating(&path, &error))?;
        Ok(Self { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_temporary_folder_is_new_closed_to_others_and_removed() {
        let folder = Temporary::new("temporary").unwrap();
        let path = folder.path.clone();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        fs::write(path.join("file"), "").unwrap();
        // Another user could have created it.
        assert!(Temporary::new("temporary").is_err());
        drop(folder);
        assert!(!path.exists());
    }
}
