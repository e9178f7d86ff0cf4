//! Frames (section 2.2): control frames whole, data in pieces as they come.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Version in every control frame.
const VERSION: u16 = 3;
const CONTROL_BIT: u32 = 1 << 31;
pub const STREAM_MASK: u32 = !CONTROL_BIT;
const HEAD_BYTES: usize = 8;
/// A control frame's body: a header block of some 100 bytes in practice.
pub const CONTROL_BYTES_MAX: usize = 16 * 1024;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;

/// Last frame of its side of the stream.
const FLAG_FIN: u8 = 1;
/// The other side has nothing to say.
const FLAG_UNIDIRECTIONAL: u8 = 2;
/// SETTINGS_INITIAL_WINDOW_SIZE (section 2.6.4).
const INITIAL_WINDOW: u32 = 7;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Control(Control),
    /// A piece of a data frame; `fin` comes with the last.
    Data {
        stream: u32,
        bytes: Bytes,
        fin: bool,
    },
}

/// Header blocks are still packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    SynStream {
        stream: u32,
        fin: bool,
        unidirectional: bool,
        block: Bytes,
    },
    SynReply {
        stream: u32,
        fin: bool,
        block: Bytes,
    },
    RstStream {
        stream: u32,
        status: u32,
    },
    /// The one setting that matters to us.
    Settings {
        initial_window: Option<u32>,
    },
    Ping {
        id: u32,
    },
    GoAway {
        last_stream: u32,
        status: u32,
    },
    Headers {
        stream: u32,
        fin: bool,
        block: Bytes,
    },
    WindowUpdate {
        stream: u32,
        delta: u32,
    },
    /// A type that this version does not know must be ignored (section 2.2.1).
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the peer speaks SPDY version {0}, not {VERSION}")]
    Version(u16),
    #[error("a control frame of {0} bytes is over the limit of {CONTROL_BYTES_MAX}")]
    TooLong(usize),
    #[error("a control frame of type {0} is too short")]
    TooShort(u16),
}

#[derive(Debug)]
struct Body {
    stream: u32,
    left: usize,
    fin: bool,
}

/// Takes frames off a stream of bytes. Holds at most one control frame.
#[derive(Debug, Default)]
pub struct Decoder {
    held: BytesMut,
    body: Option<Body>,
}

impl Decoder {
    /// The next frame, or `None` when `input` is used up.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(body) = &mut self.body {
                if input.is_empty() && body.left > 0 {
                    return Ok(None);
                }
                let count = body.left.min(input.len());
                body.left -= count;
                let frame = Frame::Data {
                    stream: body.stream,
                    bytes: input.split_to(count),
                    fin: body.fin && body.left == 0,
                };
                if body.left == 0 {
                    self.body = None;
                }
                return Ok(Some(frame));
            }
            let Some(head) = self.hold(HEAD_BYTES, input) else {
                return Ok(None);
            };
            let word = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let flags = head[4];
            let length = u32::from_be_bytes([0, head[5], head[6], head[7]]) as usize;
            if word & CONTROL_BIT == 0 {
                self.held.clear();
                self.body = Some(Body {
                    stream: word,
                    left: length,
                    fin: flags & FLAG_FIN != 0,
                });
                continue;
            }
            let version = (word >> 16) as u16 & 0x7fff;
            if version != VERSION {
                return Err(FrameError::Version(version));
            }
            if length > CONTROL_BYTES_MAX {
                return Err(FrameError::TooLong(length));
            }
            if self.hold(HEAD_BYTES + length, input).is_none() {
                return Ok(None);
            }
            let body = self.held.split().freeze().slice(HEAD_BYTES..);
            let kind = (word & 0xffff) as u16;
            let control = control(kind, flags, body).ok_or(FrameError::TooShort(kind))?;
            return Ok(Some(Frame::Control(control)));
        }
    }

    /// The next frame is the end of `stream`: for an end that came together with something else.
    pub(super) fn put_back_end(&mut self, stream: u32) {
        self.body = Some(Body {
            stream,
            left: 0,
            fin: true,
        });
    }

    /// Moves input over until `length` bytes are held.
    fn hold(&mut self, length: usize, input: &mut Bytes) -> Option<&[u8]> {
        let count = length.saturating_sub(self.held.len()).min(input.len());
        self.held.extend_from_slice(&input.split_to(count));
        self.held.get(..length)
    }
}

fn control(kind: u16, flags: u8, mut body: Bytes) -> Option<Control> {
    let fin = flags & FLAG_FIN != 0;
    Some(match kind {
        SYN_STREAM => {
            let stream = body.try_get_u32().ok()? & STREAM_MASK;
            // Associated stream, priority and slot: of no use here.
            if body.len() < 6 {
                return None;
            }
            Control::SynStream {
                stream,
                fin,
                unidirectional: flags & FLAG_UNIDIRECTIONAL != 0,
                block: body.slice(6..),
            }
        }
        SYN_REPLY => Control::SynReply {
            stream: body.try_get_u32().ok()? & STREAM_MASK,
            fin,
            block: body,
        },
        RST_STREAM => Control::RstStream {
            stream: body.try_get_u32().ok()? & STREAM_MASK,
            status: body.try_get_u32().ok()?,
        },
        SETTINGS => {
            let count = body.try_get_u32().ok()?;
            let mut initial_window = None;
            for _ in 0..count {
                let id = body.try_get_u32().ok()? & 0x00ff_ffff;
                let value = body.try_get_u32().ok()?;
                if id == INITIAL_WINDOW {
                    initial_window = Some(value & STREAM_MASK);
                }
            }
            Control::Settings { initial_window }
        }
        PING => Control::Ping {
            id: body.try_get_u32().ok()?,
        },
        GOAWAY => Control::GoAway {
            last_stream: body.try_get_u32().ok()? & STREAM_MASK,
            // Version 2 had none.
            status: body.try_get_u32().unwrap_or_default(),
        },
        HEADERS => Control::Headers {
            stream: body.try_get_u32().ok()? & STREAM_MASK,
            fin,
            block: body,
        },
        WINDOW_UPDATE => Control::WindowUpdate {
            stream: body.try_get_u32().ok()? & STREAM_MASK,
            delta: body.try_get_u32().ok()? & STREAM_MASK,
        },
        _ => Control::Unknown,
    })
}

/// Appends a control frame.
pub fn write_control(out: &mut BytesMut, control: &Control) {
    let start = out.len();
    let (kind, fin) = match control {
        Control::SynStream { fin, .. } => (SYN_STREAM, *fin),
        Control::SynReply { fin, .. } => (SYN_REPLY, *fin),
        Control::RstStream { .. } => (RST_STREAM, false),
        Control::Settings { .. } => (SETTINGS, false),
        Control::Ping { .. } => (PING, false),
        Control::GoAway { .. } => (GOAWAY, false),
        Control::Headers { fin, .. } => (HEADERS, *fin),
        Control::WindowUpdate { .. } => (WINDOW_UPDATE, false),
        Control::Unknown => return,
    };
    let mut flags = if fin { FLAG_FIN } else { 0 };
    if matches!(
        control,
        Control::SynStream {
            unidirectional: true,
            ..
        }
    ) {
        flags |= FLAG_UNIDIRECTIONAL;
    }
    out.put_u16(VERSION | 0x8000);
    out.put_u16(kind);
    out.put_u32(u32::from(flags) << 24);
    match control {
        Control::SynStream { stream, block, .. } => {
            out.put_u32(*stream);
            out.put_u32(0);
            out.put_u16(0);
            out.put_slice(block);
        }
        Control::SynReply { stream, block, .. } | Control::Headers { stream, block, .. } => {
            out.put_u32(*stream);
            out.put_slice(block);
        }
        Control::RstStream { stream, status } => {
            out.put_u32(*stream);
            out.put_u32(*status);
        }
        Control::Settings { initial_window } => {
            out.put_u32(u32::from(initial_window.is_some()));
            if let Some(value) = initial_window {
                out.put_u32(INITIAL_WINDOW);
                out.put_u32(*value);
            }
        }
        Control::Ping { id } => out.put_u32(*id),
        Control::GoAway {
            last_stream,
            status,
        } => {
            out.put_u32(*last_stream);
            out.put_u32(*status);
        }
        Control::WindowUpdate { stream, delta } => {
            out.put_u32(*stream);
            out.put_u32(*delta);
        }
        Control::Unknown => {}
    }
    let length = (out.len() - start - HEAD_BYTES) as u32;
    out[start + 5..start + HEAD_BYTES].copy_from_slice(&length.to_be_bytes()[1..]);
}

/// Longest data frame: a 24-bit length.
pub const DATA_BYTES_MAX: usize = (1 << 24) - 1;

/// Appends a data frame; what is over [`DATA_BYTES_MAX`] must be sent in another.
pub fn write_data(out: &mut BytesMut, stream: u32, data: &[u8], fin: bool) {
    let data = &data[..data.len().min(DATA_BYTES_MAX)];
    out.put_u32(stream & STREAM_MASK);
    out.put_u32(data.len() as u32 | u32::from(fin) << 24);
    out.put_slice(data);
}
