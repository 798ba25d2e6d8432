//! Header blocks: names and values, compressed with one zlib stream per direction of a connection.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::dictionary::DICTIONARY;

/// Most bytes that one header block may have once it is unpacked.
const MAX_BLOCK: usize = 64 * 1024;
/// Most headers in one block.
const MAX_HEADERS: u32 = 256;

/// Headers of a stream. Names are compared without regard to case; a name has one value here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.put_u32(self.0.len() as u32);
        for (name, value) in &self.0 {
            for text in [name, value] {
                out.put_u32(text.len() as u32);
                out.put_slice(text.as_bytes());
            }
        }
        out
    }

    fn decode(mut block: Bytes) -> io::Result<Self> {
        let count = number(&mut block)?;
        if count > MAX_HEADERS {
            return Err(invalid("too many headers"));
        }
        let mut headers = Self::default();
        for _ in 0..count {
            let (name, value) = (text(&mut block)?, text(&mut block)?);
            headers.0.push((name.to_ascii_lowercase(), value));
        }
        Ok(headers)
    }
}

fn number(block: &mut Bytes) -> io::Result<u32> {
    block.try_get_u32().map_err(|_| invalid("a header block ends early"))
}

fn text(block: &mut Bytes) -> io::Result<String> {
    let length = number(block)? as usize;
    if length > block.len() {
        return Err(invalid("a header block ends early"));
    }
    String::from_utf8(block.split_to(length).into()).map_err(|_| invalid("a header is not UTF-8"))
}

pub(super) fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

/// Packs the header blocks that this end sends, in the order in which they are sent.
#[derive(Debug)]
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Self {
        let mut zlib = Compress::new(Compression::best(), true);
        zlib.set_dictionary(DICTIONARY).expect("a fresh compressor takes a dictionary");
        Self(zlib)
    }
}

impl Packer {
    /// One block, flushed so that the peer can read it at once.
    pub fn pack(&mut self, headers: &Headers) -> Vec<u8> {
        let plain = headers.encode();
        let mut out = Vec::with_capacity(plain.len() + 64);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            out.reserve(64);
            let status = self.0.compress_vec(&plain[done..], &mut out, FlushCompress::Sync);
            status.expect("a compressor in use refuses nothing");
            let all_in = (self.0.total_in() - start) as usize == plain.len();
            // Room left over says that nothing waits inside.
            if all_in && out.len() < out.capacity() {
                return out;
            }
        }
    }
}

/// Unpacks the header blocks that the peer sends, in the order in which they come.
#[derive(Debug)]
pub struct Unpacker(Decompress);

impl Default for Unpacker {
    fn default() -> Self {
        Self(Decompress::new(true))
    }
}

impl Unpacker {
    /// One block.
    ///
    /// # Errors
    /// If it is not zlib with SPDY's dictionary, is too large once unpacked, or holds no headers.
    pub fn unpack(&mut self, packed: &[u8]) -> io::Result<Headers> {
        let mut plain = Vec::with_capacity(1024);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            plain.reserve(1024);
            match self.0.decompress_vec(&packed[done..], &mut plain, FlushDecompress::Sync) {
                // No room was needed and nothing could be done: this is all.
                Ok(Status::StreamEnd | Status::BufError) => break,
                Ok(Status::Ok) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(DICTIONARY).map_err(|_| invalid("unknown compression dictionary"))?;
                    continue;
                }
                Err(_) => return Err(invalid("a header block is not compressed as SPDY says")),
            }
            if plain.len() > MAX_BLOCK {
                return Err(invalid("a header block is too large"));
            }
            let all_in = (self.0.total_in() - start) as usize == packed.len();
            if all_in && plain.len() < plain.capacity() {
                break;
            }
        }
        Headers::decode(plain.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's compress/zlib writes for a block with one header, `streamtype: error`, flushed: the first bytes are
    /// zlib's header with FDICT and the dictionary's Adler-32, the same for every SPDY/3 connection.
    #[test]
    fn block_starts_as_every_spdy_connection() {
        let block = Packer::default().pack(&Headers::new().with("streamType", "error"));
        assert_eq!(block[1] & 0x20, 0x20, "FDICT");
        assert_eq!(block[2..6], [0xe3, 0xc6, 0xa7, 0xc2]);
        assert_eq!(block[block.len() - 4..], [0, 0, 0xff, 0xff], "ends with a sync flush");
    }

    #[test]
    fn known_block_is_unpacked() {
        // Made with Python's zlib.compressobj(9, zdict=...): an independent implementation (zlib 1.2.13).
        let block = include_bytes!("testdata/stream_stdout.bin");
        let headers = Unpacker::default().unpack(block).unwrap();
        assert_eq!(headers, Headers::new().with("streamtype", "stdout").with("port", "8080"));
    }

    #[test]
    fn blocks_share_one_zlib_stream() {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        for name in ["error", "stdin", "stdout", "stderr", "resize", "stdin"] {
            let headers = Headers::new().with("streamType", name).with("x", "y".repeat(3000));
            assert_eq!(unpacker.unpack(&packer.pack(&headers)).unwrap(), headers);
        }
        assert_eq!(unpacker.unpack(&packer.pack(&Headers::new())).unwrap(), Headers::new());
    }

    #[test]
    fn rubbish_is_refused() {
        assert!(Unpacker::default().unpack(b"rubbish").is_err());
        assert!(Unpacker::default().unpack(b"").is_err());
        let bomb = Packer::default().pack(&Headers::new().with("a", "b".repeat(1 << 20)));
        assert!(Unpacker::default().unpack(&bomb).is_err());
    }
}
