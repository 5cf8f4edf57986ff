//! Images made by hand: their blobs and documents, right or wrong, in a folder or a tar.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use sapwood_archive::tar::{Member, MemberKind, TarWriter};
use sapwood_oci::{Compression, Sha256};
use serde_json::{Value, json};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const CONFIGURATION: &str = "application/vnd.oci.image.config.v1+json";

/// A member of a layer, and its content.
pub type Entry = (Member, Vec<u8>);

pub fn file(name: &str, content: &[u8]) -> Entry {
    let mut member = Member::new(name, MemberKind::File, 0o644);
    member.size = content.len() as u64;
    (member, content.to_vec())
}

pub fn other(name: &str, kind: MemberKind) -> Entry {
    (Member::new(name, kind, 0o755), Vec::new())
}

pub fn directory(name: &str) -> Entry {
    other(name, MemberKind::Directory)
}

pub fn symlink(name: &str, target: &str) -> Entry {
    other(name, MemberKind::Symlink(target.into()))
}

pub fn hard_link(name: &str, target: &str) -> Entry {
    other(name, MemberKind::HardLink(target.into()))
}

pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for (member, content) in entries {
        writer.begin(member).unwrap();
        writer.write(content).unwrap();
    }
    writer.finish().unwrap()
}

pub fn compressed(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

pub fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    let digest = Sha256::of(bytes).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

/// A layer as its blob and what is said of it.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub media_type: String,
    pub diff_id: String,
}

impl Layer {
    pub fn new(tar: &[u8], compression: Compression) -> Layer {
        Layer {
            blob: compressed(compression, tar),
            media_type: compression.media_type().to_string(),
            diff_id: Sha256::of(tar).to_string(),
        }
    }

    pub fn of(entries: &[Entry]) -> Layer {
        Layer::new(&tar(entries), Compression::Gzip)
    }
}

/// The files of an image layout.
#[derive(Clone, Default)]
pub struct Crafted {
    pub files: BTreeMap<String, Vec<u8>>,
    pub manifests: Vec<Value>,
}

impl Crafted {
    /// A layout with one image.
    pub fn image(name: &str, layers: &[Layer]) -> Crafted {
        let mut crafted = Crafted::default();
        crafted.add(name, layers, |_| {}, |_| {});
        crafted
    }

    /// Adds an image; its configuration and its manifest may be changed before they are digested.
    pub fn add(
        &mut self,
        name: &str,
        layers: &[Layer],
        of_configuration: impl FnOnce(&mut Value),
        of_manifest: impl FnOnce(&mut Value),
    ) {
        let mut entry = self.add_manifest(layers, of_configuration, of_manifest);
        if !name.is_empty() {
            entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        }
        self.manifests.push(entry);
    }

    /// Adds a manifest, and gives its descriptor.
    pub fn add_manifest(
        &mut self,
        layers: &[Layer],
        of_configuration: impl FnOnce(&mut Value),
        of_manifest: impl FnOnce(&mut Value),
    ) -> Value {
        let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.diff_id).collect();
        let step = |number| json!({ "created_by": format!("step {number}"), "created": "2026-01-02T03:04:05Z" });
        let history: Vec<Value> = (0..layers.len()).map(step).collect();
        let mut configuration = json!({
            "architecture": "amd64", "os": "linux", "config": { "Cmd": ["sh"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids }, "history": history,
        });
        of_configuration(&mut configuration);
        let configuration = configuration.to_string().into_bytes();
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                self.add_blob(&layer.blob);
                descriptor(&layer.media_type, &layer.blob)
            })
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
            "config": descriptor(CONFIGURATION, &configuration),
        });
        self.add_blob(&configuration);
        of_manifest(&mut manifest);
        self.add_document(MANIFEST, &manifest)
    }

    /// Adds a document, and gives its descriptor.
    pub fn add_document(&mut self, media_type: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        self.add_blob(&bytes);
        descriptor(media_type, &bytes)
    }

    pub fn add_blob(&mut self, bytes: &[u8]) {
        self.files.insert(blob_path(bytes), bytes.to_vec());
    }

    /// All files, with what makes them a layout.
    pub fn layout(&self) -> BTreeMap<String, Vec<u8>> {
        let index = json!({ "schemaVersion": 2, "manifests": self.manifests });
        let mut files = self.files.clone();
        let mut add = |name: &str, bytes: Vec<u8>| {
            files.entry(name.to_owned()).or_insert(bytes);
        };
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
        add("index.json", index.to_string().into_bytes());
        files
    }

    pub fn write(&self, folder: &Path) {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        for (name, bytes) in self.layout() {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }

    pub fn to_tar(&self) -> Vec<u8> {
        files_to_tar(&self.layout())
    }
}

pub fn blob_path(bytes: &[u8]) -> String {
    format!("blobs/sha256/{}", Sha256::of(bytes).to_hex())
}

pub fn files_to_tar(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let entries: Vec<Entry> = files.iter().map(|(name, bytes)| file(name, bytes)).collect();
    tar(&entries)
}
