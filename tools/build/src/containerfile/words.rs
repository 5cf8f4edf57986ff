//! How the text of an instruction falls into words.

use super::error::{Problem, shown};
use super::place::Word;

/// The words between blanks; quotes mean nothing.
pub fn plain(text: &str, start: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = start;
    for part in text[start..].split(char::is_whitespace) {
        if !part.is_empty() {
            words.push(Word { text: part.to_owned(), at });
        }
        // What splits is one character, of one byte or more.
        at += part.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    words
}

/// The words between blanks that are neither quoted nor escaped, as they are written.
///
/// Errors: a quote that nothing ends.
pub fn quoted(text: &str, start: usize, escape: char) -> Result<Vec<Word>, Problem> {
    let mut words = Vec::new();
    let mut word: Option<usize> = None;
    let mut quote: Option<(char, usize)> = None;
    let mut characters = text[start..].char_indices();
    while let Some((at, character)) = characters.next() {
        let at = start + at;
        match quote {
            Some((open, _)) if character == open => quote = None,
            // Nothing can be escaped between single quotes.
            Some((open, _)) if character == escape && open == '"' => {
                characters.next();
            }
            Some(_) => {}
            None if character.is_whitespace() => {
                if let Some(begun) = word.take() {
                    words.push(Word { text: text[begun..at].to_owned(), at: begun });
                }
            }
            None => {
                word.get_or_insert(at);
                if character == escape {
                    characters.next();
                } else if matches!(character, '"' | '\'') {
                    quote = Some((character, at));
                }
            }
        }
    }
    if let Some((open, at)) = quote {
        let found = shown(&text[at..]);
        return Err(Problem::new(at, "quotes", found, format!("another {open} behind it")));
    }
    if let Some(begun) = word {
        words.push(Word { text: text[begun..].to_owned(), at: begun });
    }
    Ok(words)
}

/// The strings of a JSON array; none where there is no JSON.
///
/// Errors: an array of anything but strings.
pub fn json(text: &str, start: usize) -> Result<Option<Vec<Word>>, Problem> {
    let rest = &text[start..];
    if !rest.trim_start().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(rest) else { return Ok(None) };
    let mut places = json_strings(rest).into_iter();
    let mut words = Vec::with_capacity(values.len());
    for value in values {
        match value {
            serde_json::Value::String(text) => {
                let at = start + places.next().unwrap_or(0);
                words.push(Word { text, at });
            }
            other => {
                let at = start + rest.find('[').unwrap_or(0);
                let found = shown(&other.to_string());
                return Err(Problem::new(at, "JSON array", found, "strings alone"));
            }
        }
    }
    Ok(Some(words))
}

/// Where the strings of sound JSON begin.
fn json_strings(json: &str) -> Vec<usize> {
    let mut places = Vec::new();
    let mut inside = false;
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => {
                if !inside {
                    places.push(at);
                }
                inside = !inside;
            }
            _ => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(words: &[Word]) -> Vec<&str> {
        words.iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn words_end_where_blanks_are_bare() {
        let text = r#"ENV  a="b c" d=e\ f 'g "h' i"\"j k""#;
        let words = quoted(text, 3, '\\').unwrap();
        assert_eq!(texts(&words), [r#"a="b c""#, r"d=e\ f", r#"'g "h'"#, r#"i"\"j k""#]);
        assert_eq!(words[1].at, text.find("d=").unwrap());
        assert_eq!(texts(&plain("a  \"b c\"\td", 1)), ["\"b", "c\"", "d"]);
        assert_eq!(plain("x ä\u{a0}b", 1)[1].at, 6);
        assert_eq!(quoted("a 'b", 0, '\\').unwrap_err().at, 2);
    }

    #[test]
    fn arrays_of_strings_are_words() {
        let text = r#"CMD [ "a\"b" ,"c]" ]"#;
        let words = json(text, 3).unwrap().unwrap();
        assert_eq!(texts(&words), ["a\"b", "c]"]);
        assert_eq!(words[1].at, text.find("\"c").unwrap());
        assert_eq!(json("RUN [ -e x ] && y", 4).unwrap(), None);
        assert_eq!(json("CMD []", 4).unwrap(), Some(Vec::new()));
        assert!(json("CMD [1]", 4).is_err());
    }
}
