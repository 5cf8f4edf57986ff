//! Small Containerfiles, each for one corner: what they make here and in `buildah bud` is equal,
//! entry by entry, and so is the configuration.

/// A Containerfile on the context of [`crate::context`].
pub struct Case {
    pub name: &'static str,
    pub containerfile: &'static str,
    /// `--build-arg`
    pub arguments: &'static [(&'static str, &'static str)],
    pub target: Option<&'static str>,
    pub ignore: &'static str,
}

const fn case(name: &'static str, containerfile: &'static str) -> Case {
    Case { name, containerfile, arguments: &[], target: None, ignore: "" }
}

impl Case {
    const fn with(self, arguments: &'static [(&'static str, &'static str)]) -> Case {
        Case { arguments, ..self }
    }

    const fn of(self, target: &'static str) -> Case {
        Case { target: Some(target), ..self }
    }

    const fn without(self, ignore: &'static str) -> Case {
        Case { ignore, ..self }
    }
}

/// The image `base:1` has a shell, users and links; `onbuild:1` leaves instructions.
pub const CASES: &[Case] = &[
    case("a file", "FROM base:1\nCOPY a.txt /a.txt"),
    case("a file under another name", "FROM base:1\nCOPY a.txt /new/dir/other"),
    case("a file into a directory to be made", "FROM base:1\nCOPY a.txt /new/dir/"),
    case("a file into a directory that is there", "FROM base:1\nCOPY a.txt /tmp"),
    case("several files", "FROM base:1\nCOPY a.txt b.txt exec.sh /many/"),
    case("what is in a directory", "FROM base:1\nCOPY dir /new"),
    case("what is in a directory, slashes", "FROM base:1\nCOPY dir/ /new/"),
    case("a directory into one that is there", "FROM base:1\nCOPY dir /etc"),
    case("directories into one", "FROM base:1\nCOPY dir deep /new/"),
    case("all of the context", "FROM base:1\nCOPY . /all/"),
    case("stars", "FROM base:1\nCOPY *.txt /g/"),
    case("question marks", "FROM base:1\nCOPY ?.txt /g/"),
    case("stars into a directory that is there", "FROM base:1\nCOPY *.txt /etc"),
    case("stars into a link to one", "FROM base:1\nCOPY *.txt /lib"),
    case("stars that mean directories", "FROM base:1\nCOPY d* /new"),
    case("classes", "FROM base:1\nCOPY [ab].txt /g/"),
    case("patterns of directories", "FROM base:1\nCOPY d*/x* /g/"),
    case("names with blanks", "FROM base:1\nCOPY [\"with space\", \"/s p/\"]"),
    case("relative to a directory", "FROM base:1\nWORKDIR /w\nCOPY a.txt .\nCOPY b.txt sub/"),
    case("directories on directories", "FROM base:1\nWORKDIR /w\nWORKDIR x/y\nWORKDIR ../z"),
    case("a directory that is there", "FROM base:1\nWORKDIR /etc"),
    case("owners by number", "FROM base:1\nCOPY --chown=7:8 dir /new"),
    case("owners by name", "FROM base:1\nCOPY --chown=app:staff a.txt dir /new/"),
    case("a user's own group", "FROM base:1\nCOPY --chown=app a.txt /new/"),
    case("permissions", "FROM base:1\nCOPY --chmod=0701 a.txt /new"),
    case("a symlink as a source", "FROM base:1\nCOPY dir/link /new"),
    case("a symlink to a directory on the way", "FROM base:1\nCOPY a.txt /lib/"),
    case("a file over a file", "FROM base:1\nCOPY a.txt /x\nCOPY b.txt /x"),
    case("hard links", "FROM base:1\nCOPY dir/hard1 dir/hard2 /new/\nCOPY dir /all/"),
    case("an archive", "FROM base:1\nADD app.tar /new/"),
    case("a compressed archive", "FROM base:1\nADD app.tar.gz /gz/\nADD app.tar.bz2 /bz2/"),
    case("an archive of xz", "FROM base:1\nADD app.tar.xz /new"),
    case("a compressed file", "FROM base:1\nADD text.gz /new/"),
    case("an archive is copied as it is", "FROM base:1\nCOPY app.tar.gz /new/"),
    case("a directory is added", "FROM base:1\nADD dir /new/"),
    case(
        "variables",
        "FROM base:1\nENV a=one b=\"two words\" c=$a\nENV d=${a:-x}-${none:-y}-${a:+z}-${none:+z}\n\
         ENV old style with blanks\nENV e='$a' f=\\$a g=\"$b\"\nCOPY a.txt /$a/${d}/",
    ),
    case(
        "arguments",
        "ARG global=base\nFROM ${global}:1\nARG global\nARG a=1\nARG b=2\nARG c\n\
         LABEL g=$global a=$a b=$b c=$c",
    )
    .with(&[("b", "given")]),
    case(
        "arguments in programs",
        "FROM base:1\nARG a=1\nARG b=3\nENV b=2\nRUN echo $a $b $none > /out",
    ),
    case(
        "labels",
        "FROM base:1\nLABEL a=1 \"b c\"=\"d e\" multi=\"x\\\n y\"\nLABEL old style\nLABEL a=2",
    ),
    case("ports", "FROM base:1\nENV p=9\nEXPOSE 80 53/udp $p"),
    case("volumes", "FROM base:1\nVOLUME /tmp /home/app"),
    case(
        "volumes are there for programs",
        "FROM base:1 AS a\nUSER app\nVOLUME /v /etc/a/b /lib/c\nRUN ls -d /v /etc/a/b > /tmp/out\n\
         VOLUME /later\nFROM a\nVOLUME /w\nRUN ls -d /later /w > /tmp/out",
    ),
    case("volumes without programs", "FROM scratch\nVOLUME [\"/v\", \"/w x\"]\nCOPY a.txt /"),
    case("users", "FROM base:1\nENV u=app\nUSER $u:staff"),
    case("commands for shells", "FROM base:1\nENTRYPOINT echo a\nCMD echo b"),
    case("commands as they are", "FROM base:1\nCMD [\"a\", \"b c\"]\nENTRYPOINT [\"/e\"]"),
    case(
        "an entry point takes the base's command away",
        "FROM base:1 AS b\nCMD [\"x\"]\nFROM b\nENTRYPOINT [\"/e\"]",
    ),
    case("health", "FROM base:1\nHEALTHCHECK --interval=1m --timeout=3s --retries=4 CMD true"),
    case("no health", "FROM base:1\nHEALTHCHECK NONE"),
    case("shells", "FROM base:1\nSHELL [\"/bin/sh\", \"-ec\"]\nRUN echo $0 > /out"),
    case("signals", "FROM base:1\nSTOPSIGNAL SIGUSR1"),
    case("instructions for later", "FROM base:1\nONBUILD ENV a=1\nONBUILD LABEL b=2"),
    case("instructions of the base", "FROM onbuild:1\nCOPY b.txt /"),
    case(
        "instructions of a stage",
        "FROM base:1 AS a\nENV v=a\nONBUILD COPY a.txt /new/$v\n\
         ONBUILD RUN echo $v > /ran\nONBUILD ENV w=$v\nFROM a AS b\nRUN cat /ran > /ran2\n\
         FROM b\nENV x=b\nRUN echo $w $x >> /ran",
    ),
    case("maintainers", "FROM base:1\nMAINTAINER somebody <a@b>"),
    case("nothing but settings", "FROM scratch\nENV a=b\nCMD [\"/x\"]\nLABEL c=d"),
    case("nothing below", "FROM scratch\nCOPY dir /d/\nCOPY a.txt /"),
    case(
        "stages",
        "FROM base:1 AS one\nRUN echo 1 > /one\nFROM base:1 AS two\nRUN echo 2 > /two\n\
         FROM scratch\nCOPY --from=one /one /x/\nCOPY --from=1 /two /x/",
    ),
    case("a stage on a stage", "FROM base:1 AS one\nENV a=1\nRUN echo > /one\nFROM one\nENV b=$a"),
    case("a stage that is asked for", "FROM base:1 AS one\nENV a=1\nFROM base:1\nENV b=2")
        .of("one"),
    case(
        "owners of stages stay",
        "FROM base:1 AS one\nCOPY --chown=5:6 dir /d\nFROM base:1\nCOPY --from=one /d /e",
    ),
    case("an image as a source", "FROM scratch\nCOPY --from=onbuild:1 /etc/passwd /x"),
    case("what is ignored", "FROM base:1\nCOPY . /all/").without("*.txt\ndir/sub\n**/z\n"),
    case("what is taken in again", "FROM base:1\nCOPY . /all/").without("*\n!a.txt\n!dir/o*\n"),
    case("programs", "FROM base:1\nRUN echo a > /out && chmod 0640 /out && mkdir -p /x/y"),
    case("programs as they are", "FROM base:1\nRUN [\"/bin/sh\", \"-c\", \"echo '$HOME' > /out\"]"),
    case("programs that remove", "FROM base:1\nCOPY dir /d\nRUN rm -r /d/sub /d/one /etc/group"),
    case(
        "programs that replace",
        "FROM base:1\nCOPY dir /d\nRUN rm -r /d && mkdir /d && ln -s a /d/b",
    ),
    case("programs of users", "FROM base:1\nUSER app\nWORKDIR /tmp\nRUN id -u > out; id -g >> out"),
    case(
        "programs over lines",
        "FROM base:1\nRUN echo a \\\n    # a comment\n\n    b > /out \\\n    && echo c >> /out",
    ),
    case("a backtick", "# escape=`\nFROM base:1\nENV a=b`\n c=d\nRUN echo a `\n  b > /out"),
    case("small letters", "from base:1\ncopy a.txt /x\nenv a=b"),
    case("links of programs", "FROM base:1\nRUN echo > /a && ln /a /b && ln -s /a /c"),
];
