//! Documents that stand behind an instruction: `<<EOF`.

use super::error::{ParseError, Problem};
use super::expand::{self, Mode};
use super::lines::Lines;
use super::place::{Text, Word};
use super::words;

/// A document that follows an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// What ends it, and what a file that is made of it is called.
    pub name: String,
    /// What stands between, with the tabs that begin its lines unless they are left out.
    pub content: String,
    /// Whether variables in it count: the name has no quotes.
    pub expands: bool,
    /// Whether tabs that begin its lines are left out: `<<-`.
    pub strips_tabs: bool,
}

impl Heredoc {
    /// The content as whoever uses it sees it.
    pub fn stripped_content(&self) -> String {
        if !self.strips_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// The document that a word begins; none where it is another word.
pub fn begun_by(word: &str) -> Option<Heredoc> {
    let rest = word.trim_start_matches(|character: char| character.is_ascii_digit());
    let rest = rest.strip_prefix("<<")?;
    let (strips_tabs, name) = match rest.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, rest),
    };
    if name.is_empty() || name.contains('<') {
        return None;
    }
    // `<<$NAME` ends with the characters of that.
    let bare = expand::expand(name, '\\', Mode::Unquote, &|_| None).ok()?;
    let expands = bare == name;
    (!bare.is_empty()).then(|| Heredoc { name: bare, content: String::new(), expands, strips_tabs })
}

/// The words of an instruction's text that begin documents, and these.
pub fn of_text(text: &str, start: usize) -> Vec<(Word, Heredoc)> {
    // Whoever quotes a blank in it begins none: shells have rules of their own.
    let words = words::quoted(text, start, '\\').unwrap_or_default();
    let begun = words.into_iter().filter_map(|word| {
        let heredoc = begun_by(&word.text)?;
        Some((word, heredoc))
    });
    begun.collect()
}

/// Whether a text is one word, as one that only begins a document is.
pub fn is_alone(text: &str) -> bool {
    words::quoted(text, 0, '\\').is_ok_and(|words| words.len() == 1)
}

/// Reads the documents behind an instruction.
///
/// Errors: one that nothing ends.
pub fn read(
    lines: &mut Lines<'_>,
    text: &Text,
    begun: Vec<(Word, Heredoc)>,
) -> Result<Vec<Heredoc>, ParseError> {
    let mut heredocs = Vec::with_capacity(begun.len());
    for (word, mut heredoc) in begun {
        loop {
            let Some(line) = lines.next_raw() else {
                let expected = format!("a line that is {:?}", heredoc.name);
                let found = "the end of the file";
                return Err(Problem::new(word.at, "document", found, expected).in_text(text));
            };
            let mut end = line.content();
            if heredoc.strips_tabs {
                end = end.trim_start_matches('\t');
            }
            if end == heredoc.name {
                break;
            }
            heredoc.content.push_str(line.text);
        }
        heredocs.push(heredoc);
    }
    Ok(heredocs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_begin_a_document() {
        let of = |word| begun_by(word).map(|doc| (doc.name, doc.expands, doc.strips_tabs));
        assert_eq!(of("<<EOF"), Some(("EOF".into(), true, false)));
        assert_eq!(of("<<-'E F'"), Some(("E F".into(), false, true)));
        assert_eq!(of("3<<\"EOF\""), Some(("EOF".into(), false, false)));
        for other in ["<<", "<<<x", "a<<EOF", "<EOF", "<<\"\""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn tabs_are_left_out_where_asked() {
        let doc = Heredoc { content: "\t\ta\n\n\tb".into(), ..begun_by("<<-E").unwrap() };
        assert_eq!(doc.stripped_content(), "a\n\nb");
    }
}
