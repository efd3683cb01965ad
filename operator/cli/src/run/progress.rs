//! Progress: a bar per Mapping on a terminal, a line per stage in a pipe.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backflow_core::report::{self, Reporter, Stage};
use backflow_core::result::RunResult;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::summary::Ran;
use crate::console::Console;

/// Shows the runs of one command.
pub(super) struct Progress {
    console: Console,
    bars: MultiProgress,
    width: usize,
}

impl Progress {
    /// `width`: of the longest name.
    pub(super) fn new(console: &Console, width: usize) -> Self {
        let target = if console.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { console: *console, bars: MultiProgress::with_draw_target(target), width }
    }

    /// A remark about a Mapping.
    pub(super) fn say(&self, mapping: &str, what: &str) {
        self.bars.suspend(|| self.console.remark(format_args!("{mapping}: {what}")));
    }

    /// A run begins.
    pub(super) fn begin(&self, mapping: &str) -> Arc<Watch> {
        let bar = self.console.live.then(|| {
            let bar = ProgressBar::no_length()
                .with_style(style("{prefix} {spinner} {msg}"))
                .with_prefix(format!("{mapping:width$}", width = self.width))
                .with_message("connecting");
            let bar = self.bars.add(bar);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let watch = Watch { mapping: mapping.to_owned(), console: self.console, bar, stage: Mutex::new(None) };
        Arc::new(watch)
    }

    /// A run has ended.
    pub(super) fn end(&self, run: &Ran) {
        // The table that follows says it all; in a pipe people read from above.
        if !self.console.live {
            self.console.remark(format_args!("{}: {}", run.mapping(), run.sentence()));
        }
    }

    /// Takes the bars away: the table follows.
    pub(super) fn finish(&self) {
        let _ = self.bars.clear();
    }
}

/// Watches one run.
pub(super) struct Watch {
    mapping: String,
    console: Console,
    bar: Option<ProgressBar>,
    stage: Mutex<Option<Stage>>,
}

impl Watch {
    /// Whether the stage is another than at the last call.
    fn enters(&self, stage: Stage) -> bool {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner).replace(stage) != Some(stage)
    }
}

impl Reporter for Watch {
    fn progress(&self, progress: report::Progress) {
        let new = self.enters(progress.stage);
        let verb = match progress.stage {
            Stage::Starting => "connecting",
            Stage::Extracting => "reading rows",
            Stage::Comparing => "comparing",
            Stage::Delivering => "sending",
            Stage::Finishing => "finishing",
        };
        let Some(bar) = &self.bar else {
            if new && progress.stage != Stage::Starting {
                let total = if progress.stage == Stage::Delivering {
                    format!(" {} changes", progress.total)
                } else {
                    String::new()
                };
                self.console.remark(format_args!("{}: {verb}{total}", self.mapping));
            }
            return;
        };
        bar.set_message(verb);
        if progress.total > 0 {
            if new {
                bar.set_style(style("{prefix} {bar:24} {human_pos}/{human_len} {msg} {rate} {eta}"));
            }
            bar.set_length(progress.total);
        } else if new {
            bar.set_style(style("{prefix} {spinner} {msg} {human_pos} {rate}"));
        }
        bar.set_position(progress.done);
    }

    fn provisional(&self, _: &RunResult) {}
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    })
}
