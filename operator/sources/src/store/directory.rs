//! Objects as files in a folder: of a volume, or of this machine.
//!
//! A file is written whole under a name of its own, made lasting (`fsync`), and then given its name: by a link, which fails if the
//! name is taken, or by a rename. The folder is made lasting before the call returns. So a crash at any instruction, of the process or
//! the machine, leaves the old or the new.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use backflow_core::code::{Code, Failure};
use bytes::Bytes;

use super::head::damaged;
use super::objects::{Found, LARGEST, Objects};

/// Where files are before they have their name. Not one of [`Objects::folders`].
const UNNAMED: &str = ".unnamed";
/// After this time, an unnamed file was left by a crash.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);
/// The longest that one call may take: a network file system that is away blocks without end.
const CALL_TIMEOUT: Duration = Duration::from_secs(180);

/// A folder.
#[derive(Clone)]
pub(super) struct Directory {
    root: Arc<Path>,
    /// For messages.
    place: Arc<str>,
}

impl Directory {
    /// `claim`: the volume claim that is mounted there.
    pub(super) fn new(root: &Path, claim: Option<&str>) -> Self {
        let place = match claim {
            Some(claim) => format!("the folder {} of volume claim \"{claim}\"", root.display()),
            None => format!("the folder {}", root.display()),
        };
        Self { root: Arc::from(root), place: Arc::from(place) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let own = self.clone();
        let task = tokio::task::spawn_blocking(move || work(&own));
        match tokio::time::timeout(CALL_TIMEOUT, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::new(Code::Internal, "a file operation of the state ended without a result")),
            Err(_) => Err(Failure::new(
                Code::StateStoreUnavailable,
                format!("{} did not answer within {} s; check the volume", self.place, CALL_TIMEOUT.as_secs()),
            )),
        }
    }

    fn failure(&self, error: &io::Error) -> Failure {
        let place = &self.place;
        let (code, sentence) = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                (Code::StateStoreUnavailable, format!("{place} is full; make room, or enlarge the volume"))
            }
            ErrorKind::PermissionDenied => (
                Code::PermissionDenied,
                format!(
                    "{place} may not be used by this user; let it be writable for group 65532, or for the user who runs this"
                ),
            ),
            ErrorKind::ReadOnlyFilesystem => {
                (Code::PermissionDenied, format!("{place} may only be read; mount it so that it may be written"))
            }
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                (Code::StateStoreMissing, format!("{place} is not a folder; name one, or remove the file"))
            }
            ErrorKind::InvalidInput | ErrorKind::Unsupported => (
                Code::StateStoreUnfit,
                format!(
                    "the file system of {place} knows neither links nor renaming without replacing; use another volume"
                ),
            ),
            other => (Code::StateStoreUnavailable, format!("{place} cannot be used ({other}); check the volume")),
        };
        Failure::new(code, sentence)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Writes an unnamed file, lasting.
    fn unnamed(&self, bytes: &[u8]) -> io::Result<tempfile::TempPath> {
        let folder = self.root.join(UNNAMED);
        make_folder(&folder)?;
        // Removed with the value, and by a later `prepare` if the process dies.
        let mut file = tempfile::Builder::new().prefix("").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file.into_temp_path())
    }

    fn write_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let (path, unnamed) = (self.path(name), self.unnamed(bytes)?);
        match in_folder(&path, || link(&unnamed, &path)) {
            // Network file systems repeat a request whose answer was lost, and so may we.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(fs::read(&path)? == bytes),
            other => other.map(|()| true),
        }
    }

    fn write_over(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, unnamed) = (self.path(name), self.unnamed(bytes)?);
        in_folder(&path, || fs::rename(&unnamed, &path))?;
        // It has another name now.
        let _ = unnamed.keep();
        Ok(())
    }

    fn read(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let mut file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(self.failure(&error)),
        };
        let bytes = file.metadata().map_err(|error| self.failure(&error))?.len();
        if bytes > LARGEST {
            return Err(damaged(&format!("{name} in {} has {bytes} bytes", self.place)));
        }
        let mut read = Vec::with_capacity(bytes as usize);
        file.read_to_end(&mut read).map_err(|error| self.failure(&error))?;
        Ok(Some(Bytes::from(read)))
    }

    fn entries(&self, folder: &str, folders: bool) -> io::Result<Vec<Found>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = match entry.metadata() {
                // Removed since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            if metadata.is_dir() == folders && !name.starts_with('.') {
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                found.push(Found { name, bytes: metadata.len() });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn remove_files(&self, names: &[String]) -> io::Result<()> {
        let mut folders = std::collections::BTreeSet::new();
        for name in names {
            let path = self.path(name);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            folders.extend(path.parent().map(Path::to_owned));
        }
        for folder in folders {
            // A folder that is empty now goes, too; one that is not stays.
            let mut at = Some(folder.as_path());
            while let Some(folder) = at.filter(|folder| *folder != &*self.root && fs::remove_dir(folder).is_ok()) {
                at = folder.parent();
            }
        }
        Ok(())
    }

    /// Makes the folder, and removes what a crash left unnamed.
    fn make(&self) -> io::Result<()> {
        let unnamed = self.root.join(UNNAMED);
        make_folder(&unnamed)?;
        for entry in fs::read_dir(&unnamed)? {
            let path = entry?.path();
            let age = fs::metadata(&path)
                .and_then(|metadata| metadata.modified())
                .map(|modified| SystemTime::now().duration_since(modified).unwrap_or_default());
            if age.is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Objects for Directory {
    fn place(&self) -> String {
        self.place.to_string()
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.blocking(|own| own.make().map_err(|error| own.failure(&error))).await
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let name = name.to_owned();
        self.blocking(move |own| own.read(&name)).await
    }

    async fn create(&self, name: &str, bytes: Bytes) -> Result<bool, Failure> {
        let name = name.to_owned();
        self.blocking(move |own| own.write_new(&name, &bytes).map_err(|error| own.failure(&error))).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Failure> {
        let name = name.to_owned();
        self.blocking(move |own| own.write_over(&name, &bytes).map_err(|error| own.failure(&error))).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<Found>, Failure> {
        let folder = folder.to_owned();
        self.blocking(move |own| own.entries(&folder, false).map_err(|error| own.failure(&error))).await
    }

    async fn folders(&self) -> Result<Vec<String>, Failure> {
        let found = self.blocking(|own| own.entries("", true).map_err(|error| own.failure(&error))).await?;
        Ok(found.into_iter().map(|folder| folder.name).collect())
    }

    async fn remove(&self, names: Vec<String>) -> Result<(), Failure> {
        self.blocking(move |own| own.remove_files(&names).map_err(|error| own.failure(&error))).await
    }
}

/// Gives a file its name in its folder, which is made if it is missing, and lets both last.
fn in_folder(path: &Path, name: impl Fn() -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    let mut attempts = 0;
    loop {
        make_folder(folder)?;
        match name() {
            // An empty folder is removed with its last file, also by somebody else between these two lines.
            Err(error) if error.kind() == ErrorKind::NotFound && attempts < 3 => attempts += 1,
            other => {
                other?;
                return sync_folder(folder);
            }
        }
    }
}

/// Makes a folder and what is missing above it, lasting.
fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    make_folder(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Gives a file a name that nobody has. File systems without links can rename without replacing.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from)
        }
        other => other,
    }
}

/// Names in a folder last when the folder was synced. Some network file systems cannot, and need not: they answer after they wrote.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        other => other,
    }
}
