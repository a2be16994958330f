//! Flow control: credit, its arithmetic, and how windows grow.

use super::*;
use crate::muxer::WriteError;

const KIB: u32 = 1024;

#[test]
fn a_window_is_256_kib_until_credit_comes() {
    let mut a = End::new(Role::Initiator, Config { max_tx: 1 << 20, max_frame: 1 << 20, ..quiet() });
    let id = a.open();
    assert_eq!(a.write(id, &[0; 300 * 1024]), 256 * 1024);
    assert_eq!(a.yamux.write(id, b"x", usize::MAX, &mut a.tx), Err(WriteError::Blocked));
    a.said();
    assert_eq!(a.hear(&update(ACK, 1, 10)), Ok([Event::Writable(id)].into()));
    assert_eq!(a.write(id, &[0; 100]), 10);
}

#[test]
fn credit_returns_when_the_application_reads_and_not_before() {
    let mut b = End::listener();
    b.hear(&data(SYN, 1, &[1; 256 * 1024])).unwrap();
    assert!(b.frames().iter().all(|frame| frame.0 == Kind::Ping), "nothing was read");
    b.drain(id(1));
    let updates: Vec<_> = b.frames().into_iter().filter(|frame| frame.0 == Kind::WindowUpdate).collect();
    assert_eq!(updates[0], (Kind::WindowUpdate, ACK, 1, 0, Vec::new()));
    assert_eq!(updates[1], (Kind::WindowUpdate, 0, 1, 128 * KIB, Vec::new()));
    assert_eq!(updates[2], (Kind::WindowUpdate, 0, 1, 128 * KIB, Vec::new()));
    assert_eq!(updates.len(), 3);
}

#[test]
fn credit_returns_in_the_same_frames_however_the_data_was_cut() {
    let mut said = Vec::new();
    for piece in [7, 1000, 65_536, 200_000] {
        let mut b = End::listener();
        b.hear(&update(SYN, 1, 0)).unwrap();
        let all = data(0, 1, &[1; 200_000]);
        let mut rx = BytesMut::new();
        for piece in all.chunks(piece) {
            rx.extend_from_slice(piece);
            for event in b.hear_some(&mut rx).unwrap() {
                assert_eq!(event, Event::Readable(id(1)));
                b.drain(id(1));
            }
        }
        said.push(b.said());
    }
    said.dedup();
    assert_eq!(said.len(), 1);
}

#[test]
fn a_finished_stream_gets_no_more_credit() {
    let mut b = End::listener();
    b.hear(&data(SYN | FIN, 1, &[1; 200_000])).unwrap();
    assert_eq!(b.read_all(id(1)).0.len(), 200_000);
    assert_eq!(b.frames().pop(), Some((Kind::WindowUpdate, ACK, 1, 0, Vec::new())));
}

#[test]
fn a_sender_is_never_left_without_half_a_window() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    for _ in 0..100 {
        a.write(id, &[0; 60_000]);
        settle(&mut a, &mut b);
        b.drain(id);
        settle(&mut a, &mut b);
        assert!(a.yamux.credit(id).unwrap() > 128 * KIB - 1);
    }
}

/// Sends as fast as the window lets us over a link with this round trip; what the window became.
fn flow(config: Config, rtt: Duration, rounds: usize) -> u32 {
    flow_of(config, rtt, rounds, false)
}

fn flow_of(config: Config, rtt: Duration, rounds: usize, narrow: bool) -> u32 {
    let mut a = End::new(Role::Initiator, Config { max_tx: 64 << 20, ..quiet() });
    let mut b = End::new(Role::Responder, config);
    let id = a.open();
    let chunk = [0; 65_536];
    for _ in 0..rounds {
        while a.yamux.write(id, &chunk, usize::MAX, &mut a.tx).is_ok() {}
        let said = a.said();
        b.wait(rtt / 2);
        b.hear(&said).unwrap();
        if narrow {
            b.yamux.narrow(id);
        }
        b.drain(id);
        let said = b.said();
        a.now = b.now;
        a.wait(rtt / 2);
        a.hear(&said).unwrap();
        b.now = a.now;
    }
    b.yamux.window(id).unwrap()
}

#[test]
fn a_window_grows_to_its_limit_when_it_bounds_the_rate() {
    let config = Config { max_stream_window: 4 << 20, ..quiet() };
    assert_eq!(flow(config, Duration::from_millis(100), 12), 4 << 20);
}

#[test]
fn a_window_keeps_inside_the_budget_of_the_connection() {
    let config = Config { max_connection_window: 1 << 20, ..quiet() };
    assert_eq!(flow(config, Duration::from_millis(100), 20), 1 << 20);
}

#[test]
fn a_narrow_stream_keeps_to_its_own_limit() {
    let config = |narrow| Config { max_stream_window: 4 << 20, max_narrow_window: narrow, ..quiet() };
    let narrow = |limit| flow_of(config(limit), Duration::from_millis(100), 12, true);
    assert_eq!(narrow(0), 256 * KIB);
    assert_eq!(narrow(1 << 20), 1 << 20);
    // It is no way around the limit of all streams.
    assert_eq!(narrow(u32::MAX), 4 << 20);
}

#[test]
fn growing_can_be_turned_off() {
    let config = Config { max_stream_window: 0, ..quiet() };
    assert_eq!(flow(config, Duration::from_millis(100), 20), 256 * KIB);
}

#[test]
fn a_window_that_the_application_bounds_does_not_grow() {
    let mut b = End::listener();
    b.hear(&update(SYN, 1, 0)).unwrap();
    for _ in 0..10 {
        b.hear(&data(0, 1, &[0; 131_072])).unwrap();
        // A round trip of 1 ms, and an application that takes ten of them for half a window.
        b.wait(Duration::from_millis(1));
        for frame in b.frames() {
            if frame.0 == Kind::Ping {
                b.hear(&ping(ACK, frame.3)).unwrap();
            }
        }
        b.wait(Duration::from_millis(9));
        b.hear(b"").unwrap();
        b.drain(id(1));
    }
    assert_eq!(b.yamux.rtt(), Some(Duration::from_millis(1)));
    assert_eq!(b.yamux.window(id(1)), Some(256 * KIB));
}

#[test]
fn the_round_trip_is_asked_for_only_when_a_window_was_used() {
    let mut b = End::listener();
    b.hear(&data(SYN, 1, &[0; 131_071])).unwrap();
    assert!(b.tx.is_empty());
    b.hear(&data(0, 1, &[0; 1])).unwrap();
    assert_eq!(b.frames(), [(Kind::Ping, SYN, 0, 0, Vec::new())]);
    b.wait(Duration::from_millis(5));
    assert_eq!(b.hear(&ping(ACK, 0)), Ok(Vec::new()), "the application did not ask");
    assert_eq!(b.yamux.rtt(), Some(Duration::from_millis(5)));
}

#[test]
fn a_stream_that_does_not_fit_the_budget_is_refused() {
    let config = Config { max_connection_window: 300 * 1024, ..quiet() };
    let mut b = End::new(Role::Responder, config);
    b.hear(&update(SYN, 1, 0)).unwrap();
    b.hear(&update(SYN, 3, 0)).unwrap();
    assert_eq!(b.frames(), [(Kind::WindowUpdate, RST, 3, 0x1002, Vec::new())]);
    b.reset(id(1), 0);
    assert_eq!(b.hear(&update(SYN, 5, 0)), Ok([Event::Opened(id(5))].into()));
}

#[test]
fn all_windows_are_given_back_when_streams_end() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    for i in 0..2000 {
        let id = a.open();
        a.write(id, b"x");
        settle(&mut a, &mut b);
        match i % 3 {
            0 => a.reset(id, 0),
            1 => b.reset(id, 0),
            _ => {
                b.drain(id);
                a.finish(id);
                b.finish(id);
            }
        }
        settle(&mut a, &mut b);
        for end in [&mut a, &mut b] {
            end.drain(id);
            let _ = end.yamux.reset(id, 0, &mut end.tx);
        }
        settle(&mut a, &mut b);
        assert_eq!((a.yamux.streams(), b.yamux.streams()), (0, 0));
    }
    assert_eq!((a.yamux.unacknowledged, b.yamux.unaccepted), (0, 0));
    assert!(a.yamux.windows.is_unused() && b.yamux.windows.is_unused());
}
