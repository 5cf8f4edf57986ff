//! Colours, where the terminal shows them and nobody asked for none.

use std::ffi::OsStr;
use std::io::IsTerminal;

/// How colours are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// Not at all.
    Plain,
    /// By the 256 colours of terminals.
    Coloured,
}

/// The colours of layers, told apart by most eyes on light and on dark ground: numbers of the
/// 256-colour table.
pub const LAYER_COLOURS: [u8; 12] = [33, 208, 40, 170, 220, 37, 203, 99, 142, 45, 130, 245];

impl Palette {
    /// What standard output and the environment ask for.
    pub fn of_terminal() -> Palette {
        Palette::choose(
            std::io::stdout().is_terminal(),
            std::env::var_os("NO_COLOR").as_deref(),
            std::env::var_os("TERM").as_deref(),
        )
    }

    fn choose(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Palette {
        let refused = no_color.is_some_and(|value| !value.is_empty());
        let dumb = term.is_none_or(|term| term == "dumb");
        if is_terminal && !refused && !dumb { Palette::Coloured } else { Palette::Plain }
    }

    /// `text` in one of the 256 colours.
    pub fn paint(self, colour: u8, text: &str) -> String {
        match self {
            Palette::Plain => text.to_owned(),
            Palette::Coloured => format!("\x1b[38;5;{colour}m{text}\x1b[0m"),
        }
    }

    /// `text` in bold.
    pub fn bold(self, text: &str) -> String {
        match self {
            Palette::Plain => text.to_owned(),
            Palette::Coloured => format!("\x1b[1m{text}\x1b[0m"),
        }
    }

    /// `text` held back.
    pub fn faint(self, text: &str) -> String {
        match self {
            Palette::Plain => text.to_owned(),
            Palette::Coloured => format!("\x1b[2m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_on_terminals_that_have_them_and_are_not_refused() {
        let choose = |terminal, no_color: Option<&str>, term: Option<&str>| {
            Palette::choose(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
        };
        assert_eq!(choose(true, None, Some("xterm")), Palette::Coloured);
        assert_eq!(choose(true, Some(""), Some("xterm")), Palette::Coloured);
        assert_eq!(choose(true, Some("1"), Some("xterm")), Palette::Plain);
        assert_eq!(choose(true, None, Some("dumb")), Palette::Plain);
        assert_eq!(choose(true, None, None), Palette::Plain);
        assert_eq!(choose(false, None, Some("xterm")), Palette::Plain);
    }
}
