//! The page as HTML: a fixed frame, and the report beside it as data that its script reads.
//!
//! Nothing of an image is ever markup: all of it stands in the data, whose `<` are escaped, and the
//! script puts it into the page as text.

use std::io::Write;

use sapwood::files::FileKind;
use sapwood::{Error, Result};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use super::{Report, Sharing, TreeEntry, WORST_MAX};
use crate::time;

const FRAME: &str = include_str!("page.html");
/// Where the data go in it.
const PLACE: &str = "/*data*/";

pub fn write(report: &Report, output: &mut dyn Write) -> Result<()> {
    let told = |error: std::io::Error| Error::io("write a page", error);
    let (before, after) = FRAME.split_once(PLACE).expect("the frame has a place for the data");
    output.write_all(before.as_bytes()).map_err(told)?;
    let mut escaped = Escaped(&mut *output);
    serde_json::to_writer(&mut escaped, &data(report)).map_err(|error| told(error.into()))?;
    output.write_all(after.as_bytes()).map_err(told)?;
    output.flush().map_err(told)
}

/// JSON on its way into a script element, which `</script` and `<!--` would end or open.
struct Escaped<'a>(&'a mut dyn Write);

impl Write for Escaped<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut parts = bytes.split(|&byte| byte == b'<');
        self.0.write_all(parts.next().unwrap_or_default())?;
        for part in parts {
            self.0.write_all(b"\\u003c")?;
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// What the script reads.
#[derive(Serialize)]
struct Data<'a> {
    reference: &'a str,
    id: &'a str,
    layers: Vec<Layer<'a>>,
    steps: Vec<Step<'a>>,
    /// Columns, of one entry at a time: names, depths, sizes, layers, and kinds as letters, in
    /// capitals for further names.
    names: Column<'a, String>,
    depths: Column<'a, u32>,
    sizes: Column<'a, u64>,
    owners: Column<'a, usize>,
    kinds: String,
    sharing: &'a [Sharing],
}

#[derive(Serialize)]
struct Layer<'a> {
    id: String,
    created: Option<String>,
    created_by: Option<&'a str>,
    comment: Option<&'a str>,
    bytes: u64,
    shown: u64,
    hidden: u64,
    /// Paths and bytes.
    worst: Vec<(String, u64)>,
    hidden_files: usize,
}

#[derive(Serialize)]
struct Step<'a> {
    /// How many layers there were.
    above: usize,
    created_by: Option<&'a str>,
}

fn data(report: &Report) -> Data<'_> {
    let layers = report.layers.iter().zip(&report.shown_bytes);
    let layers = layers.filter_map(|(entry, shown)| Some((entry, entry.layer.as_ref()?, shown)));
    Data {
        reference: &report.reference,
        id: &report.id,
        layers: layers
            .map(|(entry, (layer, content), shown)| Layer {
                id: layer.id.to_string(),
                created: entry.created.map(time::written),
                created_by: entry.created_by.as_deref(),
                comment: entry.comment.as_deref(),
                bytes: content.content_bytes,
                shown: *shown,
                hidden: content.hidden_bytes,
                worst: content
                    .hidden
                    .iter()
                    .take(WORST_MAX)
                    .map(|file| (text(&file.path), file.bytes))
                    .collect(),
                hidden_files: content.hidden.len(),
            })
            .collect(),
        steps: report
            .empty_steps
            .iter()
            .map(|(above, step)| Step { above: *above, created_by: step.created_by.as_deref() })
            .collect(),
        names: Column(&report.tree, |entry| text(&entry.name)),
        depths: Column(&report.tree, |entry| entry.depth),
        sizes: Column(&report.tree, |entry| entry.size),
        owners: Column(&report.tree, |entry| entry.layer),
        kinds: report.tree.iter().map(letter).collect(),
        sharing: &report.sharing,
    }
}

fn letter(entry: &TreeEntry) -> char {
    let letter = match entry.kind {
        FileKind::Regular => 'f',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    };
    if entry.is_further_name { letter.to_ascii_uppercase() } else { letter }
}

/// Bytes of a name as text that shows what they are: what is no UTF-8, what controls a terminal, and
/// what turns the direction of writing are escaped.
pub fn text(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{61c}' => shown.extend(letter.escape_unicode()),
                letter if letter.is_control() => shown.extend(letter.escape_default()),
                letter => shown.push(letter),
            }
        }
        shown.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    shown
}

/// One field of all entries, as a list that is made while it is written.
struct Column<'a, T>(&'a [TreeEntry], fn(&TreeEntry) -> T);

impl<T: Serialize> Serialize for Column<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|entry| list.serialize_element(&(self.1)(entry)))?;
        list.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_shown_and_do_nothing() {
        let shown = text("a\u{202e}txt.exe\x1b[2J\u{200b}größe".as_bytes());
        assert_eq!(shown, "a\\u{202e}txt.exe\\u{1b}[2J\\u{200b}größe");
        assert_eq!(text(b"\xff</script>"), "\\xff</script>");
        let mut written = Vec::new();
        let json = serde_json::json!(["</script><!--", "a"]);
        serde_json::to_writer(Escaped(&mut written), &json).unwrap();
        assert!(!written.contains(&b'<'));
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).unwrap(), json);
    }
}
