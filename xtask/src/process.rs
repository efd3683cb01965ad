//! Other programs: found, run to their end, started in the background, stopped.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(100);

/// Folders beside `PATH` in which system programs are looked for: a user's `PATH` often lacks them.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/local/go/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The program of that name on `PATH` or in the system folders.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Like [`find`], or an error that names the program.
///
/// # Errors
/// The program is not installed.
pub fn require(program: &str) -> Result<PathBuf> {
    find(program).with_context(|| format!("the program `{program}` is not installed"))
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It could not be started, or it failed: then the error carries the end of what it said.
pub fn run(command: &mut Command) -> Result<String> {
    run_fed(command, "")
}

/// [`run`] with something on standard input, which no message repeats: the place for passwords.
///
/// # Errors
/// As [`run`].
pub fn run_fed(command: &mut Command, input: &str) -> Result<String> {
    let name = describe(command);
    let failed = || format!("cannot start `{name}`");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever does not read its input closes it, and says by its exit status whether that was right.
        let _closed = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().with_context(failed)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{name}` failed ({}):\n{}", output.status, tail(&String::from_utf8_lossy(&said), 30));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with everything it prints in a log file; true if it succeeded.
///
/// # Errors
/// The log cannot be written or the command cannot be started.
pub fn run_logged(command: &mut Command, log: &File) -> Result<bool> {
    let name = describe(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .status()
        .with_context(|| format!("cannot start `{name}`"))?;
    Ok(status.success())
}

/// Runs a command to its end. If `limit` passes first, it is killed with all that it started, and there is no status.
///
/// # Errors
/// It could not be started.
pub fn run_within(command: &mut Command, limit: Duration) -> Result<Option<ExitStatus>> {
    let name = describe(command);
    let mut child = command.spawn().with_context(|| format!("cannot start `{name}`"))?;
    let mut status = None;
    if wait_until(limit, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    }) {
        return Ok(status);
    }
    // The family is known only as long as its head is there.
    for pid in family(i32::try_from(child.id())?) {
        kill(pid, Signal::KILL);
    }
    child.wait()?;
    Ok(None)
}

/// A process and all that descend from it.
fn family(head: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> =
        all().into_iter().filter_map(|(pid, _)| Some((pid, Stat::read(pid)?.parent))).collect();
    let mut family = vec![head];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    family
}

/// The command as a person would type it, cut to one readable line.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let mut line = program.into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    if line.chars().count() > 200 { line.chars().take(200).chain("…".chars()).collect() } else { line }
}

/// The last lines of a text.
#[must_use]
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Waits until `ready` is true; false when `limit` passed first.
pub fn wait_until(limit: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if ready() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(POLL);
    }
}

/// A background process, remembered in a file. The start time tells it from a later process with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Process number.
    pub pid: i32,
    started: u64,
}

impl Daemon {
    /// Starts a program in a session of its own, so that it outlives the terminal, and remembers it.
    ///
    /// # Errors
    /// The program, its log or its pid file could not be created.
    pub fn start(program: &Path, args: &[String], folder: &Path, log: &Path, pid_file: &Path) -> Result<Self> {
        let log_file = File::options().create(true).append(true).open(log)?;
        // `setsid` replaces itself by the program, so the child's number is the program's.
        let child = Command::new(require("setsid")?)
            .arg(program)
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log_file.try_clone()?)
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let pid = i32::try_from(child.id())?;
        let started = Stat::read(pid).map(|stat| stat.started).context("the process ended at once")?;
        fs::write(pid_file, format!("{pid} {started}\n"))?;
        Ok(Self { pid, started })
    }

    /// The process a pid file names, if it is still running.
    #[must_use]
    pub fn running(pid_file: &Path) -> Option<Self> {
        let text = fs::read_to_string(pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let daemon = Self { pid: pid.parse().ok()?, started: started.parse().ok()? };
        daemon.alive().then_some(daemon)
    }

    fn alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Asks the process to end, and kills it if it has not within `grace`.
    pub fn stop(self, grace: Duration) {
        kill(self.pid, Signal::TERM);
        if !wait_until(grace, || !self.alive()) {
            kill(self.pid, Signal::KILL);
            wait_until(Duration::from_secs(10), || !self.alive());
        }
    }
}

/// Sends a signal; a process that is gone already is as good as one that was told.
pub fn kill(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _already_gone = kill_process(pid, signal);
    }
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// `R`, `S`, `Z` …
    pub state: char,
    /// The process that started it, or that inherited it.
    pub parent: i32,
    /// Clock ticks after boot.
    pub started: u64,
}

impl Stat {
    /// Reads one process's numbers; none if it does not exist.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the program's name in parentheses and may itself contain both.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            started: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Every process with its command line (arguments separated by spaces).
#[must_use]
pub fn all() -> Vec<(i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some((pid, String::from_utf8_lossy(&line).replace('\0', " ")))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_survives_a_name_with_parentheses() {
        let line = "42 (a) b) S 7 42 42 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 1 0 98765 1 2";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.parent, stat.started), ('S', 7, 98765));
    }

    #[test]
    fn a_reused_process_number_is_not_ours() {
        let folder = std::env::temp_dir().join(format!("xtask-pid-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("me.pid");
        let me = i32::try_from(std::process::id()).unwrap();
        let started = Stat::read(me).unwrap().started;
        fs::write(&file, format!("{me} {started}\n")).unwrap();
        assert_eq!(Daemon::running(&file).map(|daemon| daemon.pid), Some(me));
        fs::write(&file, format!("{me} {}\n", started + 1)).unwrap();
        assert_eq!(Daemon::running(&file), None);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_takes_too_long_is_killed_with_what_it_started() {
        let mut quick = Command::new("true");
        assert!(run_within(&mut quick, Duration::from_secs(60)).unwrap().is_some_and(|status| status.success()));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let mut slow = Command::new("sh");
        slow.args(["-c", "sleep 1000 & echo $! > \"$0\"; wait"]).arg(&file);
        assert_eq!(run_within(&mut slow, Duration::from_secs(1)).unwrap(), None);
        let child: i32 = fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        assert!(wait_until(Duration::from_secs(60), || Stat::read(child).is_none_or(|stat| stat.state == 'Z')));
    }

    #[test]
    fn tail_keeps_the_last_lines() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
