//! Tar streams as they come, compressed or not.

use std::io::{BufReader, Cursor, Read};

use sapwood::{Error, ErrorKind, Result};

/// The unit of a tar stream in bytes.
const RECORD_BYTES: usize = 512;
/// Where in a header its checksum stands, and how long it is.
const CHECKSUM: std::ops::Range<usize> = 148..156;
/// So many bytes at the beginning tell every form.
const MAGIC_BYTES: u64 = 6;
/// How much of a stream is read at once.
const BUFFER_BYTES: usize = 1 << 20;
/// How much memory a decoder may take: as much as the compressors' own defaults need at most.
const DECODER_BYTES_MAX: u64 = 256 << 20;

/// Whether a stream is a tar stream, perhaps compressed; judged by its beginning.
pub fn is_archive(input: &mut dyn Read) -> bool {
    // What cannot be read as one is none.
    let Ok(mut stream) = decompressed(input) else { return false };
    let mut record = [0; RECORD_BYTES];
    stream.read_exact(&mut record).is_ok() && is_header(&record)
}

/// The stream without its compression: gzip, bzip2, xz or Zstandard, told by its first bytes. What
/// begins otherwise is taken not to be compressed.
///
/// Errors: [`Unsupported`](ErrorKind::Unsupported) for lz4; what the stream says.
pub fn decompressed<'a>(input: impl Read + 'a) -> Result<Box<dyn Read + 'a>> {
    let failed = |error| Error::io("read an archive", error);
    let mut input = input;
    let mut begin = Vec::new();
    // Of a pipe one read may give less.
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut begin).map_err(failed)?;
    let magic = begin.clone();
    let input = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(begin).chain(input));
    Ok(match &magic[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(DECODER_BYTES_MAX, flags);
            let stream = stream.map_err(|error| failed(error.into()))?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Box::new(zstd::Decoder::with_buffer(input).map_err(failed)?)
        }
        [0x04, 0x22, 0x4d, 0x18, ..] => {
            let error = Error::new(ErrorKind::Unsupported, "read an archive");
            return Err(error.about("compression", "lz4", "none, gzip, bzip2, xz or zstd"));
        }
        _ => Box::new(input),
    })
}

/// Whether a record is the header of a member: its checksum is right.
fn is_header(record: &[u8; RECORD_BYTES]) -> bool {
    let text = String::from_utf8_lossy(&record[CHECKSUM]);
    let text = text.trim_matches(['\0', ' ']);
    let Ok(told) = u32::from_str_radix(text, 8) else { return false };
    let sum: u32 = record
        .iter()
        .enumerate()
        .map(|(at, byte)| if CHECKSUM.contains(&at) { 32 } else { u32::from(*byte) })
        .sum();
    sum == told
}
