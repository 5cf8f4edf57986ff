//! What people see of a build: a line a step, and what its programs write.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sapwood_build::{Event, Outcome, Step, StepReport};

use crate::output::{Output, printable};

/// Tells what happens on standard error; nothing where it is to be quiet, or the answer is JSON.
pub struct Progress {
    is_on: bool,
    /// What goes on now; drawn on terminals alone.
    now: ProgressBar,
    /// Of each stage what a program wrote of a line that has no end yet.
    lines: Mutex<Vec<(String, Vec<u8>)>>,
}

impl Progress {
    pub fn new(output: &Output) -> Progress {
        let is_on = !output.is_json() && !output.is_quiet();
        let target =
            if is_on { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        let now = ProgressBar::with_draw_target(None, target);
        let now = match style {
            Ok(style) => now.with_style(style),
            // The default style says the same with less grace.
            Err(_) => now,
        };
        Progress { is_on, now, lines: Mutex::default() }
    }

    pub fn tell(&self, event: &Event<'_>) {
        if !self.is_on {
            return;
        }
        match event {
            Event::Began(step) => {
                self.now.set_message(title(step));
                self.now.tick();
            }
            Event::Wrote(step, _, bytes) => self.wrote(step, bytes),
            Event::Ended(step, report) => self.ended(step, report),
        }
    }

    fn ended(&self, step: &Step, report: &StepReport) {
        let rest = self.take_line(&step.stage);
        if !rest.is_empty() {
            self.line(&format!("    {}", printable(&String::from_utf8_lossy(&rest))));
        }
        let how = match report.outcome {
            Outcome::Configured => String::new(),
            Outcome::Cached => "  CACHED".to_owned(),
            Outcome::Made => format!("  {:.1}s", report.elapsed.as_secs_f64()),
        };
        self.line(&format!("{}{how}", title(step)));
        if let Some(reason) = &report.reason {
            self.line(&format!("    not made before: {}", printable(reason)));
        }
    }

    /// Tells whole lines as they come.
    fn wrote(&self, step: &Step, bytes: &[u8]) {
        let mut text = self.take_line(&step.stage);
        text.extend_from_slice(bytes);
        let mut whole = Vec::new();
        while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            whole.push(line);
        }
        for line in whole {
            let line = String::from_utf8_lossy(&line);
            // Of what a line overwrote only the last is told.
            let line = line.trim_end().rsplit('\r').next().unwrap_or_default().to_owned();
            self.line(&format!("    {}", printable(&line)));
        }
        if text.len() > LINE_BYTES_MAX {
            self.line(&format!("    {}", printable(&String::from_utf8_lossy(&text))));
            text.clear();
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((step.stage.clone(), text));
    }

    fn take_line(&self, stage: &str) -> Vec<u8> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.iter().position(|(there, _)| there == stage) {
            Some(place) => lines.swap_remove(place).1,
            None => Vec::new(),
        }
    }

    fn line(&self, text: &str) {
        self.now.suspend(|| {
            // A standard error that does not take it cannot be complained to.
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }
}

/// A longer line is told in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

impl Drop for Progress {
    fn drop(&mut self) {
        self.now.finish_and_clear();
    }
}

fn title(step: &Step) -> String {
    let Step { stage, number, steps, instruction } = step;
    format!("[{stage} {number}/{steps}] {}", printable(instruction))
}
