//! SPDY/3.1 as Kubernetes speaks it, without I/O.
//! Source: "SPDY Protocol - Draft 3.1", <https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/>.
//!
//! In: bytes from the peer, and what our side wants to open, send and end. Out: events, and bytes for the peer.
//!
//! Invariants: a stream's number is used once; nothing is sent on a stream after its end; a control frame, a header
//! block, the number of streams and a piece of data are bounded; bad bytes end the connection, never the process.
//! It never knows about sockets, time, or what the streams are for.

mod connection;
mod dictionary;
mod frame;
mod headers;
mod inflate;
#[cfg(test)]
mod tests;

pub use connection::{Connection, Event, Role, SpdyError, StreamId};
pub use frame::{Control, Decoder, Frame, FrameError};
pub use headers::{Headers, HeadersError, read as read_headers, write as write_headers};
pub use inflate::Inflater;

/// The protocol's name in an `Upgrade` header.
pub const UPGRADE: &str = "SPDY/3.1";
