//! What a connection holds, against what the allocator says.

use super::*;
use alloc::vec;

/// Bytes that `f` leaves allocated, with what it returns still alive.
fn kept<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let mut result = None;
    let info = allocation_counter::measure(|| result = Some(f()));
    (result.unwrap(), usize::try_from(info.bytes_current).unwrap())
}

/// Lets a fresh listener hear this, byte for byte as it was cut, and keeps no buffer but the machine's own.
fn listener_after(pieces: &[Vec<u8>]) -> Yamux {
    let mut yamux = Yamux::new(Role::Responder, quiet());
    for piece in pieces {
        let (mut rx, mut tx) = (BytesMut::from(&piece[..]), BytesMut::new());
        while yamux.advance(Time::ZERO, &mut rx, &mut tx).unwrap().is_some() {}
    }
    yamux
}

#[test]
fn memory_used_is_what_the_allocator_says() {
    let cases: [(&str, Vec<Vec<u8>>); 5] = [
        ("nothing", Vec::new()),
        ("100 idle streams", (0..100).map(|n| update(SYN, n * 2 + 1, 0)).collect()),
        ("small frames on one stream", (0..100).map(|n| data(if n == 0 { SYN } else { 0 }, 1, &[1; 64])).collect()),
        ("small frames on many streams", (0..100).map(|n| data(SYN, n * 2 + 1, &[1; 64])).collect()),
        ("small frames in one pass", vec![(0..100).flat_map(|n| data(SYN, n * 2 + 1, &[1; 600])).collect()]),
    ];
    for (name, pieces) in cases {
        let (yamux, truth) = kept(|| listener_after(&pieces));
        assert_eq!(yamux.memory_used(), truth, "{name}");
    }
}

#[test]
fn unread_small_frames_do_not_pin_the_receive_buffer() {
    // 100 frames of 64 bytes, each of which came in a receive buffer of 64 KiB.
    let (yamux, truth) = kept(|| {
        let mut yamux = Yamux::new(Role::Responder, quiet());
        for n in 0..100 {
            let (mut rx, mut tx) = (BytesMut::with_capacity(64 * 1024), BytesMut::new());
            rx.extend_from_slice(&data(SYN, n * 2 + 1, &[1; 64]));
            while yamux.advance(Time::ZERO, &mut rx, &mut tx).unwrap().is_some() {}
        }
        yamux
    });
    assert_eq!(yamux.streams(), 100);
    assert!(truth < 100 * 64 + 100 * 200 + 4096, "{truth}");
}

#[test]
fn an_idle_stream_costs_under_200_bytes() {
    for streams in [64, 65, 100, 200, 256] {
        let pieces: Vec<_> = (0..streams).map(|n| data(SYN | FIN, n * 2 + 1, b"x")).collect();
        let (mut yamux, _) = kept(|| listener_after(&pieces));
        let mut tx = BytesMut::new();
        for n in 0..streams {
            while yamux.read(id(u64::from(n) * 2 + 1), &mut tx).is_ok_and(|bytes| bytes.is_some()) {}
        }
        assert_eq!(yamux.streams(), streams as usize);
        assert!(yamux.memory_used() <= 200 * streams as usize, "{streams} streams: {}", yamux.memory_used());
    }
}

#[test]
fn a_connection_without_streams_holds_only_its_configuration_on_the_heap() {
    let mut yamux = listener_after(&[]);
    assert_eq!(yamux.memory_used(), size_of::<Config>() + 2 * size_of::<usize>());
    let shared = Yamux::share(Config::default());
    assert_eq!(Yamux::shared(Role::Responder, &shared).memory_used(), 0, "the configuration counts where it was made");
    let pieces: Vec<_> = (0..200).map(|n| data(SYN, n * 2 + 1, &[1; 600])).collect();
    yamux = listener_after(&pieces);
    let mut tx = BytesMut::new();
    for n in 0..200 {
        yamux.reset(id(n * 2 + 1), 0, &mut tx).unwrap();
    }
    assert!(yamux.memory_used() < 1024, "{}", yamux.memory_used());
}

#[test]
fn a_prompt_reader_allocates_nothing_per_frame() {
    let (mut a, mut b) = (End::dialer(), End::listener());
    let id = a.open();
    a.write(id, b"x");
    settle(&mut a, &mut b);
    b.drain(id);
    settle(&mut a, &mut b);
    let (mut wire, mut back) = (BytesMut::with_capacity(128 * 1024), BytesMut::with_capacity(1024));
    let payload = [1; 1000];
    let mut round = |frames: usize| {
        for _ in 0..frames {
            a.yamux.boundary();
            assert_eq!(a.yamux.write(id, &payload, usize::MAX, &mut wire), Ok(1000));
        }
        while let Some(event) = b.yamux.advance(Time::ZERO, &mut wire, &mut back).unwrap() {
            if event == Event::Readable(id) {
                while let Ok(Some(bytes)) = b.yamux.read(id, &mut back) {
                    assert_eq!(bytes, payload[..]);
                }
            }
        }
        let mut out = BytesMut::new();
        while a.yamux.advance(Time::ZERO, &mut back, &mut out).unwrap().is_some() {}
        b.yamux.boundary();
        wire.extend_from_slice(&out);
    };
    // Enough to pass the first credit, and the ping for the round trip.
    for _ in 0..8 {
        round(50);
    }
    let info = allocation_counter::measure(|| {
        for _ in 0..20 {
            round(50);
        }
    });
    assert_eq!(info.count_total, 0, "for 1000 frames");
}
