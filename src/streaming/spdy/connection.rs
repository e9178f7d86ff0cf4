//! One connection's state: its streams, what each may still send, and the bytes that wait for the peer.

use super::frame::{Control, Decoder, Frame, FrameError, STREAM_MASK, write_control, write_data};
use super::headers::{self, Headers, HeadersError};
use super::inflate::{InflateError, Inflater, stored};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeMap;

pub type StreamId = u32;

/// Streams open at once. A forwarded connection has two, and kubectl opens one for each connection it takes.
pub const STREAMS_MAX: usize = 512;
/// A stream's window until SETTINGS say otherwise (section 2.6.8).
const WINDOW_BYTES: i64 = 64 * 1024;
/// A window may not grow past this (section 2.6.8).
const WINDOW_BYTES_MAX: i64 = 0x7fff_ffff;
/// Bytes taken from a stream before the peer is told: half a window keeps it busy.
const UPDATE_BYTES: u32 = 32 * 1024;

// Codes of RST_STREAM (section 2.6.3).
const PROTOCOL_ERROR: u32 = 1;
const INVALID_STREAM: u32 = 2;
const REFUSED_STREAM: u32 = 3;
const CANCEL: u32 = 5;
const FLOW_CONTROL_ERROR: u32 = 7;
// Codes of GOAWAY (section 2.6.6).
const GOAWAY_OK: u32 = 0;
const GOAWAY_PROTOCOL_ERROR: u32 = 1;

/// Whose streams have odd numbers: the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream; it waits for [`Connection::reply`].
    Opened {
        stream: StreamId,
        headers: Headers,
    },
    /// The peer took our stream.
    Replied {
        stream: StreamId,
    },
    Data {
        stream: StreamId,
        bytes: Bytes,
    },
    /// The peer has nothing more to say on this stream.
    Finished {
        stream: StreamId,
    },
    /// The stream is over, whatever was on its way.
    Reset {
        stream: StreamId,
    },
    /// A stream may send again.
    Writable {
        stream: StreamId,
    },
    /// The peer takes no new streams.
    GoneAway,
}

/// Why a connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Inflate(#[from] InflateError),
    #[error(transparent)]
    Headers(#[from] HeadersError),
    #[error("stream {0} cannot be opened: its number is not the next of the peer's")]
    Number(StreamId),
    #[error("no more streams can be opened on this connection")]
    Full,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    /// We have said that nothing more comes.
    we_ended: bool,
    they_ended: bool,
    replied: bool,
    send_window: i64,
    /// Taken since the peer was last told.
    taken: u32,
}

#[derive(Debug)]
pub struct Connection {
    role: Role,
    decoder: Decoder,
    inflater: Inflater,
    streams: BTreeMap<StreamId, Stream>,
    next_own: StreamId,
    last_theirs: StreamId,
    /// The peer has shown that it counts windows. Kubernetes' Go library does not: held to 64 KiB without ever a
    /// WINDOW_UPDATE, every stream to it would stop.
    peer_counts: bool,
    initial_window: i64,
    sent_headers: bool,
    gone_away: bool,
    output: BytesMut,
}

impl Connection {
    pub fn new(role: Role) -> Connection {
        Connection {
            role,
            decoder: Decoder::default(),
            inflater: Inflater::default(),
            streams: BTreeMap::new(),
            next_own: if role == Role::Client { 1 } else { 2 },
            last_theirs: 0,
            peer_counts: false,
            initial_window: WINDOW_BYTES,
            sent_headers: false,
            gone_away: false,
            output: BytesMut::new(),
        }
    }

    /// Bytes that wait for the peer. Whoever carries them takes them from the front.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Takes from `input` until something happened; `None` when it is used up. After an error a GOAWAY waits in
    /// [`Self::output`], and nothing else may be received.
    pub fn receive(&mut self, input: &mut Bytes) -> Result<Option<Event>, SpdyError> {
        let result = self.next_event(input);
        if result.is_err() {
            self.go_away(GOAWAY_PROTOCOL_ERROR);
        }
        result
    }

    fn next_event(&mut self, input: &mut Bytes) -> Result<Option<Event>, SpdyError> {
        while let Some(frame) = self.decoder.next(input)? {
            let event = match frame {
                Frame::Data { stream, bytes, fin } => self.data(stream, bytes, fin),
                Frame::Control(control) => self.control(control)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    /// An event for the bytes; the end, where it comes with them, is put back as an empty last piece.
    fn data(&mut self, id: StreamId, bytes: Bytes, fin: bool) -> Option<Event> {
        let Some(stream) = self.streams.get_mut(&id) else {
            // Ours to forget: the peer may not know yet that the stream is over. Told once per frame's end.
            if fin || !bytes.is_empty() {
                self.send_reset(id, INVALID_STREAM);
            }
            return None;
        };
        if stream.they_ended {
            self.drop_stream(id, PROTOCOL_ERROR);
            return Some(Event::Reset { stream: id });
        }
        if !bytes.is_empty() {
            if fin {
                self.decoder.put_back_end(id);
            }
            return Some(Event::Data { stream: id, bytes });
        }
        if !fin {
            return None;
        }
        stream.they_ended = true;
        self.forget_if_over(id);
        Some(Event::Finished { stream: id })
    }

    fn control(&mut self, control: Control) -> Result<Option<Event>, SpdyError> {
        match control {
            Control::SynStream {
                stream,
                fin,
                unidirectional,
                block,
            } => self.opened(stream, fin, unidirectional, &block),
            Control::SynReply {
                stream: id,
                fin,
                block,
            } => {
                // Unpacked even where nobody reads it: the compression has one state for all.
                self.inflater.block(&block)?;
                let Some(stream) = self.streams.get_mut(&id) else {
                    self.send_reset(id, INVALID_STREAM);
                    return Ok(None);
                };
                stream.replied = true;
                if fin {
                    self.decoder.put_back_end(id);
                }
                Ok(Some(Event::Replied { stream: id }))
            }
            Control::Headers {
                stream: id,
                fin,
                block,
            } => {
                self.inflater.block(&block)?;
                if fin && self.streams.contains_key(&id) {
                    self.decoder.put_back_end(id);
                }
                Ok(None)
            }
            Control::RstStream { stream, .. } => Ok(self
                .streams
                .remove(&stream)
                .map(|_| Event::Reset { stream })),
            Control::Settings { initial_window } => {
                if let Some(window) = initial_window {
                    self.peer_counts = true;
                    let change = i64::from(window) - self.initial_window;
                    self.initial_window = i64::from(window);
                    for stream in self.streams.values_mut() {
                        stream.send_window += change;
                    }
                }
                Ok(None)
            }
            Control::Ping { id } => {
                // Odd ones are the client's; the answer to one of ours needs none.
                if (id & 1 == 1) == (self.role == Role::Server) {
                    write_control(&mut self.output, &Control::Ping { id });
                }
                Ok(None)
            }
            Control::GoAway { .. } => {
                self.gone_away = true;
                Ok(Some(Event::GoneAway))
            }
            Control::WindowUpdate { stream: id, delta } => {
                self.peer_counts = true;
                let Some(stream) = self.streams.get_mut(&id) else {
                    return Ok(None);
                };
                stream.send_window += i64::from(delta);
                if stream.send_window > WINDOW_BYTES_MAX {
                    self.drop_stream(id, FLOW_CONTROL_ERROR);
                    return Ok(Some(Event::Reset { stream: id }));
                }
                Ok(Some(Event::Writable { stream: id }))
            }
            Control::Unknown => Ok(None),
        }
    }

    fn opened(
        &mut self,
        id: StreamId,
        fin: bool,
        unidirectional: bool,
        block: &[u8],
    ) -> Result<Option<Event>, SpdyError> {
        let headers = headers::read(&self.inflater.block(block)?)?;
        let theirs = (id & 1 == 1) == (self.role == Role::Server);
        if !theirs || id <= self.last_theirs {
            return Err(SpdyError::Number(id));
        }
        self.last_theirs = id;
        if self.gone_away || self.streams.len() >= STREAMS_MAX {
            self.send_reset(id, REFUSED_STREAM);
            return Ok(None);
        }
        self.add(id, unidirectional);
        if fin {
            self.decoder.put_back_end(id);
        }
        Ok(Some(Event::Opened {
            stream: id,
            headers,
        }))
    }

    fn add(&mut self, id: StreamId, we_ended: bool) {
        let stream = Stream {
            we_ended,
            they_ended: false,
            replied: false,
            send_window: self.initial_window,
            taken: 0,
        };
        self.streams.insert(id, stream);
    }

    /// Opens a stream of our own.
    pub fn open(&mut self, headers: &[(&str, &str)]) -> Result<StreamId, SpdyError> {
        if self.gone_away || self.streams.len() >= STREAMS_MAX || self.next_own > STREAM_MASK {
            return Err(SpdyError::Full);
        }
        let id = self.next_own;
        let block = self.pack(headers)?;
        self.next_own += 2;
        self.add(id, false);
        let control = Control::SynStream {
            stream: id,
            fin: false,
            unidirectional: false,
            block,
        };
        write_control(&mut self.output, &control);
        Ok(id)
    }

    /// Takes the peer's stream. Its data is dropped by some peers where this does not come first.
    pub fn reply(&mut self, id: StreamId) -> Result<(), SpdyError> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Ok(());
        };
        if stream.replied || stream.we_ended {
            return Ok(());
        }
        stream.replied = true;
        let block = self.pack(&[])?;
        let control = Control::SynReply {
            stream: id,
            fin: false,
            block,
        };
        write_control(&mut self.output, &control);
        Ok(())
    }

    fn pack(&mut self, headers: &[(&str, &str)]) -> Result<Bytes, SpdyError> {
        let packed = stored(&headers::write(headers), !self.sent_headers);
        let packed = packed.ok_or(SpdyError::Headers(HeadersError::TooMany))?;
        self.sent_headers = true;
        Ok(packed.into())
    }

    /// How many bytes the stream may send now; 0 also where it is over.
    pub fn room(&self, id: StreamId) -> usize {
        match self.streams.get(&id) {
            Some(stream) if stream.we_ended => 0,
            Some(stream) if self.peer_counts => {
                usize::try_from(stream.send_window).unwrap_or_default()
            }
            Some(_) => usize::MAX,
            None => 0,
        }
    }

    /// Neither ended by us nor reset: what is sent is of use.
    pub fn is_open(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| !stream.we_ended)
    }

    /// Sends what there is room for; returns the count.
    pub fn send(&mut self, id: StreamId, data: &[u8]) -> usize {
        let count = self
            .room(id)
            .min(data.len())
            .min(super::frame::DATA_BYTES_MAX);
        if count == 0 {
            return 0;
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.send_window -= count as i64;
        }
        write_data(&mut self.output, id, &data[..count], false);
        count
    }

    /// Nothing more comes from us on this stream.
    pub fn finish(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.we_ended
        {
            stream.we_ended = true;
            write_data(&mut self.output, id, &[], true);
            self.forget_if_over(id);
        }
    }

    /// Ends the stream for both sides; nothing where it is over.
    pub fn reset(&mut self, id: StreamId) {
        self.drop_stream(id, CANCEL);
    }

    /// Our side has used `count` bytes of the stream: the peer may send as many more. It is told only where it has shown
    /// that it counts: two of ours then both do not, and neither can wait for an update behind data that nobody takes.
    pub fn taken(&mut self, id: StreamId, count: usize) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.taken = stream.taken.saturating_add(count as u32);
        if self.peer_counts && stream.taken >= UPDATE_BYTES && !stream.they_ended {
            let delta = std::mem::take(&mut stream.taken);
            write_control(
                &mut self.output,
                &Control::WindowUpdate { stream: id, delta },
            );
        }
    }

    /// Says farewell.
    pub fn close(&mut self) {
        self.go_away(GOAWAY_OK);
    }

    fn go_away(&mut self, status: u32) {
        let control = Control::GoAway {
            last_stream: self.last_theirs,
            status,
        };
        write_control(&mut self.output, &control);
        self.gone_away = true;
    }

    fn send_reset(&mut self, stream: StreamId, status: u32) {
        write_control(&mut self.output, &Control::RstStream { stream, status });
    }

    fn drop_stream(&mut self, id: StreamId, status: u32) {
        if self.streams.remove(&id).is_some() {
            self.send_reset(id, status);
        }
    }

    fn forget_if_over(&mut self, id: StreamId) {
        if self
            .streams
            .get(&id)
            .is_some_and(|stream| stream.we_ended && stream.they_ended)
        {
            self.streams.remove(&id);
        }
    }

    /// Streams that are not over.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}
