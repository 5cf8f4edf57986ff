//! Where reports go: text for people or JSON, on standard output.

pub mod colour;
pub mod json;
pub mod layers;
pub mod progress;
pub mod size;
pub mod table;
pub mod time;

use std::borrow::Cow;
use std::io::{self, Seek, Write};

use serde::Serialize;
use tempfile::SpooledTempFile;

use self::colour::Palette;
use self::json::Document;
use self::layers::LayerProgress;
use self::progress::Progress;
use self::size::Units;
use crate::args::Global;
use crate::error::{CliError, Result};

/// How much of a document is held in memory.
const DOCUMENT_IN_MEMORY_BYTES: usize = 64 << 10;

/// What a verb found or did, as JSON by [`Serialize`] and as text.
pub trait Report: Serialize {
    /// Whether the text only confirms what was asked for.
    const CONFIRMS: bool = false;

    /// Writes the text.
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()>;

    /// Writes what `--quiet` leaves of the text: all of an answer, nothing of a confirmation.
    fn write_quiet(&self, text: &mut Text<'_>) -> io::Result<()> {
        if Self::CONFIRMS { Ok(()) } else { self.write_text(text) }
    }
}

/// How to print: what the command line and the terminal ask for.
#[derive(Clone, Debug)]
pub struct Output {
    json: bool,
    quiet: bool,
    units: Units,
    palette: Palette,
}

/// A place for text, with the ways to print sizes and colours at hand.
pub struct Text<'a> {
    writer: &'a mut dyn Write,
    /// How sizes are printed.
    pub units: Units,
    /// How colours are printed.
    pub palette: Palette,
}

/// Where a long report goes.
pub enum Page<'a, 'b> {
    /// Into a JSON document.
    Json(&'a mut Document<'b>),
    /// To people.
    Text(&'a mut Text<'b>),
}

impl<'a> Text<'a> {
    /// Text that goes to `writer`.
    pub fn new(writer: &'a mut dyn Write, units: Units, palette: Palette) -> Text<'a> {
        Text { writer, units, palette }
    }
}

impl Write for Text<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Output {
    /// As the command line asks.
    pub fn new(global: &Global) -> Output {
        Output {
            json: global.json,
            quiet: global.quiet,
            units: if global.bytes { Units::Bytes } else { Units::Iec },
            palette: Palette::of_terminal(),
        }
    }

    /// JSON, for errors that come before the command line is understood.
    pub fn json() -> Output {
        Output { json: true, quiet: false, units: Units::Bytes, palette: Palette::Plain }
    }

    /// Whether reports are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only answers are printed.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The colours of the text.
    pub fn palette(&self) -> Palette {
        self.palette
    }

    /// A bar on standard error for `total` bytes, or a spinner where that is not known.
    pub fn progress(&self, what: impl Into<Cow<'static, str>>, total: Option<u64>) -> Progress {
        Progress::new(what, total, self.json || self.quiet)
    }

    /// Lines on standard error for the layers of an image.
    pub fn layer_progress(&self) -> LayerProgress {
        LayerProgress::new(self.json || self.quiet)
    }

    /// Prints a report on standard output.
    pub fn print(&self, verb: &str, report: &impl Report) -> Result<()> {
        self.print_to(&mut io::stdout().lock(), verb, report).map_err(CliError::report)
    }

    /// Prints a report on standard error: standard output carries data.
    pub fn print_beside_data(&self, verb: &str, report: &impl Report) -> Result<()> {
        let printed = self.print_to(&mut io::stderr().lock(), verb, report);
        printed.map_err(CliError::file("write the report", "standard error"))
    }

    /// Hands standard output to `write`, buffered, for reports too long to hold: as a page of
    /// text or, where JSON is asked for, as a document written piece by piece, which appears whole
    /// or not at all.
    pub fn stream(&self, verb: &str, write: impl FnOnce(Page<'_, '_>) -> Result<()>) -> Result<()> {
        let mut buffered = io::BufWriter::new(io::stdout().lock());
        if self.json {
            // What is long lies in a file without a name until it is whole.
            let mut whole = io::BufWriter::new(SpooledTempFile::new(DOCUMENT_IN_MEMORY_BYTES));
            let mut document = Document::begin(&mut whole, verb)?;
            write(Page::Json(&mut document))?;
            document.finish()?;
            let whole = whole.into_inner().map_err(|error| error.into_error());
            let copied = whole.and_then(|mut whole| {
                whole.rewind()?;
                io::copy(&mut whole, &mut buffered)
            });
            copied.map_err(CliError::report)?;
        } else {
            write(Page::Text(&mut self.text(&mut buffered)))?;
        }
        buffered.flush().map_err(CliError::report)
    }

    /// Prints a line on standard error beside what was done: what somebody may not have meant.
    pub fn note(&self, text: &str) {
        if !self.json && !self.quiet {
            // Nothing hangs on it.
            let _ = writeln!(io::stderr().lock(), "sapwood: {}", printable(text));
        }
    }

    /// Prints an error on standard error.
    pub fn print_error(&self, verb: Option<&str>, error: &CliError) {
        if error.is_silent() {
            return;
        }
        let stderr = io::stderr();
        // There is no further place to complain about a standard error that does not take it.
        let _ = if self.json {
            writeln!(stderr.lock(), "{}", json::error_document(verb, error))
        } else {
            writeln!(stderr.lock(), "sapwood: {}", printable_lines(&error.to_string()))
        };
    }

    fn text<'a>(&self, writer: &'a mut dyn Write) -> Text<'a> {
        Text::new(writer, self.units, self.palette)
    }

    fn print_to<R: Report>(&self, to: &mut dyn Write, verb: &str, report: &R) -> io::Result<()> {
        let mut buffered = io::BufWriter::new(to);
        if self.json {
            json::write_report(&mut buffered, verb, report)?;
        } else if self.quiet {
            report.write_quiet(&mut self.text(&mut buffered))?;
        } else {
            report.write_text(&mut self.text(&mut buffered))?;
        }
        buffered.flush()
    }
}

/// Text from a stored file as it may go to a terminal: control characters, which could draw
/// anything anywhere, are escaped, and so is what turns the direction of a line around.
pub fn printable(text: &str) -> String {
    text.chars().map(escaped).collect()
}

/// As [`printable`], of a text of several lines, which stay lines.
pub fn printable_lines(text: &str) -> String {
    let escape = |c: char| if matches!(c, '\n' | '\t') { c.into() } else { escaped(c) };
    text.chars().map(escape).collect()
}

fn escaped(c: char) -> String {
    // What overrides the direction of a text shows another one than is there.
    let turns_around = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    match c.is_control() || turns_around {
        true => c.escape_default().collect(),
        false => c.into(),
    }
}

/// As [`printable`], of a name, which is bytes: what is no UTF-8 is escaped too.
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_text_can_be_told_apart() {
        assert_eq!(printable_bytes(b"a\xffb\n\xc3\xa9"), "a\\xffb\\n\u{e9}");
    }

    #[test]
    fn stored_text_cannot_steer_the_terminal() {
        assert_eq!(printable("größe\n\x1b[2J"), "größe\\n\\u{1b}[2J");
        assert_eq!(printable("\u{9b}2Ja\u{202e}b\u{2066}"), "\\u{9b}2Ja\\u{202e}b\\u{2066}");
        assert_eq!(printable_lines("a:\n\tb\x1b\u{202d}"), "a:\n\tb\\u{1b}\\u{202d}");
    }
}
