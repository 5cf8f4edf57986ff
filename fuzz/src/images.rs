//! Image layouts from text with gaps: the digests and sizes in it are filled in, so that mutations reach
//! what stands behind their verification.
//!
//! Parts are split by two bytes, `FF FE`. The first is `index.json`, the others are blobs. In a part
//! `@N` becomes the digest of part N, `#N` its size and `~N` the digest of what is compressed in it,
//! for parts that stand behind. A part that begins with `tar:`, `tgz:` or `tzs:` is a tar, its
//! checksums made right, and compressed so.

use std::io::Write;

use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_oci::Sha256;

use crate::archive;

/// What splits parts.
const BETWEEN: [u8; 2] = [0xff, 0xfe];
/// More parts than these are not looked at.
const PARTS_MAX: usize = 10;

struct Blob {
    bytes: Vec<u8>,
    digest: String,
    inner: String,
}

/// A tar of the layout.
pub fn assemble(data: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut rest = data;
    while let Some(at) = rest.windows(2).position(|pair| pair == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts.truncate(PARTS_MAX);
    let mut blobs: Vec<Option<Blob>> = parts.iter().map(|_| None).collect();
    for number in (0..parts.len()).rev() {
        blobs[number] = Some(blob(parts[number], &blobs));
    }
    let mut writer = TarWriter::new(Vec::new());
    let mut add = |name: String, content: &[u8]| {
        let mut member = Member::new(name, MemberKind::File, 0o644);
        member.size = content.len() as u64;
        writer.begin(&member).expect("memory takes all");
        writer.write(content).expect("as much as announced");
    };
    add("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#);
    let mut seen = std::collections::BTreeSet::new();
    for (number, blob) in blobs.iter().flatten().enumerate() {
        match number {
            0 => add("index.json".to_owned(), &blob.bytes),
            _ if seen.insert(&blob.digest) => {
                add(format!("blobs/sha256/{}", &blob.digest[7..]), &blob.bytes);
            }
            _ => {}
        }
    }
    writer.finish().expect("memory takes all")
}

fn blob(part: &[u8], behind: &[Option<Blob>]) -> Blob {
    let of = |bytes: Vec<u8>, inner: String| {
        let digest = Sha256::of(&bytes).to_string();
        Blob { bytes, digest, inner }
    };
    let kind = part.get(..4).unwrap_or_default();
    if !matches!(kind, b"tar:" | b"tgz:" | b"tzs:") {
        return of(filled(part, behind), String::new());
    }
    let mut tar = part[4..].to_vec();
    archive::repair(&mut tar);
    let inner = Sha256::of(&tar).to_string();
    let bytes = match kind {
        b"tgz:" => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(&tar).expect("memory takes all");
            encoder.finish().expect("memory takes all")
        }
        b"tzs:" => zstd::encode_all(&tar[..], 1).expect("memory takes all"),
        _ => tar,
    };
    of(bytes, inner)
}

fn filled(part: &[u8], behind: &[Option<Blob>]) -> Vec<u8> {
    let mut filled = Vec::new();
    let mut at = 0;
    while at < part.len() {
        let number = part.get(at + 1).filter(|digit| digit.is_ascii_digit());
        let blob = number.and_then(|digit| behind.get(usize::from(digit - b'0'))?.as_ref());
        match (part[at], blob) {
            (b'@', Some(blob)) => filled.extend(blob.digest.bytes()),
            (b'#', Some(blob)) => filled.extend(blob.bytes.len().to_string().bytes()),
            (b'~', Some(blob)) => filled.extend(blob.inner.bytes()),
            (byte, _) => {
                filled.push(byte);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    filled
}

/// Images to begin with: two layers, an index for platforms, each compression.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let streams = archive::seeds();
    let stream = |name: &str| {
        let found = streams.iter().find(|(other, _)| *other == name);
        found.expect("a seed").1.clone()
    };
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let entry = |number: usize| {
        format!(
            r#"{{"mediaType":"{manifest_type}","digest":"@{number}","size":#{number},"annotations":{{"org.opencontainers.image.ref.name":"a:1"}}}}"#
        )
    };
    let layer = |number: usize, end: &str| {
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar{end}","digest":"@{number}","size":#{number}}}"#
        )
    };
    let image = |first: usize, layers: &[(&str, &str, Vec<u8>)]| -> Vec<Vec<u8>> {
        let at = |number: usize| first + 2 + number;
        let described: Vec<String> =
            layers.iter().enumerate().map(|(number, (_, end, _))| layer(at(number), end)).collect();
        let diff_ids: Vec<String> =
            (0..layers.len()).map(|number| format!("\"~{}\"", at(number))).collect();
        let config = first + 1;
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"{manifest_type}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"@{config}","size":#{config}}},"layers":[{}]}}"#,
            described.join(",")
        );
        let configuration = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}},"history":[{{"created_by":"x","created":"2026-01-02T03:04:05Z"}},{{"empty_layer":true}}]}}"#,
            diff_ids.join(",")
        );
        let mut parts = vec![manifest.into_bytes(), configuration.into_bytes()];
        parts.extend(layers.iter().map(|(kind, _, tar)| [kind.as_bytes(), tar].concat()));
        parts
    };
    let index = |entries: &[String]| {
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(",")).into_bytes()
    };
    let join = |parts: Vec<Vec<u8>>| parts.join(&BETWEEN[..]);
    let plain = || ("tar:", "", stream("plain"));
    let zipped = || ("tgz:", "+gzip", stream("layer"));
    let small = || ("tzs:", "+zstd", stream("sparse"));
    let two = |first| image(first, &[plain(), zipped()]);
    let nested = {
        let inner = format!(
            r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
            entry(2).replace(
                "\"annotations\"",
                "\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"},\"annotations\""
            )
        );
        let outer = entry(1).replace(manifest_type, "application/vnd.oci.image.index.v1+json");
        [vec![index(&[outer]), inner.into_bytes()], image(2, &[small()])].concat()
    };
    vec![
        ("two", join([vec![index(&[entry(1)])], two(1)].concat())),
        ("nested", join(nested)),
        ("empty", join([vec![index(&[entry(1)])], image(1, &[])].concat())),
        ("all", join([vec![index(&[entry(1)])], image(1, &[plain(), zipped(), small()])].concat())),
    ]
}
