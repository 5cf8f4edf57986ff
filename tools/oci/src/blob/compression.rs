//! How layers are compressed, and how that is told.

use oci_spec::image::MediaType;
use sapwood::{Error, ErrorKind, Result};

/// How the tar of a layer is compressed in a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// As everybody reads it.
    #[default]
    Gzip,
    /// Smaller and faster, for newer readers.
    Zstd,
}

impl Compression {
    /// The media type of a layer that is compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Compression::None => MediaType::ImageLayer,
            Compression::Gzip => MediaType::ImageLayerGzip,
            Compression::Zstd => MediaType::ImageLayerZstd,
        }
    }

    /// How a layer of this media type, of OCI or Docker, is compressed.
    ///
    /// Errors: [`ErrorKind::Unsupported`] for layers that are kept elsewhere, for encrypted ones,
    /// and for what is no layer.
    pub fn of_media_type(media_type: &MediaType) -> Result<Compression> {
        const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
        let text = media_type.to_string();
        match media_type {
            MediaType::ImageLayer => return Ok(Compression::None),
            MediaType::ImageLayerGzip => return Ok(Compression::Gzip),
            MediaType::ImageLayerZstd => return Ok(Compression::Zstd),
            _ => {}
        }
        match text.strip_prefix(DOCKER) {
            Some("") => return Ok(Compression::None),
            Some(".gzip") => return Ok(Compression::Gzip),
            Some(".zstd") => return Ok(Compression::Zstd),
            _ => {}
        }
        let expected = if text.ends_with("+encrypted") {
            "a layer that is not encrypted"
        } else if text.contains("foreign") || text.contains("nondistributable") {
            "a layer that is with the image, and not at another place"
        } else {
            "a tar, plain, with gzip or with zstd"
        };
        let shown = text.chars().take(100).collect::<String>();
        let shown = shown.escape_debug();
        Err(Error::new(ErrorKind::Unsupported, "read a layer").about("media type", shown, expected))
    }
}

/// How a file that begins with these bytes is compressed; what begins otherwise is taken not to be.
///
/// Errors: [`ErrorKind::Unsupported`] for what begins as other compressed files do.
pub fn compression_of_bytes(start: &[u8]) -> Result<Compression> {
    let other = match start {
        [0x1f, 0x8b, ..] => return Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return Ok(Compression::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "xz",
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => "bzip2",
        [0x04, 0x22, 0x4d, 0x18, ..] => "lz4",
        _ => return Ok(Compression::None),
    };
    let error = Error::new(ErrorKind::Unsupported, "read an archive");
    Err(error.about("compression", other, "none, gzip or zstd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_say_how_layers_are_compressed() {
        let of = |text: &str| Compression::of_media_type(&MediaType::from(text));
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            assert_eq!(of(compression.media_type().as_ref()).unwrap(), compression);
        }
        let docker = "application/vnd.docker.image.rootfs.diff.tar";
        assert_eq!(of(docker).unwrap(), Compression::None);
        assert_eq!(of(&format!("{docker}.gzip")).unwrap(), Compression::Gzip);
        assert_eq!(of(&format!("{docker}.zstd")).unwrap(), Compression::Zstd);
        for (text, expected) in [
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "another place"),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "another place"),
            ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", "not encrypted"),
            ("application/vnd.oci.image.layer.v1.tar+xz", "with gzip"),
            ("application/vnd.oci.image.config.v1+json", "with gzip"),
            ("", "with gzip"),
        ] {
            let error = of(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn files_say_how_they_are_compressed() {
        assert_eq!(compression_of_bytes(b"").unwrap(), Compression::None);
        assert_eq!(compression_of_bytes(b"etc/").unwrap(), Compression::None);
        assert_eq!(compression_of_bytes(&[0x1f, 0x8b, 8]).unwrap(), Compression::Gzip);
        assert_eq!(compression_of_bytes(&[0x28, 0xb5, 0x2f, 0xfd]).unwrap(), Compression::Zstd);
        for other in [&b"\xfd7zXZ\0"[..], b"BZh91AY", b"\x04\x22\x4d\x18"] {
            let kind = compression_of_bytes(other).unwrap_err().kind();
            assert_eq!(kind, ErrorKind::Unsupported);
        }
    }
}
