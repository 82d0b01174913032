//! Where an artefact of several files goes: a folder that gets all of them or none.
//!
//! Guarantees: the files are made out of sight, in a folder `.phase-…` inside, and get their names once all of them are there; what
//! fails before leaves the folder as it was. A file that is there stays, unless `--force` replaces it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tempfile::TempDir;

use crate::output::{self, Existing};

/// Where several files go.
#[derive(Debug, Clone, clap::Args)]
pub struct Folder {
    /// The folder to make; an empty one may be there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Put the files into a folder that has some already, and replace those of the same names
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// The files of a folder, as long as they are made.
pub struct Staging {
    folder: PathBuf,
    existing: Existing,
    /// Goes before [`Self::_made`] looks whether anything is left.
    files: TempDir,
    _made: Option<GoesIfEmpty>,
}

/// A folder that was made for files which may not come.
struct GoesIfEmpty(PathBuf);

impl Folder {
    /// What happens to files that are there.
    ///
    /// # Errors
    /// There are some and nobody said `--force`, or it is no folder.
    pub fn existing(&self) -> anyhow::Result<Existing> {
        let folder = self.out.display();
        match fs::read_dir(&self.out) {
            Ok(mut entries) => anyhow::ensure!(
                self.force || entries.next().is_none(),
                "{folder} exists already and has files; --force replaces those of the same names, and leaves others"
            ),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look into {folder}")),
        }
        Ok(Existing::from_force(self.force))
    }

    /// Makes the folder unless it is there, and a place for its files.
    ///
    /// # Errors
    /// Those of [`Self::existing`], or nothing can be made there.
    pub fn stage(&self) -> anyhow::Result<Staging> {
        let existing = self.existing()?;
        let made = (!self.out.exists()).then(|| GoesIfEmpty(self.out.clone()));
        fs::create_dir_all(&self.out).with_context(|| format!("cannot make the folder {}", self.out.display()))?;
        let files = tempfile::Builder::new().prefix(".phase-").tempdir_in(&self.out);
        let files = files.with_context(|| format!("cannot make a folder in {}", self.out.display()))?;
        Ok(Staging { folder: self.out.clone(), existing, files, _made: made })
    }
}

impl Staging {
    /// Where the files are made.
    pub fn path(&self) -> &Path {
        self.files.path()
    }

    /// Gives the files their names. A list of them, if there is one, is the last to come; one of before goes first, because it
    /// would be wrong from the first new file on.
    ///
    /// # Errors
    /// A folder has one of the names; then nothing has changed. Or the file system refuses.
    pub fn finish(self, paths: &[&str], list: Option<&str>) -> anyhow::Result<()> {
        let names = paths.iter().copied().chain(list);
        let pairs: Vec<(PathBuf, PathBuf)> =
            names.map(|path| (self.path().join(path), self.folder.join(path))).collect();
        for (_, to) in &pairs {
            anyhow::ensure!(!to.is_dir(), "{} is a folder; wanted a file of this name, or none", to.display());
            let folder = to.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        if let Some(list) = list.map(|list| self.folder.join(list)).filter(|list| list.exists()) {
            fs::remove_file(&list).with_context(|| format!("cannot remove {}", list.display()))?;
        }
        pairs.iter().try_for_each(|(from, to)| output::rename(from, to, self.existing))
    }
}

impl Drop for GoesIfEmpty {
    fn drop(&mut self) {
        // Refused where something is in it, as it shall be.
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gets_all_files_or_none() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder { out: home.path().join("a/b"), force: false, json: false };
        let stage = || {
            let staging = folder.stage().unwrap();
            fs::create_dir(staging.path().join("sub")).unwrap();
            for name in ["one", "sub/two"] {
                fs::write(staging.path().join(name), name).unwrap();
            }
            staging
        };
        drop(stage());
        assert!(!folder.out.exists(), "a folder without files stayed behind");
        stage().finish(&["sub/two"], Some("one")).unwrap();
        assert_eq!(fs::read(folder.out.join("sub/two")).unwrap(), b"sub/two");
        assert_eq!(fs::read_dir(&folder.out).unwrap().count(), 2, "a temporary folder stayed behind");
        assert!(folder.stage().err().unwrap().to_string().contains("exists already and has files"));
    }

    #[test]
    fn a_file_that_came_in_between_stays() {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder { out: home.path().to_owned(), force: false, json: false };
        let staging = folder.stage().unwrap();
        fs::write(staging.path().join("one"), "ours").unwrap();
        fs::write(folder.out.join("one"), "theirs").unwrap();
        assert!(staging.finish(&["one"], None).is_err());
        assert_eq!(fs::read(folder.out.join("one")).unwrap(), b"theirs");
        assert!(folder.out.exists());
    }
}
