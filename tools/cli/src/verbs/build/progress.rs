//! What people see of a build: a line a step, and below it what its program writes.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sapwood_build::{Event, Outcome, Step, StepReport, Stream};

use crate::output::{Output, printable};

/// Tells what happens on standard error. Where it is to be quiet, or the answer is JSON, that is only what
/// the program of a step wrote last that has failed: without it nobody could tell why.
pub struct Progress {
    is_on: bool,
    /// What goes on now; drawn on terminals alone.
    now: ProgressBar,
    told: Mutex<Told>,
}

/// What was told so far.
#[derive(Default)]
struct Told {
    /// The step under whose title the next line stands.
    under: Option<(String, usize)>,
    /// What programs wrote of a line that has no end yet.
    begun: Vec<(Step, Vec<u8>)>,
    /// Where it is quiet: what they wrote last, to standard output and to standard error, of which one
    /// may be much and the other say why.
    last: Vec<(Step, [Vec<u8>; 2])>,
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
        Progress { is_on, now, told: Mutex::default() }
    }

    pub fn tell(&self, event: &Event<'_>) {
        match event {
            Event::Wrote(step, stream, bytes) if !self.is_on => self.keep(step, *stream, bytes),
            Event::Ended(step, _) if !self.is_on => {
                self.told().last.retain(|(there, _)| there != *step);
            }
            Event::Began(_) if !self.is_on => {}
            Event::Began(step) => {
                self.now.set_message(title(step));
                self.now.tick();
            }
            Event::Wrote(step, _, bytes) => self.wrote(step, bytes),
            Event::Ended(step, report) => self.ended(step, report),
        }
    }

    /// Tells of arguments that nothing takes: most are misspelt.
    pub fn unused_arguments(&self, names: &[String]) {
        if self.is_on && !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
            self.line(&format!("no ARG takes --build-arg {}", names.join(", ")));
        }
    }

    fn ended(&self, step: &Step, report: &StepReport) {
        let mut told = self.told();
        self.end_line(&mut told, step);
        let how = match report.outcome {
            Outcome::Configured => String::new(),
            Outcome::Cached => "CACHED".to_owned(),
            Outcome::Made => format!("{:.1}s", report.elapsed.as_secs_f64()),
        };
        match told.under.take() {
            Some(under) if is_of(&under, step) && !how.is_empty() => {
                self.line(&format!("{} done in {how}", place(step)));
            }
            _ => self.line(format!("{}  {how}", title(step)).trim_end()),
        }
        if let Some(reason) = &report.reason {
            self.line(&format!("    not made before: {}", printable(reason)));
        }
    }

    /// Tells whole lines as they come.
    fn wrote(&self, step: &Step, bytes: &[u8]) {
        let mut told = self.told();
        let mut text = take_line(&mut told, step);
        text.extend_from_slice(bytes);
        while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            self.line_of(&mut told, step, &line);
        }
        if text.len() > LINE_BYTES_MAX {
            self.line_of(&mut told, step, &text);
            text.clear();
        }
        told.begun.push((step.clone(), text));
    }

    /// Keeps the last lines, for when the step fails.
    fn keep(&self, step: &Step, stream: Stream, bytes: &[u8]) {
        let mut told = self.told();
        let last = &mut told.last;
        let place = last.iter().position(|(there, _)| there == step).unwrap_or_else(|| {
            last.push((step.clone(), Default::default()));
            last.len() - 1
        });
        let text = &mut last[place].1[match stream {
            Stream::Output => 0,
            Stream::Error => 1,
        }];
        text.extend_from_slice(bytes);
        if text.len() > KEPT_BYTES_MAX {
            let over = text.len() - KEPT_BYTES_MAX;
            let line = text[over..].iter().position(|&byte| byte == b'\n');
            text.drain(..over + line.map_or(0, |end| end + 1));
        }
    }

    /// Tells what is left of a line of a step that writes no more.
    fn end_line(&self, told: &mut Told, step: &Step) {
        let rest = take_line(told, step);
        if !rest.is_empty() {
            self.line_of(told, step, &rest);
        }
    }

    /// Tells a line that a program wrote, under the title of its step.
    fn line_of(&self, told: &mut Told, step: &Step, line: &[u8]) {
        if !told.under.as_ref().is_some_and(|under| is_of(under, step)) {
            self.line(&title(step));
            told.under = Some((step.stage.clone(), step.number));
        }
        let line = String::from_utf8_lossy(line);
        // Of what a line overwrote only the last is told.
        let line = line.trim_end().rsplit('\r').next().unwrap_or_default();
        let words: Vec<String> = line.split('\t').map(printable).collect();
        self.line(&format!("    {}", words.join("\t")));
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line(&self, text: &str) {
        self.now.suspend(|| {
            // A standard error that does not take it cannot be complained to.
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }
}

fn take_line(told: &mut Told, step: &Step) -> Vec<u8> {
    match told.begun.iter().position(|(there, _)| there == step) {
        Some(place) => told.begun.swap_remove(place).1,
        None => Vec::new(),
    }
}

fn is_of((stage, number): &(String, usize), step: &Step) -> bool {
    *stage == step.stage && *number == step.number
}

/// A longer line is told in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;
/// So much is kept of what a program writes to one of them.
const KEPT_BYTES_MAX: usize = 16 << 10;

impl Drop for Progress {
    fn drop(&mut self) {
        let mut told = std::mem::take(&mut *self.told());
        // Those of steps that failed.
        while let Some((step, _)) = told.begun.last().cloned() {
            self.end_line(&mut told, &step);
        }
        for (step, texts) in std::mem::take(&mut told.last) {
            for text in texts.iter().filter(|text| !text.is_empty()) {
                let lines = text.strip_suffix(b"\n").unwrap_or(text);
                for line in lines.split(|&byte| byte == b'\n') {
                    self.line_of(&mut told, &step, line);
                }
            }
        }
        self.now.finish_and_clear();
    }
}

fn place(Step { stage, number, steps, .. }: &Step) -> String {
    format!("[{stage} {number}/{steps}]")
}

fn title(step: &Step) -> String {
    format!("{} {}", place(step), printable(&step.instruction))
}
