//! Processes that are measured: processor time, memory, and how much of the machine others used meanwhile.

use std::fs;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// Clock ticks of `/proc` in a second: 100 on every Linux of a processor that Rust knows.
const TICKS: f64 = 100.0;

/// Processor seconds of a process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Its own, all threads.
    pub own: f64,
    /// Of children that have ended and were waited for.
    pub ended_children: f64,
}

impl Cpu {
    /// Reads them.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> =
            text.rsplit_once(')').context("no name in /proc/PID/stat")?.1.split_ascii_whitespace().collect();
        // The third field of the file is the first here: user and system time are 14 and 15, those of children 16 and 17.
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
        Ok(Self { own: (ticks(11) + ticks(12)) / TICKS, ended_children: (ticks(13) + ticks(14)) / TICKS })
    }

    /// Of a server and all processes that it starts, ended or not.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of_family(pid: u32) -> anyhow::Result<f64> {
        let parent = Self::of(pid)?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let running = children.split_ascii_whitespace().filter_map(|pid| Self::of(pid.parse().ok()?).ok());
        Ok(parent.own + parent.ended_children + running.map(|child| child.own).sum::<f64>())
    }
}

/// Processor seconds that the whole machine was busy since it started.
///
/// # Errors
/// `/proc/stat` cannot be read.
pub fn busy() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields: Vec<f64> =
        text.lines().next().unwrap_or_default().split_ascii_whitespace().filter_map(|text| text.parse().ok()).collect();
    // user, nice, system, then idle and iowait, then irq, softirq, steal.
    let at = |at: usize| fields.get(at).copied().unwrap_or_default();
    Ok((at(0) + at(1) + at(2) + at(5) + at(6) + at(7)) / TICKS)
}

/// How a process went.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// From its start until it was gone.
    pub wall: Duration,
    /// Processor seconds, those of its own children included.
    pub cpu: f64,
}

/// Waits for the end of a process.
///
/// # Errors
/// Of the system.
pub fn wait(mut child: Child, since: Instant) -> anyhow::Result<Ended> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a process has a number")?;
    // Not waited for yet, it still has its times.
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
    let wall = since.elapsed();
    let cpu = Cpu::of(child.id())?;
    Ok(Ended { status: child.wait()?, wall, cpu: cpu.own + cpu.ended_children })
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Now, in MiB.
    pub now_mib: f64,
    /// At most so far, in MiB.
    pub peak_mib: f64,
}

/// Reads the memory of a process that runs.
///
/// # Errors
/// There is no such process.
pub fn resident(pid: u32) -> anyhow::Result<Resident> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    Ok(Resident { now_mib: field("VmRSS:"), peak_mib: field("VmHWM:") })
}

/// The most memory that this process had resident at once, in MiB; 0 if the kernel does not tell.
#[must_use]
pub fn peak_memory() -> f64 {
    resident(std::process::id()).map(|resident| resident.peak_mib).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured_after_its_end() {
        let since = Instant::now();
        let work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 3";
        let child = std::process::Command::new("sh").args(["-c", work]).spawn().unwrap();
        let ended = wait(child, since).unwrap();
        assert_eq!(ended.status.code(), Some(3));
        assert!(ended.cpu > 0.0 && ended.cpu <= ended.wall.as_secs_f64() * 2.0 + 0.02, "{ended:?}");
        assert!(peak_memory() > 0.1 && busy().unwrap() > ended.cpu);
    }
}
