//! The page of an image: whole, of itself alone, and with the numbers of the library.

use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use sapwood::files::{FileKind, Files, Inode, NewFile, Paths, usage};
use sapwood_oci::{Image, Report, history, report};
use serde_json::Value;

use crate::support::*;

/// What a browser's tokenizer makes of a page: its elements with their attributes, and the text
/// in those that are called `data`.
struct Page {
    elements: Vec<(String, Vec<(String, String)>)>,
    data: Value,
}

fn parse(page: &[u8]) -> Page {
    let text = str::from_utf8(page).expect("a page in UTF-8");
    let (mut elements, mut data, mut in_data) = (Vec::new(), String::new(), false);
    let mut emitter = DefaultEmitter::default();
    emitter.naively_switch_states(true);
    for Ok(token) in Tokenizer::new_with_emitter(text, emitter) {
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match token {
            Token::StartTag(tag) => {
                let attributes: Vec<_> = tag
                    .attributes
                    .iter()
                    .map(|(name, value)| (string(name), string(value)))
                    .collect();
                in_data = attributes.contains(&("id".to_owned(), "data".to_owned()));
                elements.push((string(&tag.name), attributes));
            }
            Token::EndTag(_) => in_data = false,
            Token::String(text) if in_data => data.push_str(&string(&text)),
            Token::Error(error) => panic!("{error:?}"),
            _ => {}
        }
    }
    Page { elements, data: serde_json::from_str(&data).expect("data in JSON") }
}

fn page_of(report: &Report) -> Page {
    let mut page = Vec::new();
    report.write_html(&mut page).unwrap();
    parse(&page)
}

fn sum(list: &Value) -> u64 {
    list.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).sum()
}

#[test]
fn the_numbers_of_the_page_are_those_of_the_library() {
    let (_folder, store) = store();
    build(
        &store,
        None,
        "base:1",
        &[("ADD rootfs", &|files| {
            for number in 0..300 {
                write(files, &format!("usr/share/{number}"), &noise(number * 11, 1));
            }
            write(files, "usr/lib/large", &noise(900_000, 2));
            Paths::new(files).symlink("large", "usr/lib/link").unwrap();
        })],
    );
    build(&store, Some("base:1"), "other:1", &[("RUN other", &|files| write(files, "o", b"1"))]);
    build(
        &store,
        Some("base:1"),
        "app:1",
        &[
            ("RUN first", &|files| {
                write(files, "app/temporary", &noise(100_000, 3));
                write(files, "app/kept", &noise(50_000, 4));
                let app = Paths::new(files).resolve("app").unwrap();
                let kept = Paths::new(files).resolve("app/kept").unwrap();
                files.link(kept, app, b"same").unwrap();
            }),
            ("RUN last", &|files| {
                let app = Paths::new(files).resolve("app").unwrap();
                files.unlink(app, b"temporary").unwrap();
                write(files, "usr/share/299", b"changed");
            }),
        ],
    );
    let image = Image::open(&store, "app:1").unwrap();
    let told = report(&store, &image, "app:1").unwrap();
    let page = page_of(&told);
    let data = &page.data;

    let tree = usage(image.view()).unwrap();
    let letters = data["kinds"].as_str().unwrap();
    let further = letters.matches('F').count();
    assert_eq!((further, letters.len() - further), (1, tree.files as usize));
    assert_eq!(letters.matches('d').count() as u64, tree.directories);
    let sizes = data["sizes"].as_array().unwrap();
    let once: u64 = letters
        .chars()
        .zip(sizes)
        .filter(|(letter, _)| letter.is_lowercase())
        .map(|(_, size)| size.as_u64().unwrap())
        .sum();
    assert_eq!(once, tree.content_bytes);
    for column in ["names", "depths", "owners", "sizes"] {
        assert_eq!(data[column].as_array().unwrap().len(), letters.len(), "{column}");
    }
    let mut steps = history(&store, &image).unwrap();
    steps.reverse();
    let layers: Vec<_> = steps.iter().filter_map(|entry| entry.layer.as_ref()).collect();
    assert_eq!(data["layers"].as_array().unwrap().len(), layers.len());
    for ((layer, content), told) in layers.iter().zip(data["layers"].as_array().unwrap()) {
        assert_eq!(told["id"], layer.id.to_string());
        assert_eq!(told["bytes"], content.content_bytes);
        assert_eq!(told["hidden"], content.hidden_bytes);
        assert_eq!(told["shown"], content.content_bytes - content.hidden_bytes);
        assert_eq!(told["hidden_files"], content.hidden.len());
    }
    assert_eq!(data["layers"][1]["worst"][0], serde_json::json!(["app/temporary", 100_000]));
    let owner = |wanted: &str| {
        let names = data["names"].as_array().unwrap();
        let place = names.iter().position(|name| name == wanted).unwrap();
        data["owners"][place].as_u64().unwrap()
    };
    let owners = ["large", "298", "kept", "same", "app", "299"].map(owner);
    assert_eq!(owners, [0, 0, 1, 1, 1, 2]);
    assert_eq!(
        sum(&data["depths"]),
        told.tree.iter().map(|entry| u64::from(entry.depth)).sum::<u64>()
    );
    let sharing: Vec<_> =
        told.sharing.iter().map(|other| (other.tag.as_str(), other.layers)).collect();
    assert_eq!(sharing, [("base:1", 1), ("other:1", 1)]);
    assert_eq!(data["sharing"][0]["bytes"], layers[0].1.content_bytes);
}

#[test]
fn the_page_asks_nobody_and_hostile_names_are_text() {
    let (_folder, store) = store();
    let names: [&[u8]; 6] = [
        b"<script>alert(1)<",
        b"<!--<script>",
        "right\u{202e}gpj.exe".as_bytes(),
        b"bad \xff\xfe bytes",
        b"line\nbreak \x1b[31m \"quoted\" &amp;",
        "\u{2028}\u{2029}".as_bytes(),
    ];
    let hostile = "RUN </script><img src=x onerror=alert(2)>";
    build(
        &store,
        None,
        "evil:1",
        &[
            (hostile, &|files: &Files| {
                for name in names {
                    files.create(Inode::ROOT, name, &NewFile::regular(0o644)).unwrap();
                }
                Paths::new(files).create_dir("<").unwrap();
                write(files, "</script><b>gone", b"1234");
            }),
            ("RUN rm", &|files| Paths::new(files).remove_file("</script><b>gone").unwrap()),
        ],
    );
    let image = Image::open(&store, "evil:1").unwrap();
    let told = report(&store, &image, "<h1>evil</h1>").unwrap();
    let frame = page_of(&Report {
        tree: Vec::new(),
        layers: Vec::new(),
        shown_bytes: Vec::new(),
        ..told.clone()
    });
    let page = page_of(&told);
    assert_eq!(page.elements, frame.elements, "what is in an image made markup");
    let shown: Vec<&str> =
        page.data["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for expected in [
        "<script>alert(1)<",
        "<!--<script>",
        "right\\u{202e}gpj.exe",
        "bad \\xff\\xfe bytes",
        "line\\nbreak \\u{1b}[31m \"quoted\" &amp;",
        "\\u{2028}\\u{2029}",
    ] {
        assert!(shown.contains(&expected), "{expected}: {shown:?}");
    }
    assert_eq!(page.data["reference"], "<h1>evil</h1>");
    assert_eq!(page.data["layers"][0]["created_by"], hostile);
    assert_eq!(page.data["layers"][0]["worst"][0][0], "</script><b>gone");
    assert!(told.tree.iter().all(|entry| entry.kind != FileKind::Socket));

    // Nothing is loaded from anywhere, and the page itself forbids it.
    let asks = ["src", "href", "action", "data", "poster", "srcset"];
    for (element, attributes) in &page.elements {
        assert!(!["link", "img", "iframe", "object", "base"].contains(&element.as_str()));
        assert!(
            attributes.iter().all(|(name, _)| !asks.contains(&name.as_str())),
            "{attributes:?}"
        );
    }
    let policy = page.elements.iter().flat_map(|(_, attributes)| attributes);
    assert!(
        policy
            .into_iter()
            .any(|(name, value)| name == "content" && value.starts_with("default-src 'none'"))
    );
}

#[test]
fn an_image_without_layers_has_a_page() {
    let (_folder, store) = store();
    build(&store, None, "empty:1", &[]);
    let image = Image::open(&store, "empty:1").unwrap();
    let told = report(&store, &image, "empty:1").unwrap();
    assert_eq!(page_of(&told).data["layers"], serde_json::json!([]));
    assert_eq!((told.tree.len(), told.empty_steps.len()), (0, 1));
}
