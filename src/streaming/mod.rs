//! How streams travel between a client and a node: WebSocket channels, SPDY/3.1, and SPDY inside a WebSocket.
//!
//! In: bytes of a connection that was upgraded, from the kubelet (server) or the command line (client).
//! Out: streams with names and ends, and bytes for the connection.
//!
//! Invariants: framing is pure ([`channel`], [`spdy`]): bytes in, events and bytes out; what a peer can make us hold is
//! bounded by constants here. It never knows about pods, containers, terminals or HTTP requests.

pub mod channel;
pub mod session;
pub mod spdy;
pub mod stream;
pub mod tunnel;
