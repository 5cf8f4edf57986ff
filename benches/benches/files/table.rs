//! The rows.

use std::time::Duration;

use sapwood_benches::median;

/// What the ratio of a row is to be.
pub type Bar<'a> = &'a str;

pub fn heading() {
    line("row", "ours", "baseline", "ratio", "bar");
    line("---", "---:", "---:", "---:", "---");
}

/// Times of both, each for `items`.
pub fn times(what: &str, items: usize, ours: Vec<Duration>, theirs: Vec<Duration>, bar: Bar<'_>) {
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    line(what, &each(ours, items), &each(theirs, items), &format!("{ratio:.2} x"), bar);
}

/// One figure that stands for itself.
pub fn figure(what: &str, ours: &str, bar: Bar<'_>) {
    line(what, ours, "", "", bar);
}

pub fn line(what: &str, ours: &str, baseline: &str, ratio: &str, bar: &str) {
    println!("| {what:<56} | {ours:>14} | {baseline:>14} | {ratio:>8} | {bar:<26} |");
}

/// The part of a time that is for each of `items`.
pub fn each(time: Duration, items: usize) -> String {
    let nanoseconds = time.as_nanos() as f64 / items as f64;
    match nanoseconds {
        0.0..1e5 => format!("{:.2} us", nanoseconds / 1e3),
        1e5..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}
