//! Bodies as they are coded.

use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use brotli::CompressorWriter;
use flate2::write::GzEncoder;
use zstd::stream::raw::CParameter;

use crate::snapshot::ContentCoding;

/// Codes a body, piece by piece.
pub(in crate::plane::l7) struct Compressor {
    encoder: Encoder,
    /// Whether it was given data that may not have come out yet.
    holds: bool,
    /// Whether the encoder has failed, which no data can cause; nothing comes out of it any more.
    failed: bool,
    /// Counts it among those of the worker.
    _place: Rc<()>,
}

/// Each writes to a vector that is emptied after every piece.
enum Encoder {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Br(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Compressor {
    /// Begins a body. `place` is held as long as it lives.
    pub(in crate::plane::l7) fn new(coding: ContentCoding, place: Rc<()>) -> io::Result<Self> {
        let encoder = match coding {
            ContentCoding::Zstd => Encoder::Zstd(zstd_encoder()?),
            ContentCoding::Br => Encoder::Br(Box::new(CompressorWriter::new(
                Vec::new(),
                BUFFER_BYTES,
                BROTLI_QUALITY,
                BROTLI_WINDOW,
            ))),
            ContentCoding::Gzip => {
                Encoder::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
        };
        Ok(Self { encoder, holds: false, failed: false, _place: place })
    }

    /// Takes a piece of the body and gives to `out` what has come of it, which may be nothing yet.
    pub(in crate::plane::l7) fn data(&mut self, data: &[u8], out: impl FnOnce(&[u8])) {
        self.holds = true;
        self.failed |= self.encoder.writer().write_all(data).is_err();
        self.give(out);
    }

    /// Gives everything to `out` that it was given, so that the client can read as far.
    pub(super) fn flush(&mut self, out: impl FnOnce(&[u8])) -> io::Result<()> {
        self.check()?;
        if std::mem::take(&mut self.holds) {
            self.encoder.writer().flush()?;
            self.give(out);
        }
        Ok(())
    }

    /// Ends the body, and gives the rest to `out`.
    pub(super) fn finish(self, out: impl FnOnce(&[u8])) -> io::Result<()> {
        self.check()?;
        let rest = match self.encoder {
            Encoder::Zstd(encoder) => encoder.finish()?,
            Encoder::Br(encoder) => encoder.into_inner(),
            Encoder::Gzip(encoder) => encoder.finish()?,
        };
        out(&rest);
        Ok(())
    }

    /// Whether everything went well so far.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.failed { Err(io::ErrorKind::Other.into()) } else { Ok(()) }
    }

    fn give(&mut self, out: impl FnOnce(&[u8])) {
        let coded = match &mut self.encoder {
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Br(encoder) => encoder.get_mut(),
            Encoder::Gzip(encoder) => encoder.get_mut(),
        };
        if !coded.is_empty() {
            out(coded);
            coded.clear();
        }
    }
}

impl Encoder {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Zstd(encoder) => encoder,
            Self::Br(encoder) => encoder,
            Self::Gzip(encoder) => encoder,
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("holds", &self.holds).finish_non_exhaustive()
    }
}

/// A small window and small tables: what is usual takes several MiB a response.
fn zstd_encoder() -> io::Result<zstd::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    for (parameter, value) in [
        (CParameter::WindowLog as fn(u32) -> CParameter, ZSTD_WINDOW),
        (CParameter::HashLog, ZSTD_WINDOW - 1),
        (CParameter::ChainLog, ZSTD_WINDOW - 1),
    ] {
        encoder.set_parameter(parameter(value))?;
    }
    Ok(encoder)
}

const GZIP_LEVEL: u32 = 5;
const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: u32 = 4;
/// Windows, as powers of two.
const ZSTD_WINDOW: u32 = 17;
const BROTLI_WINDOW: u32 = 16;
const BUFFER_BYTES: usize = 4 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::super::COMPRESSOR_BYTES;
    use super::*;
    use crate::snapshot::ContentCodings;

    fn compressor(coding: ContentCoding) -> Compressor {
        Compressor::new(coding, Rc::default()).expect("a compressor")
    }

    /// As much as can be read of what may not be whole yet.
    fn read(coding: ContentCoding, coded: &[u8]) -> Vec<u8> {
        let mut reader: Box<dyn Read + '_> = match coding {
            ContentCoding::Zstd => Box::new(zstd::Decoder::new(coded).expect("a decoder")),
            ContentCoding::Br => Box::new(brotli::Decompressor::new(coded, 4096)),
            ContentCoding::Gzip => Box::new(flate2::read::GzDecoder::new(coded)),
        };
        let (mut plain, mut piece) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            plain.extend_from_slice(&piece[..length]);
        }
        plain
    }

    proptest! {
        #[test]
        fn what_was_flushed_can_be_read_and_in_the_end_everything(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..5000), any::<bool>()), 0..8),
        ) {
            for coding in ContentCodings::ALL.iter() {
                let (mut plain, mut coded) = (Vec::new(), Vec::new());
                let mut compressor = compressor(coding);
                for (piece, flushes) in &pieces {
                    plain.extend_from_slice(piece);
                    compressor.data(piece, |it| coded.extend_from_slice(it));
                    if *flushes {
                        compressor.flush(|it| coded.extend_from_slice(it)).expect("it takes all");
                        prop_assert_eq!(&read(coding, &coded), &plain, "{} so far", coding);
                    }
                }
                compressor.finish(|it| coded.extend_from_slice(it)).expect("it takes all");
                prop_assert_eq!(&read(coding, &coded), &plain, "{}", coding);
            }
        }
    }

    #[test]
    fn a_compressor_is_small_and_what_it_makes_is_smaller() {
        let line =
            |number: usize| format!("{{\"number\": {number}, \"name\": \"n{}\"}}\n", number % 7);
        let plain: String = (0..100_000).map(line).collect();
        for coding in ContentCodings::ALL.iter() {
            let mut length = 0;
            let measured = allocation_counter::measure(|| {
                let mut compressor = compressor(coding);
                for piece in plain.as_bytes().chunks(64 * 1024) {
                    compressor.data(piece, |it| length += it.len());
                }
                compressor.finish(|it| length += it.len()).expect("it takes all");
            });
            let bytes = usize::try_from(measured.bytes_max).expect("some bytes");
            eprintln!("{coding}: {bytes} bytes of memory, {} to {length}", plain.len());
            assert!(bytes < COMPRESSOR_BYTES, "{coding} takes {bytes}");
            assert!(length < plain.len() / 5, "{coding}: {length}");
        }
    }
}
