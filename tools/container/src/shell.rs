//! Words of command lines that people are told, and may paste into a shell.

use std::borrow::Cow;

/// `word` as a POSIX shell reads it as this one word: as it is, where nothing in it means anything to a shell,
/// else in quotes. Names and paths may hold `$(...)`, and be somebody else's.
///
/// ```
/// use sapwood_container::shell_word;
///
/// assert_eq!(shell_word("debian:12"), "debian:12");
/// assert_eq!(shell_word("$(id)"), "'$(id)'");
/// assert_eq!(shell_word("it's"), r"'it'\''s'");
/// ```
pub fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "@%+=:,./_-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.into(),
        false => format!("'{}'", word.replace('\'', r"'\''")).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Advice that was pasted ran what a name said.
    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        let words = [
            "", "a", "$(id)", "`id`", "a;b", "*", "~", "a'b", "''", "\"a\"", ">x", "a|b", "#x",
            "{a,b}", "x/../y", "//", "a b", "a\nb", "a\\", "$HOME", "!!", "a&", "[a]", "é", "a=b",
            "(", "%s", "^",
        ];
        for word in words {
            let script =
                format!("for word in {}; do printf '<%s>' \"$word\"; done", shell_word(word));
            let said = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), format!("<{word}>"), "{script}");
        }
    }
}
