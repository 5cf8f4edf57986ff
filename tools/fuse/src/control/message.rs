//! One line: a word and fields.

use std::io::{self, BufRead, Write};

/// The longest line: annotations of 64 KiB, each byte of which may take three.
const LINE_BYTES_MAX: u64 = 256 << 10;

/// A request or a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// What is asked, or `ok`, or `error`.
    pub word: String,
    /// The rest, in order.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Message {
    /// A message without fields.
    pub fn new(word: &str) -> Message {
        Message { word: word.to_owned(), fields: Vec::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl AsRef<[u8]>) -> Message {
        self.fields.push((key.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// The value of a field.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(found, _)| found == key).map(|(_, value)| value.as_slice())
    }

    /// The value of a field that is text.
    pub fn text(&self, key: &str) -> Option<&str> {
        std::str::from_utf8(self.get(key)?).ok()
    }

    /// Writes the line.
    pub fn send(&self, mut to: impl Write) -> io::Result<()> {
        let mut line = escaped(self.word.as_bytes());
        for (key, value) in &self.fields {
            line.push(' ');
            line.push_str(&escaped(key.as_bytes()));
            line.push('=');
            line.push_str(&escaped(value));
        }
        line.push('\n');
        to.write_all(line.as_bytes())
    }

    /// Reads a line; `None` where the other side is done.
    pub fn receive(mut from: impl BufRead) -> io::Result<Option<Message>> {
        let mut line = Vec::new();
        io::Read::take(&mut from, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.pop() != Some(b'\n') {
            return Err(bad("a line that is cut off or too long"));
        }
        let line = String::from_utf8(line).map_err(|_| bad("a line that is no text"))?;
        let mut parts = line.split(' ');
        let word = String::from_utf8(unescaped(parts.next().unwrap_or_default())?)
            .map_err(|_| bad("a word that is no text"))?;
        let mut message = Message { word, fields: Vec::new() };
        for part in parts {
            let (key, value) =
                part.split_once('=').ok_or_else(|| bad("a field without a value"))?;
            let key =
                String::from_utf8(unescaped(key)?).map_err(|_| bad("a key that is no text"))?;
            message.fields.push((key, unescaped(value)?));
        }
        Ok(Some(message))
    }
}

fn bad(found: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("found {found}, expected a message"))
}

fn escaped(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' ' | b'=' | b'%' | 0..=0x1f | 0x7f.. => {
                write!(text, "%{byte:02x}").expect("writing to a string");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

fn unescaped(text: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = after.split_at_checked(2).ok_or_else(|| bad("an escape that is cut off"))?;
        let byte = std::str::from_utf8(digits.0)
            .ok()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| bad("an escape that is no number"))?;
        bytes.push(byte);
        rest = digits.1;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> io::Result<Option<Message>> {
        Message::receive(line)
    }

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let message = Message::new("snapshot")
            .with("comment", "two words\n= and 100 %")
            .with("label.a b", [0, 255, b'%'])
            .with("empty", "");
        let mut line = Vec::new();
        message.send(&mut line).unwrap();
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert_eq!(read(&line).unwrap(), Some(message));
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        assert_eq!(read(b"").unwrap(), None);
        for line in [&b"flush"[..], b"a b\n", b"a b=%\n", b"a b=%zz\n", b"a b=%4\n", b"\xff\n"] {
            assert!(read(line).is_err(), "{}", line.escape_ascii());
        }
        let long = vec![b'a'; LINE_BYTES_MAX as usize + 1];
        assert!(read(&long).is_err());
    }
}
