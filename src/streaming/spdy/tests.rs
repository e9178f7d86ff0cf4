//! Two connections against each other, and one against whatever bytes come.
#![allow(clippy::unwrap_used)]

use super::frame::{write_control, write_data};
use super::*;
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

/// Carries what `from` has to say to `to`, cut into pieces; the events there.
fn carry(from: &mut Connection, to: &mut Connection, piece: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut wire = from.output().split().freeze();
    while !wire.is_empty() {
        let mut input = wire.split_to(piece.min(wire.len()));
        while let Some(event) = to.receive(&mut input).unwrap() {
            events.push(event);
        }
    }
    events
}

fn pair() -> (Connection, Connection) {
    (Connection::new(Role::Client), Connection::new(Role::Server))
}

#[test]
fn a_stream_lives_and_ends_on_both_sides() {
    for piece in [1, 3, 7, 1000] {
        let (mut client, mut server) = pair();
        let id = client
            .open(&[("streamtype", "data"), ("port", "80")])
            .unwrap();
        let headers = vec![
            ("streamtype".to_owned(), "data".to_owned()),
            ("port".to_owned(), "80".to_owned()),
        ];
        assert_eq!(
            carry(&mut client, &mut server, piece),
            [Event::Opened {
                stream: id,
                headers
            }]
        );
        server.reply(id).unwrap();
        assert_eq!(
            carry(&mut server, &mut client, piece),
            [Event::Replied { stream: id }]
        );
        assert_eq!(client.send(id, b"abc"), 3);
        client.finish(id);
        assert_eq!(client.send(id, b"late"), 0);
        let events = carry(&mut client, &mut server, piece);
        assert_eq!(text(&events), "abc");
        assert_eq!(events.last(), Some(&Event::Finished { stream: id }));
        // Half open: the server still talks.
        assert_eq!(server.send(id, b"answer"), 6);
        server.finish(id);
        let events = carry(&mut server, &mut client, piece);
        assert_eq!(text(&events), "answer");
        assert_eq!((client.streams(), server.streams()), (0, 0));
    }
}

fn text(events: &[Event]) -> String {
    let mut all = Vec::new();
    for event in events {
        if let Event::Data { bytes, .. } = event {
            all.extend_from_slice(bytes);
        }
    }
    String::from_utf8(all).unwrap()
}

#[test]
fn an_end_that_comes_with_data_is_told_after_it() {
    let (mut client, mut server) = pair();
    let id = client.open(&[]).unwrap();
    carry(&mut client, &mut server, 100);
    let mut wire = BytesMut::new();
    write_data(&mut wire, id, b"last", true);
    let mut wire = wire.freeze();
    let mut events = Vec::new();
    while let Some(event) = server.receive(&mut wire).unwrap() {
        events.push(event);
    }
    assert_eq!(text(&events), "last");
    assert_eq!(events.last(), Some(&Event::Finished { stream: id }));
}

#[test]
fn pings_are_answered_and_answers_are_not() {
    let (mut client, mut server) = pair();
    write_control(client.output(), &Control::Ping { id: 1 });
    assert_eq!(carry(&mut client, &mut server, 5), []);
    assert_eq!(server.output().len(), 12);
    assert_eq!(carry(&mut server, &mut client, 5), []);
    assert!(client.output().is_empty());
}

#[test]
fn windows_count_once_the_peer_shows_that_it_counts() {
    let (mut client, mut server) = pair();
    let id = client.open(&[]).unwrap();
    carry(&mut client, &mut server, 100);
    // A peer that is silent about windows is not held to any.
    let block = vec![0; 100_000];
    assert_eq!(server.send(id, &block), block.len());
    carry(&mut server, &mut client, 10_000);
    // Who is not asked to count tells nothing.
    client.taken(id, 50_000);
    assert!(client.output().is_empty());
    let shown = Control::Settings {
        initial_window: Some(65_536),
    };
    write_control(server.output(), &shown);
    carry(&mut server, &mut client, 100);
    client.taken(id, 50_000);
    assert_eq!(
        carry(&mut client, &mut server, 100),
        [Event::Writable { stream: id }]
    );
    assert_eq!(server.room(id), 65_536);
    assert_eq!(server.send(id, &block), 65_536);
    assert_eq!(server.send(id, b"x"), 0);
    assert!(server.is_open(id));
    // A smaller window takes back what was given.
    let settings = Control::Settings {
        initial_window: Some(10),
    };
    write_control(client.output(), &settings);
    let delta = Control::WindowUpdate {
        stream: id,
        delta: 65_536,
    };
    write_control(client.output(), &delta);
    carry(&mut client, &mut server, 100);
    assert_eq!(server.room(id), 10);
}

#[test]
fn a_window_over_its_limit_ends_the_stream() {
    let (mut client, mut server) = pair();
    let id = client.open(&[]).unwrap();
    let delta = Control::WindowUpdate {
        stream: id,
        delta: 0x7fff_ffff,
    };
    write_control(client.output(), &delta);
    let events = carry(&mut client, &mut server, 100);
    assert_eq!(events.last(), Some(&Event::Reset { stream: id }));
    assert_eq!(server.streams(), 0);
}

#[test]
fn streams_are_bounded_and_numbers_used_once() {
    let (mut client, mut server) = pair();
    while client.open(&[]).is_ok() {}
    let most = client.streams();
    carry(&mut client, &mut server, 4096);
    assert_eq!(server.streams(), most);
    let mut over = BytesMut::new();
    let again = Control::SynStream {
        stream: 3,
        fin: false,
        unidirectional: false,
        block: Bytes::new(),
    };
    write_control(&mut over, &again);
    assert!(server.receive(&mut over.freeze()).is_err());
    // The farewell names the last stream seen.
    assert_eq!(&server.output()[..4], [0x80, 3, 0, 7]);
}

#[test]
fn resets_end_a_stream_once() {
    let (mut client, mut server) = pair();
    let id = client.open(&[]).unwrap();
    carry(&mut client, &mut server, 100);
    server.reset(id);
    server.reset(id);
    let events = carry(&mut server, &mut client, 100);
    assert_eq!(events, [Event::Reset { stream: id }]);
    assert!(!client.is_open(id));
    assert_eq!(client.send(id, b"x"), 0);
}

#[test]
fn bad_frames_are_refused() {
    let version = [0x80, 2, 0, 1, 0, 0, 0, 0];
    let long = [0x80, 3, 0, 1, 0, 0xff, 0, 0];
    let short = [0x80, 3, 0, 3, 0, 0, 0, 1, 9];
    for (wire, error) in [
        (&version[..], FrameError::Version(2)),
        (&long, FrameError::TooLong(0x00ff_0000)),
        (&short, FrameError::TooShort(3)),
    ] {
        let mut decoder = Decoder::default();
        let mut input = Bytes::copy_from_slice(wire);
        assert_eq!(decoder.next(&mut input), Err(error));
    }
}

fn controls() -> impl Strategy<Value = Control> {
    let block = proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let stream = 0u32..0x7fff_ffff;
    prop_oneof![
        (stream.clone(), any::<bool>(), any::<bool>(), block.clone()).prop_map(
            |(stream, fin, unidirectional, block)| Control::SynStream {
                stream,
                fin,
                unidirectional,
                block
            }
        ),
        (stream.clone(), any::<bool>(), block.clone())
            .prop_map(|(stream, fin, block)| Control::SynReply { stream, fin, block }),
        (stream.clone(), any::<bool>(), block).prop_map(|(stream, fin, block)| Control::Headers {
            stream,
            fin,
            block
        }),
        (stream.clone(), any::<u32>())
            .prop_map(|(stream, status)| Control::RstStream { stream, status }),
        proptest::option::of(0u32..0x7fff_ffff)
            .prop_map(|initial_window| Control::Settings { initial_window }),
        any::<u32>().prop_map(|id| Control::Ping { id }),
        (stream.clone(), any::<u32>()).prop_map(|(last_stream, status)| Control::GoAway {
            last_stream,
            status
        }),
        (stream.clone(), stream)
            .prop_map(|(stream, delta)| Control::WindowUpdate { stream, delta }),
    ]
}

proptest! {
    #[test]
    fn frames_survive_any_cutting(frames in proptest::collection::vec(controls(), 0..8), data: Vec<u8>, piece in 1usize..40) {
        let mut wire = BytesMut::new();
        for control in &frames {
            write_control(&mut wire, control);
            write_data(&mut wire, 5, &data, true);
        }
        let mut decoder = Decoder::default();
        let mut wire = wire.freeze();
        let (mut seen, mut bytes, mut ends) = (Vec::new(), Vec::new(), 0);
        while !wire.is_empty() {
            let mut input = wire.split_to(piece.min(wire.len()));
            while let Some(frame) = decoder.next(&mut input).unwrap() {
                match frame {
                    Frame::Control(control) => seen.push(control),
                    Frame::Data { stream, bytes: more, fin } => {
                        prop_assert_eq!(stream, 5);
                        bytes.extend_from_slice(&more);
                        ends += usize::from(fin);
                    }
                }
            }
        }
        prop_assert_eq!(ends, frames.len());
        prop_assert_eq!(bytes, data.repeat(frames.len()));
        prop_assert_eq!(seen, frames);
    }

    #[test]
    fn any_bytes_are_taken(wire: Vec<u8>, server: bool) {
        let mut connection = Connection::new(if server { Role::Server } else { Role::Client });
        let mut input = Bytes::from(wire);
        while let Ok(Some(_)) = connection.receive(&mut input) {}
    }

    /// Whatever a peer does with frames that are well formed, nothing panics and the bounds hold.
    #[test]
    fn any_frames_are_taken(frames in proptest::collection::vec((controls(), 0u32..8), 0..60)) {
        let mut connection = Connection::new(Role::Server);
        for (control, stream) in frames {
            let mut wire = BytesMut::new();
            write_control(&mut wire, &control);
            write_data(&mut wire, stream, b"data", stream == 5);
            let mut input = wire.freeze();
            loop {
                match connection.receive(&mut input) {
                    Ok(Some(Event::Opened { stream, .. })) => { let _ = connection.reply(stream); }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(_) => return Ok(()),
                }
            }
            prop_assert!(connection.streams() <= 512);
        }
    }
}
