use super::*;

fn stage(text: &str) -> Vec<Instruction> {
    let file = parse(format!("FROM x\n{text}").as_bytes());
    file.unwrap_or_else(|error| panic!("{text}: {error}")).stages.remove(0).instructions
}

fn only(text: &str) -> Kind {
    let mut instructions = stage(text);
    assert_eq!(instructions.len(), 1, "{text}");
    instructions.remove(0).kind
}

fn word(text: &str, at: usize) -> Word {
    Word { text: text.into(), at }
}

fn shell(text: &str) -> CommandLine {
    CommandLine::Shell(text.into())
}

fn exec(words: &[&str]) -> CommandLine {
    CommandLine::Exec(words.iter().map(|&word| word.into()).collect())
}

fn copy() -> CopyFiles {
    CopyFiles {
        sources: Vec::new(),
        documents: Vec::new(),
        destination: word("", 0),
        from: None,
        owner: None,
        permissions: None,
        exclude: Vec::new(),
        link: false,
        parents: false,
        unpack: None,
    }
}

#[test]
fn stages_and_what_comes_before_them() {
    let text = "ARG v=1 w\n\nFROM --platform=linux/amd64 a:$v As Build\nRUN x\nfrom scratch\n";
    let file = parse(text.as_bytes()).unwrap();
    let arguments = vec![
        Argument { name: "v".into(), default: Some(word("1", 6)) },
        Argument { name: "w".into(), default: None },
    ];
    assert_eq!(file.arguments[0].kind, Kind::Arg(arguments));
    assert_eq!(file.stages.len(), 2);
    let from = &file.stages[0].from;
    assert_eq!((&from.image.text[..], from.name.as_deref()), ("a:$v", Some("build")));
    assert_eq!(from.platform.as_ref().unwrap().text, "linux/amd64");
    assert_eq!(file.stages[0].instructions[0].position(), Position { line: 4, column: 1 });
}

#[test]
fn each_instruction() {
    let pairs = |pairs: &[(&str, usize, &str, usize)]| {
        pairs.iter().map(|(n, i, v, j)| (word(n, *i), word(v, *j))).collect::<Vec<_>>()
    };
    let cases = [
        ("ENV a=1 b=\"x y\"", Kind::Env(pairs(&[("a", 4, "1", 6), ("b", 8, "\"x y\"", 10)]))),
        ("env  a  b c=d ", Kind::Env(pairs(&[("a", 5, "b c=d", 8)]))),
        ("LABEL \"a b\"=c", Kind::Label(pairs(&[("\"a b\"", 6, "c", 12)]))),
        ("CMD echo  $a", Kind::Cmd(shell("echo  $a"))),
        ("CMD [\"a\", \"b c\"]", Kind::Cmd(exec(&["a", "b c"]))),
        ("CMD []", Kind::Cmd(exec(&[]))),
        ("ENTRYPOINT [not json]", Kind::Entrypoint(shell("[not json]"))),
        ("EXPOSE 80 443/tcp", Kind::Expose(vec![word("80", 7), word("443/tcp", 10)])),
        ("MAINTAINER  a <b@c>", Kind::Maintainer("a <b@c>".into())),
        ("SHELL [\"/bin/x\", \"-c\"]", Kind::Shell(vec!["/bin/x".into(), "-c".into()])),
        ("STOPSIGNAL $s", Kind::StopSignal(word("$s", 11))),
        ("USER a:b", Kind::User(word("a:b", 5))),
        ("WORKDIR /a b", Kind::Workdir(word("/a b", 8))),
        ("VOLUME /a /b", Kind::Volume(vec![word("/a", 7), word("/b", 10)])),
        ("VOLUME [\"/a b\"]", Kind::Volume(vec![word("/a b", 8)])),
        ("ONBUILD  RUN a  b", Kind::OnBuild("RUN a  b".into())),
        ("HEALTHCHECK NONE", Kind::Healthcheck(Healthcheck::None)),
    ];
    for (text, kind) in cases {
        assert_eq!(only(text), kind, "{text}");
    }
}

#[test]
fn copies() {
    let sources = vec![word("a", 32), word("b*", 34)];
    let expected = CopyFiles {
        sources,
        destination: word("/d/", 37),
        from: Some(word("s", 12)),
        owner: Some(word("u:$g", 22)),
        link: true,
        ..copy()
    };
    // Offsets count from the beginning of the instruction.
    let text = "COPY --from=s --chown=u:$g --link a b* /d/";
    let Kind::Copy(read) = only(text) else { panic!() };
    let texts = |words: &[Word]| words.iter().map(|word| word.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&read.sources), texts(&expected.sources));
    assert_eq!((read.from, read.owner, read.link), (expected.from, expected.owner, true));
    assert_eq!(read.destination.text, "/d/");

    let Kind::Add(read) = only("ADD --exclude=*.o --exclude=x/** --chmod=0755 [\"a b\", \"c\"]")
    else {
        panic!()
    };
    assert_eq!(texts(&read.exclude), ["*.o", "x/**"]);
    assert_eq!((read.sources[0].text.as_str(), read.destination.text.as_str()), ("a b", "c"));
}

#[test]
fn healthchecks() {
    let text = "HEALTHCHECK --interval=1m --retries=3 \\\n  CMD curl x || exit 1";
    let Kind::Healthcheck(Healthcheck::Command { command, interval, retries, timeout, .. }) =
        only(text)
    else {
        panic!()
    };
    assert_eq!(command, shell("curl x || exit 1"));
    assert_eq!((interval.unwrap().as_secs(), retries, timeout), (60, Some(3), None));
}

#[test]
fn documents() {
    let text = "RUN <<EOF\na\n# kept\n$b\nEOF\nCOPY <<-\"A\" <<B x /d/\n\tone\n\tA\n\ntwo\nB\nRUN [\"<<X\"]";
    let read = stage(text);
    assert_eq!(read.len(), 3);
    assert_eq!(read[0].heredocs[0].content, "a\n# kept\n$b\n");
    let Kind::Copy(files) = &read[1].kind else { panic!() };
    assert_eq!((files.sources.len(), &files.documents[..]), (1, &[0, 1][..]));
    let [a, b] = &read[1].heredocs[..] else { panic!() };
    assert_eq!((a.stripped_content().as_str(), a.expands), ("one\n", false));
    assert_eq!((b.content.as_str(), b.expands), ("\ntwo\n", true));
    assert!(read[2].heredocs.is_empty());
    let trigger = "ONBUILD COPY <<E /x\nin\nE";
    let Kind::OnBuild(kept) = only(trigger) else { panic!() };
    assert_eq!(kept, "COPY <<E /x\nin\nE");
    assert_eq!(parse_trigger(&kept).unwrap().heredocs[0].content, "in\n");
}

#[test]
fn runs() {
    let text =
        "RUN --mount=type=cache,target=/c --network=none \\\n    # why\n    make \\\n    all";
    let Kind::Run(run) = only(text) else { panic!() };
    assert_eq!(run.command, shell("make     all"));
    let kind = run.mounts[0].kind.as_ref().map(|kind| kind.text.as_str());
    assert_eq!((kind, run.network), (Some("cache"), Network::None));
    let Kind::Run(run) = only("RUN -- --not-an-option") else { panic!() };
    assert_eq!(run.command, shell("--not-an-option"));
}

#[test]
fn a_backtick_escapes_where_asked() {
    let text = "# escape=`\nFROM x\nRUN a `\n b\\\nENV c=d` e";
    let file = parse(text.as_bytes()).unwrap();
    let [run, env] = &file.stages[0].instructions[..] else { panic!() };
    assert!(matches!(&run.kind, Kind::Run(run) if run.command == shell("a  b\\")));
    assert!(matches!(&env.kind, Kind::Env(pairs) if pairs[0].1.text == "d` e"));
}

/// What is wrong, at which line and column, and a word of what should be there instead.
#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("", "1:1", "FROM"),
        ("# only\n", "1:1", "FROM"),
        ("RUN x\nFROM y", "1:1", "FROM or ARG"),
        ("FROM x\nFORM y", "2:1", "one of ADD"),
        ("FROM", "1:5", "FROM IMAGE"),
        ("FROM x y", "1:6", "FROM IMAGE"),
        ("FROM x AS", "1:6", "FROM IMAGE"),
        ("FROM x AS y z", "1:6", "FROM IMAGE"),
        ("FROM x AS 1a", "1:11", "begins with a letter"),
        ("FROM x AS scratch", "1:11", "without a meaning"),
        ("FROM --plat=x y", "1:6", "--platform"),
        ("FROM x\n  COPY a", "2:8", "destination"),
        ("FROM x\nCOPY --from a b", "2:6", "--NAME=VALUE"),
        ("FROM x\nCOPY --link=maybe a b", "2:6", "true or false"),
        ("FROM x\nCOPY --chown=1 --chown=2 a b", "2:16", "once"),
        ("FROM x\nCOPY --from=$a b c", "2:13", "without variables"),
        ("FROM x\nCOPY --from=\"a b c", "2:6", "another \""),
        ("FROM x\nCOPY \\\n  a \\\n  --x=1 \\\n <<E\nE", "5:2", "behind the documents"),
        ("FROM x\nCOPY <<E /d\nno end", "2:6", "\"E\""),
        ("FROM x\nADD --checksum=x a b", "2:5", "none is asked"),
        ("FROM x\nENV", "2:4", "an argument"),
        ("FROM x\nENV a", "2:5", "NAME=VALUE"),
        ("FROM x\nENV a=1 b", "2:9", "NAME=VALUE"),
        ("FROM x\nENV =1", "2:5", "NAME=VALUE"),
        ("FROM x\nENV a=\"1", "2:7", "another \""),
        ("FROM x\nLABEL a='1", "2:9", "another '"),
        ("FROM x\nSHELL /bin/sh", "2:7", "JSON array"),
        ("FROM x\nSHELL []", "2:7", "JSON array"),
        ("FROM x\nCMD [\"a\", 1]", "2:5", "strings alone"),
        ("FROM x\nRUN []", "2:5", "a program"),
        ("FROM x\nRUN --mount=type=x,target=/ y", "2:18", "bind, cache"),
        ("FROM x\nRUN \\\n  --mount=target=/a,id=1 y", "3:21", "target, source"),
        ("FROM x\nRUN --network=lan y", "2:15", "default, host or none"),
        ("FROM x\nRUN --security=insecure y", "2:16", "sandbox"),
        ("FROM x\nONBUILD FROM y", "2:9", "another instruction"),
        ("FROM x\nONBUILD ONBUILD RUN y", "2:9", "another instruction"),
        ("FROM x\nONBUILD", "2:8", "an argument"),
        ("FROM x\nHEALTHCHECK", "2:12", "CMD"),
        ("FROM x\nHEALTHCHECK NONE x", "2:18", "nothing"),
        ("FROM x\nHEALTHCHECK --timeout=5 CMD x", "2:23", "a time"),
        ("FROM x\nHEALTHCHECK --retries=-1 CMD x", "2:23", "a number"),
        ("FROM x\nUSER --a=b c", "2:6", "no options"),
        ("# escape=x\nFROM y", "1:10", "backtick"),
    ];
    for (text, place, expected) in cases {
        let error = parse(text.as_bytes()).expect_err(text);
        assert_eq!(error.position.to_string(), place, "{text:?}: {error}");
        assert!(error.expected.contains(expected), "{text:?}: {error}");
    }
    let error = parse(b"FROM x\nRUN \xc3\xa4\xff").unwrap_err();
    assert_eq!(error.position, Position { line: 2, column: 6 });
    assert!(parse(&vec![b'#'; CONTAINERFILE_BYTES_MAX + 1]).is_err());
}

proptest::proptest! {
    /// Anything is read or refused, with a place that the file has.
    #[test]
    fn any_text_is_read_or_refused(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "FROM a", "\n", "\r\n", " ", "\\", "\\\n", "`", "# escape=`\n", "RUN ", "COPY ",
                "ENV ", "ONBUILD ", "HEALTHCHECK ", "--mount=", "type=", ",", "=", "<<", "E", "-",
                "\"", "'", "[", "]", "{", "}", "$", "ä", "CMD", "--", "AS",
            ]),
            0..60,
        )
    ) {
        let text = pieces.concat();
        if let Err(error) = parse(text.as_bytes()) {
            let lines = text.split('\n').count() as u32;
            assert!(error.position.line <= lines, "{text:?}: {error}");
        }
    }
}
