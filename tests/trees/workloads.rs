//! What is done to trees while the power is cut or calls fail, each short enough to be interrupted
//! everywhere.

use super::step::{Action, pattern};

/// The kinds that [`Action::Make`] knows.
const FILE: u8 = 4;
const DIRECTORY: u8 = 0;

/// What is done between two commits.
pub type Stage = Vec<Action>;

fn text(text: &str) -> String {
    text.to_owned()
}

fn make(directory: &str, name: &str, kind: u8) -> Action {
    Action::Make { directory: text(directory), name: text(name), kind }
}

fn write(path: &str, offset: u64, length: usize, value: u8) -> Action {
    Action::Write { path: text(path), offset, data: pattern(value, length) }
}

fn rename(path: &str, directory: &str, name: &str, exchange: bool) -> Action {
    Action::Rename { path: text(path), directory: text(directory), name: text(name), exchange }
}

fn remove(path: &str) -> Action {
    Action::Remove { path: text(path) }
}

fn attach(name: &str, length: usize, value: u8) -> Action {
    Action::Attach { name: text(name), content: pattern(value, length) }
}

fn set_extended(path: &str, name: &str, length: usize, value: u8) -> Action {
    Action::SetExtended { path: text(path), name: text(name), value: pattern(value, length) }
}

fn copy(path: &str, from: u64, to_path: &str, to: u64, length: u64) -> Action {
    Action::Copy { path: text(path), from, to_path: text(to_path), to, length }
}

fn truncate(path: &str, size: u64) -> Action {
    Action::Truncate { path: text(path), size }
}

fn zero(path: &str, offset: u64, length: u64) -> Action {
    Action::Zero { path: text(path), offset, length }
}

/// All of them, under their names.
pub fn all() -> Vec<(&'static str, Vec<Stage>)> {
    vec![
        ("operations of every kind", of_every_kind()),
        ("files put in the place of others", replaced()),
        ("files that shrink and grow", resized()),
        ("extended attributes", attributes()),
        ("copied ranges", copied()),
        ("files removed while they are open", removed_while_open()),
        ("directories that grow and move", directories()),
    ]
}

/// Operations of every kind, in stages that end with a commit each; every third with a snapshot.
pub fn of_every_kind() -> Vec<Stage> {
    let many = (0..40).map(|number| make("d", &format!("file-{number}"), FILE));
    let removed = (0..30).map(|number| remove(&format!("d/file-{number}")));
    vec![
        vec![make("", "d", DIRECTORY), make("d", "small", FILE), write("d/small", 0, 300, 1)],
        vec![make("", "big", FILE), write("big", 0, 30_000, 2), make("d", "link", 2)],
        vec![write("big", 5000, 5000, 3), write("d/small", 200, 3000, 4), make("", "e", DIRECTORY)],
        vec![
            rename("d/small", "e", "moved", false),
            Action::Link { path: text("big"), directory: text("d"), name: text("second") },
            Action::SetExtended {
                path: text("big"),
                name: text("user.a"),
                value: pattern(5, 2500),
            },
        ],
        many.collect(),
        vec![attach("note", 300, 6), attach("long", 20_000, 7)],
        vec![
            Action::Truncate { path: text("big"), size: 7000 },
            Action::Copy {
                path: text("e/moved"),
                from: 0,
                to_path: text("big"),
                to: 8192,
                length: 3200,
            },
            rename("d", "", "e", true),
        ],
        removed
            .map(|action| match action {
                Action::Remove { path } => Action::Remove { path: path.replacen('d', "e", 1) },
                other => other,
            })
            .collect(),
        vec![
            rename("big", "e", "second", false),
            remove("d/moved"),
            Action::Zero { path: text("e/second"), offset: 100, length: 5000 },
            attach("note", 5000, 8),
            Action::Attributes { path: text("e"), permissions: 0o700, owner: 3 },
        ],
    ]
}

/// What programs do that must not lose a file: write aside, put in place; exchange; replace a
/// linked file and a whole directory.
fn replaced() -> Vec<Stage> {
    let once = |number: u8| {
        let length = 1000 + 4000 * usize::from(number);
        vec![
            make("d", "aside", FILE),
            write("d/aside", 0, length, number),
            rename("d/aside", "d", "settings", false),
        ]
    };
    vec![
        vec![make("", "d", DIRECTORY), make("d", "settings", FILE), write("d/settings", 0, 90, 9)],
        once(1),
        [once(2), once(3)].concat(),
        vec![
            Action::Link { path: text("d/settings"), directory: text(""), name: text("linked") },
            make("d", "other", FILE),
            write("d/other", 0, 9000, 5),
            rename("d/other", "d", "settings", true),
        ],
        once(4),
        vec![
            make("", "new", DIRECTORY),
            make("new", "file", FILE),
            write("new/file", 0, 5000, 6),
            rename("new", "", "d", true),
        ],
        vec![
            remove("new/settings"),
            remove("new/other"),
            remove("new"),
            rename("linked", "d", "file", false),
        ],
    ]
}

/// A file's way from nothing to a small one, kept among the names, to blocks, and back; with what
/// lies behind its end read as zeros afterwards.
fn resized() -> Vec<Stage> {
    vec![
        vec![
            make("", "f", FILE),
            make("", "g", FILE),
            write("f", 0, 200, 1),
            truncate("g", 20_000),
        ],
        vec![write("f", 0, 20_000, 2), truncate("g", 50), write("g", 10, 30, 3)],
        vec![truncate("f", 4097), truncate("f", 12_288), write("g", 12_000, 400, 4)],
        vec![truncate("f", 0), write("f", 8000, 100, 5), zero("g", 0, 12_100)],
        vec![
            truncate("f", 10),
            truncate("f", 9000),
            zero("g", 12_100, 1000),
            write("g", 1, 3000, 6),
        ],
        vec![write("f", 0, 30_000, 7), truncate("g", 0)],
        vec![zero("f", 4096, 8192), write("f", 5000, 10, 8), truncate("f", 29_999)],
    ]
}

/// From values that stand beside each other to such as have pages of their own, of files and of
/// directories.
fn attributes() -> Vec<Stage> {
    let names = ["user.a", "user.b", "user.c"];
    let each = |path: &str, length: usize, value: u8| -> Stage {
        names.iter().map(|name| set_extended(path, name, length, value)).collect()
    };
    let removed =
        |path: &str, name: &str| Action::RemoveExtended { path: text(path), name: text(name) };
    vec![
        [vec![make("", "d", DIRECTORY), make("d", "f", FILE)], each("d/f", 20, 1)].concat(),
        each("d", 700, 2),
        each("d/f", 4000, 3),
        vec![removed("d/f", "user.b"), set_extended("d", "user.b", 3, 4), write("d/f", 0, 5000, 5)],
        vec![
            Action::Link { path: text("d/f"), directory: text(""), name: text("linked") },
            Action::Attributes { path: text("linked"), permissions: 0o600, owner: 7 },
            removed("d", "user.a"),
        ],
        vec![remove("d/f"), remove("linked"), removed("d", "user.c")],
        vec![
            make("", "f", FILE),
            set_extended("f", "user.a", 2500, 6),
            rename("f", "d", "f", false),
        ],
    ]
}

/// Blocks that two files share, until one of them is changed, cut or removed.
fn copied() -> Vec<Stage> {
    vec![
        vec![make("", "from", FILE), write("from", 0, 32_768, 1), make("", "to", FILE)],
        vec![copy("from", 0, "to", 0, 32_768)],
        vec![write("from", 8192, 4096, 2), write("to", 100, 9000, 3)],
        vec![copy("to", 4096, "from", 16_384, 12_288), truncate("to", 6000)],
        vec![make("", "third", FILE), copy("from", 0, "third", 4096, 20_000), remove("from")],
        vec![copy("third", 1000, "to", 500, 7000), zero("third", 4096, 8192)],
        vec![remove("third"), truncate("to", 0)],
    ]
}

/// What has no name any more and is held: it must not come back, nor stay.
fn removed_while_open() -> Vec<Stage> {
    let open = |path: &str| Action::RemoveOpen { path: text(path) };
    vec![
        vec![
            make("", "a", FILE),
            write("a", 0, 20_000, 1),
            make("", "b", FILE),
            write("b", 0, 50, 2),
        ],
        vec![open("a"), make("", "a", FILE), write("a", 0, 9000, 3)],
        vec![open("b"), set_extended("a", "user.a", 3000, 4)],
        vec![open("a"), make("", "d", DIRECTORY), make("d", "c", FILE), write("d/c", 0, 30_000, 5)],
        vec![
            Action::Link { path: text("d/c"), directory: text(""), name: text("c") },
            open("c"),
            write("d/c", 4096, 4096, 6),
        ],
        vec![open("d/c"), remove("d"), make("", "e", FILE)],
    ]
}

/// Names enough for several pages, made, moved as a whole, and removed to the last.
fn directories() -> Vec<Stage> {
    let name = |number: u32| format!("{}{number}", "long-name-".repeat(6));
    let some = |range: std::ops::Range<u32>, kind: u8| -> Stage {
        range.map(|number| make("d", &name(number), kind)).collect()
    };
    let fewer = |directory: &str, range: std::ops::Range<u32>| -> Stage {
        range.map(|number| remove(&format!("{directory}/{}", name(number)))).collect()
    };
    vec![
        [vec![make("", "d", DIRECTORY), make("", "e", DIRECTORY)], some(0..30, FILE)].concat(),
        some(30..70, DIRECTORY),
        [vec![rename("d", "e", "d", false)], fewer("e/d", 0..15)].concat(),
        [fewer("e/d", 15..60), vec![rename("e/d", "", "f", false)]].concat(),
        [fewer("f", 60..70), vec![remove("f"), remove("e")]].concat(),
    ]
}
