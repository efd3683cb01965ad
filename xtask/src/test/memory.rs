//! Temporary files of tests in memory, where there is enough of it: databases that live for a second need no disk.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{FsWord, statfs, statvfs};
use tempfile::TempDir;

/// Where Linux has files in memory.
const SHARED: &str = "/dev/shm";
/// `TMPFS_MAGIC`.
const TMPFS: FsWord = 0x0102_1994;
/// What must be free, of the file system and of the machine's memory. The tests use a fraction of it.
const ENOUGH: u64 = 6 << 30;

/// A folder in memory, or nothing if there is too little: then tests write where they write by themselves.
///
/// # Errors
/// The folder cannot be made.
pub(super) fn folder() -> Result<Option<TempDir>> {
    if !is_large(Path::new(SHARED)) || available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()) < ENOUGH {
        return Ok(None);
    }
    let folder = tempfile::Builder::new().prefix("backflow-test-").tempdir_in(SHARED)?;
    // Servers that do not run as root live in it.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    Ok(Some(folder))
}

fn is_large(path: &Path) -> bool {
    let in_memory = statfs(path).is_ok_and(|system| system.f_type == TMPFS);
    in_memory && statvfs(path).is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) >= ENOUGH)
}

/// Bytes of memory that are available, by the kernel's own estimate.
fn available(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kibibytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_word_is_read() {
        assert_eq!(available("MemTotal:       100 kB\nMemAvailable:   24000 kB\nBuffers: 1 kB\n"), 24000 * 1024);
        assert_eq!(available("nothing"), 0);
    }
}
