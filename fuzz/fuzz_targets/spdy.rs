//! Bytes of a SPDY peer: events and errors, nothing else, and no more streams than allowed.

#![no_main]

use bytes::Bytes;
use coracle::streaming::spdy::{Connection, Event, Role};

/// More than a connection may have open.
const STREAMS_BEYOND: usize = 100_000;

libfuzzer_sys::fuzz_target!(|input: (bool, Vec<u8>)| {
    let (client, bytes) = input;
    let mut connection = Connection::new(if client { Role::Client } else { Role::Server });
    if client {
        let _ = connection.open(&[("streamtype", "data")]);
    }
    // In two pieces, so that frames are cut at any place.
    let middle = bytes.len() / 2;
    for piece in [&bytes[..middle], &bytes[middle..]] {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match connection.receive(&mut piece) {
                Ok(Some(Event::Opened { stream, .. })) => {
                    let _ = connection.reply(stream);
                }
                Ok(Some(Event::Data { stream, bytes })) => {
                    connection.taken(stream, bytes.len());
                    connection.send(stream, &bytes);
                }
                Ok(Some(Event::Finished { stream })) => connection.finish(stream),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(connection.streams() < STREAMS_BEYOND);
        connection.output().clear();
    }
});
