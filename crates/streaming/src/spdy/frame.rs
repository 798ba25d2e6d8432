//! Frames of SPDY/3.1 and their encoding.
//! Source: draft-mbelshe-httpbis-spdy-00 (SPDY/3), with the session window of SPDY/3.1.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::header::{Headers, Packer, Unpacker, invalid};

/// Version in every control frame.
const VERSION: u16 = 3;
/// Bytes before a frame's payload.
const HEAD: usize = 8;
/// Longest control frame that is taken.
const MAX_CONTROL: usize = 256 * 1024;
/// Longest piece of a data frame that is given on at once.
const PIECE: usize = 64 * 1024;
/// The setting by which an end says how much each of its streams takes before it is consumed.
const INITIAL_WINDOW_SIZE: u32 = 7;

/// Flag: the sender sends no more on this stream.
const FIN: u8 = 1;

/// Why a stream was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Reset {
    /// The stream breaks the protocol.
    ProtocolError = 1,
    /// A frame for a stream that is not open.
    InvalidStream = 2,
    /// The peer takes no more streams.
    Refused = 3,
    /// Nobody is interested any more.
    Cancel = 5,
}

/// One frame. Data frames may be read in several pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Opens a stream.
    SynStream {
        /// Odd if a client opens it, even if a server does.
        id: u32,
        /// The opener sends nothing.
        fin: bool,
        /// What the stream is for.
        headers: Headers,
    },
    /// Accepts a stream.
    SynReply {
        /// The stream.
        id: u32,
        /// The acceptor sends nothing.
        fin: bool,
        /// Usually none.
        headers: Headers,
    },
    /// Ends a stream at once, in both directions.
    RstStream {
        /// The stream.
        id: u32,
        /// Reason, see [`Reset`].
        status: u32,
    },
    /// Settings as (id, value).
    Settings(Vec<(u32, u32)>),
    /// To be sent back as it is.
    Ping(u32),
    /// The sender takes no new streams.
    GoAway {
        /// Last stream that the sender took.
        last: u32,
        /// 0: nothing is wrong.
        status: u32,
    },
    /// More headers of an open stream.
    Headers {
        /// The stream.
        id: u32,
        /// The sender sends no more.
        fin: bool,
        /// The headers.
        headers: Headers,
    },
    /// The sender takes so many bytes more.
    WindowUpdate {
        /// The stream; 0: the whole connection.
        id: u32,
        /// Bytes.
        delta: u32,
    },
    /// Bytes of a stream.
    Data {
        /// The stream.
        id: u32,
        /// The sender sends no more.
        fin: bool,
        /// At most 64 KiB when read.
        data: Bytes,
    },
    /// A control frame of a type that nobody needs.
    Unknown(u16),
}

impl Frame {
    /// The setting that makes the peer obey windows of `bytes`.
    pub(super) fn initial_window(bytes: u32) -> Self {
        Self::Settings(vec![(INITIAL_WINDOW_SIZE, bytes)])
    }

    /// The window that a settings frame asks for.
    pub(super) fn asked_window(settings: &[(u32, u32)]) -> Option<u32> {
        settings.iter().find(|(id, _)| *id == INITIAL_WINDOW_SIZE).map(|(_, value)| *value)
    }

    /// Appends the frame as it goes over the wire.
    pub fn encode(&self, packer: &mut Packer, out: &mut BytesMut) {
        match self {
            Self::Data { id, fin, data } => {
                out.put_u32(*id & 0x7fff_ffff);
                out.put_u32(u32::from(*fin) << 24 | data.len() as u32);
                out.put_slice(data);
            }
            Self::SynStream { id, fin, headers } => {
                let block = packer.pack(headers);
                control(out, 1, *fin, 10 + block.len());
                out.put_u32(*id);
                // No associated stream, priority 0, slot 0.
                out.put_slice(&[0; 6]);
                out.put_slice(&block);
            }
            Self::SynReply { id, fin, headers } => with_headers(out, 2, *id, *fin, &packer.pack(headers)),
            Self::Headers { id, fin, headers } => with_headers(out, 8, *id, *fin, &packer.pack(headers)),
            Self::RstStream { id, status } => pair(out, 3, *id, *status),
            Self::GoAway { last, status } => pair(out, 7, *last, *status),
            Self::WindowUpdate { id, delta } => pair(out, 9, *id, *delta),
            Self::Ping(id) => {
                control(out, 6, false, 4);
                out.put_u32(*id);
            }
            Self::Settings(settings) => {
                control(out, 4, false, 4 + 8 * settings.len());
                out.put_u32(settings.len() as u32);
                for (id, value) in settings {
                    out.put_u32(*id & 0x00ff_ffff);
                    out.put_u32(*value);
                }
            }
            Self::Unknown(kind) => control(out, *kind, false, 0),
        }
    }

    fn decode(kind: u16, flags: u8, mut body: Bytes, unpacker: &mut Unpacker) -> io::Result<Self> {
        let fin = flags & FIN != 0;
        let number = |body: &mut Bytes| body.try_get_u32().map_err(|_| invalid("a control frame ends early"));
        Ok(match kind {
            1 => {
                let id = number(&mut body)? & 0x7fff_ffff;
                if body.len() < 6 {
                    return Err(invalid("a control frame ends early"));
                }
                Self::SynStream { id, fin, headers: unpacker.unpack(&body[6..])? }
            }
            2 => Self::SynReply { id: number(&mut body)? & 0x7fff_ffff, fin, headers: unpacker.unpack(&body)? },
            8 => Self::Headers { id: number(&mut body)? & 0x7fff_ffff, fin, headers: unpacker.unpack(&body)? },
            3 => Self::RstStream { id: number(&mut body)? & 0x7fff_ffff, status: number(&mut body)? },
            4 => {
                let count = number(&mut body)?.min(64);
                let mut settings = Vec::new();
                for _ in 0..count {
                    settings.push((number(&mut body)? & 0x00ff_ffff, number(&mut body)?));
                }
                Self::Settings(settings)
            }
            6 => Self::Ping(number(&mut body)?),
            7 => Self::GoAway { last: number(&mut body)?, status: number(&mut body).unwrap_or(0) },
            9 => Self::WindowUpdate { id: number(&mut body)? & 0x7fff_ffff, delta: number(&mut body)? & 0x7fff_ffff },
            other => Self::Unknown(other),
        })
    }
}

fn control(out: &mut BytesMut, kind: u16, fin: bool, length: usize) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
    out.put_u32(u32::from(fin) << 24 | length as u32);
}

fn with_headers(out: &mut BytesMut, kind: u16, id: u32, fin: bool, block: &[u8]) {
    control(out, kind, fin, 4 + block.len());
    out.put_u32(id);
    out.put_slice(block);
}

fn pair(out: &mut BytesMut, kind: u16, a: u32, b: u32) {
    control(out, kind, false, 8);
    out.put_u32(a);
    out.put_u32(b);
}

/// Reads frames from a byte stream.
#[derive(Debug)]
pub struct FrameReader<R> {
    io: R,
    buffer: BytesMut,
    unpacker: Unpacker,
    /// What is still to come of a data frame: stream, bytes, FIN.
    rest: Option<(u32, usize, bool)>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads from `io`, from the start of a connection.
    pub fn new(io: R) -> Self {
        Self { io, buffer: BytesMut::with_capacity(PIECE), unpacker: Unpacker::default(), rest: None }
    }

    /// The next frame; `None` at the end of the byte stream. Not safe to cancel in the middle of a frame's read only
    /// in that bytes are never lost: what was read stays in the buffer.
    ///
    /// # Errors
    /// If the bytes are no SPDY/3, a frame is too long, or reading fails.
    pub async fn next(&mut self) -> io::Result<Option<Frame>> {
        if let Some((id, left, fin)) = self.rest {
            return self.piece(id, left, fin).await.map(Some);
        }
        if !self.fill(HEAD).await? {
            return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let (first, second) = (be32(&self.buffer[..4]), be32(&self.buffer[4..8]));
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first & 0x8000_0000 == 0 {
            self.buffer.advance(HEAD);
            return self.piece(first, length, flags & FIN != 0).await.map(Some);
        }
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err(invalid("not SPDY/3"));
        }
        if length > MAX_CONTROL {
            return Err(invalid("a control frame is too long"));
        }
        if !self.fill(HEAD + length).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.advance(HEAD);
        let body = self.buffer.split_to(length).freeze();
        Frame::decode((first & 0xffff) as u16, flags, body, &mut self.unpacker).map(Some)
    }

    async fn piece(&mut self, id: u32, left: usize, fin: bool) -> io::Result<Frame> {
        self.rest = Some((id, left, fin));
        if left > 0 && self.buffer.is_empty() && !self.fill(1).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let now = left.min(self.buffer.len()).min(PIECE);
        let data = self.buffer.split_to(now).freeze();
        let last = now == left;
        self.rest = (!last).then_some((id, left - now, fin));
        Ok(Frame::Data { id, fin: fin && last, data })
    }

    /// Reads until `length` bytes are there; false if the stream ends before.
    async fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.buffer.len() < length {
            self.buffer.reserve(PIECE);
            if self.io.read_buf(&mut self.buffer).await? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes were asked for"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers() -> impl Strategy<Value = Headers> {
        let pair = ("[a-z][a-z0-9-]{0,20}", "\\PC{0,40}");
        proptest::collection::vec(pair, 0..6)
            .prop_map(|all| all.into_iter().fold(Headers::new(), |headers, (name, value)| headers.with(&name, value)))
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let id = 1..0x7fff_ffffu32;
        prop_oneof![
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynStream { id, fin, headers }),
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
            (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
            (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::RstStream { id, status }),
            proptest::collection::vec((0..0x00ff_ffffu32, any::<u32>()), 0..5).prop_map(Frame::Settings),
            any::<u32>().prop_map(Frame::Ping),
            (any::<u32>(), any::<u32>()).prop_map(|(last, status)| Frame::GoAway { last, status }),
            (id.clone(), 0..0x7fff_ffffu32).prop_map(|(id, delta)| Frame::WindowUpdate { id, delta }),
            (id, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..2000))
                .prop_map(|(id, fin, data)| Frame::Data { id, fin, data: data.into() }),
        ]
    }

    /// Joins the pieces of data frames, as frames may be cut where reads end.
    async fn read_all(bytes: &[u8], cut: usize) -> io::Result<Vec<Frame>> {
        let (mut near, far) = tokio::io::duplex(cut);
        let bytes = bytes.to_vec();
        let writer = tokio::spawn(async move {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &bytes).await;
        });
        let mut reader = FrameReader::new(far);
        let mut frames: Vec<Frame> = Vec::new();
        let mut open = false;
        while let Some(frame) = reader.next().await? {
            let more = reader.rest.is_some();
            match (frame, frames.last_mut()) {
                (Frame::Data { data, fin, .. }, Some(Frame::Data { data: before, fin: ended, .. })) if open => {
                    *before = [before.as_ref(), data.as_ref()].concat().into();
                    *ended = fin;
                }
                (frame, _) => frames.push(frame),
            }
            open = more;
        }
        writer.await.unwrap();
        Ok(frames)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_written_is_read(frames in proptest::collection::vec(frame(), 0..8), cut in 1usize..300) {
            let (mut packer, mut out) = (Packer::default(), BytesMut::new());
            for frame in &frames {
                frame.encode(&mut packer, &mut out);
            }
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            prop_assert_eq!(runtime.block_on(read_all(&out, cut)).unwrap(), frames);
        }

        #[test]
        fn rubbish_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(read_all(&bytes, 64));
            let mut control = vec![0x80, 3, 0, 1];
            control.extend(bytes);
            let _ = runtime.block_on(read_all(&control, 64));
        }
    }
}
