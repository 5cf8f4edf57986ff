//! What a blob holds, decompressed in this process.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sapwood::{Error, Result};

use super::Compression;

/// How much of a blob is read at once.
const BUFFER_BYTES: usize = 256 << 10;
/// The largest window of zstd, as a power of two: 128 MiB, as much as `zstd -19 --long` takes and
/// readers have to have. What asks for more is refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Reads what `input` holds: all gzip members or zstd frames that stand in it one behind another.
/// Whatever else stands there is an error.
///
/// Errors of the stream are of the kinds [`InvalidData`](io::ErrorKind::InvalidData),
/// [`InvalidInput`](io::ErrorKind::InvalidInput), [`UnexpectedEof`](io::ErrorKind::UnexpectedEof)
/// and [`Other`](io::ErrorKind::Other).
pub fn decompress<'a>(
    compression: Compression,
    input: impl Read + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>> {
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => {
            let failed = |error: io::Error| Error::io("begin to decompress", error);
            let mut decoder = zstd::Decoder::with_buffer(input).map_err(failed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(failed)?;
            Box::new(decoder)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(compression: Compression, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        decompress(compression, bytes).unwrap().read_to_end(&mut all).map(|_| all)
    }

    #[test]
    fn streams_one_behind_another_are_one_and_rubbish_is_an_error() {
        let compress = |compression, bytes: &[u8]| match compression {
            Compression::Gzip => gzip(bytes),
            _ => zstd::encode_all(bytes, 1).unwrap(),
        };
        for compression in [Compression::Gzip, Compression::Zstd] {
            let compress = |bytes: &[u8]| compress(compression, bytes);
            let both = [compress(b"sap"), compress(b""), compress(b"wood")].concat();
            assert_eq!(read(compression, &both).unwrap(), b"sapwood");
            for rubbish in [&b"\0"[..], b"x", b"\x1f", b"\x1f\x8b", b"\x28\xb5", &[0; 512]] {
                let bytes = [&both[..], rubbish].concat();
                assert!(read(compression, &bytes).is_err(), "{compression:?} {rubbish:?}");
            }
            for length in 1..both.len() - 1 {
                let read = read(compression, &both[..length]);
                // Between two streams it is whole.
                assert!(read.is_err() || read.unwrap().len() < 7, "{compression:?} {length}");
            }
        }
    }

    #[test]
    fn a_window_that_nobody_has_to_have_is_refused() {
        let with_window = |log| {
            let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.long_distance_matching(true).unwrap();
            encoder.write_all(&[7; 1 << 20]).unwrap();
            encoder.finish().unwrap()
        };
        assert!(read(Compression::Zstd, &with_window(27)).is_ok());
        let error = read(Compression::Zstd, &with_window(30)).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
