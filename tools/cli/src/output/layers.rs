//! Progress of the layers of an image, a line each, on standard error and on terminals only.

use std::collections::BTreeMap;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Lines that are gone from the terminal once they are dropped.
pub struct LayerProgress {
    all: MultiProgress,
    lines: Mutex<BTreeMap<usize, ProgressBar>>,
}

impl LayerProgress {
    /// No line so far; and none ever where `hidden`.
    pub fn new(hidden: bool) -> LayerProgress {
        let target =
            if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let all = MultiProgress::with_draw_target(target);
        LayerProgress { all, lines: Mutex::new(BTreeMap::new()) }
    }

    /// Says what happens to a layer, and how far it is, in bytes; of how many where that is known.
    pub fn set(&self, layer: usize, what: &'static str, done: u64, total: Option<u64>) {
        let mut lines = self.lines.lock().expect("nobody panics with the lines");
        let below = lines.range(..layer).count();
        let line = lines.entry(layer).or_insert_with(|| {
            let line = ProgressBar::no_length().with_style(style(None));
            self.all.insert(below, line.with_message(""))
        });
        if line.message() != what {
            line.set_message(what);
            line.set_style(style(total));
            line.set_prefix(format!("layer {}", layer + 1));
        }
        if let Some(total) = total {
            line.set_length(total);
        }
        line.set_position(done);
    }

    /// Takes the line of a layer away that is done.
    pub fn done(&self, layer: usize) {
        let line = self.lines.lock().expect("nobody panics with the lines").remove(&layer);
        if let Some(line) = line {
            line.finish_and_clear();
        }
    }
}

impl Drop for LayerProgress {
    fn drop(&mut self) {
        for line in self.lines.lock().expect("nobody panics with the lines").values() {
            line.finish_and_clear();
        }
    }
}

fn style(total: Option<u64>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{prefix} {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}",
        None => "{prefix} {msg} {spinner} {bytes} {bytes_per_sec}",
    };
    ProgressStyle::with_template(template).expect("a template of our own")
}
