//! How bytes get from one end to the other.

use crate::support::*;
use bytes::{Buf, BytesMut};
use core::time::Duration;
use tidewire_core::Time;
use tidewire_sim::packet::Segment;
use tidewire_sim::{Input, Link, Tcp, World};

#[test]
fn a_message_arrives_after_the_latency_to_the_nanosecond() {
    let (mut world, (a, left), (b, right)) =
        connected(Link::new(Duration::from_nanos(777)), App::default(), App::default());
    let now = world.now();
    act(&mut world, a, |app, os| app.send(left, b"hello", os));
    assert!(world.run_while(SECOND, |world| app(world, b).bytes(right) == b"hello").unwrap());
    assert_eq!(world.now().since(now), Duration::from_nanos(777));
}

#[test]
fn a_slow_link_serialises_packet_after_packet() {
    // 1,480 bytes of packet take 1.48 ms at 1 MB a second.
    let link = Link::new(10 * MS).bandwidth(1_000_000);
    let (mut world, (a, left), (b, right)) = connected(link, App::default(), App::default());
    let now = world.now();
    act(&mut world, a, |app, os| app.send(left, &pattern(3 * 1_440), os));
    assert!(world.run_while(SECOND, |world| app(world, b).bytes(right).len() == 3 * 1_440).unwrap());
    assert_eq!(world.now().since(now), Duration::from_micros(3 * 1_480 + 10_000));
}

#[test]
fn a_long_transfer_fills_the_bandwidth() {
    let link = Link::new(2 * MS).bandwidth(10_000_000);
    let (mut world, (a, left), (b, right)) = connected(link, App::default(), App::default());
    let now = world.now();
    let data = pattern(10_000_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    assert!(world.run_while(60 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
    let took = world.now().since(now);
    // Headers take 40 of 1,480 bytes: 1.028 s at best.
    assert!(took > Duration::from_millis(1_028) && took < Duration::from_millis(1_100), "{took:?}");
    assert_eq!(world.stats().dropped, 0);
}

#[test]
fn a_queue_that_overflows_slows_the_sender_down_but_loses_nothing() {
    let link = Link::new(10 * MS).bandwidth(1_000_000).queue(20_000);
    let (mut world, (a, left), (b, right)) = connected(link, App::default(), App::default());
    let now = world.now();
    let data = pattern(3_000_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    assert!(world.run_while(60 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
    let took = world.now().since(now);
    assert!(world.stats().dropped > 0);
    assert!(took < Duration::from_secs(6), "congestion control uses at least half of the link: {took:?}");
}

#[test]
fn a_lost_segment_delays_those_behind_it_and_they_arrive_in_order() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    let until = world.now() + 5 * MS;
    world.cut_one_way(a, b, until);
    act(&mut world, a, |app, os| app.send(left, b"first ", os));
    world.run_for(6 * MS).unwrap();
    act(&mut world, a, |app, os| app.send(left, b"second", os));
    world.run_for(20 * MS).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"", "the second waits for the first");
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"first second");
}

#[test]
fn a_single_loss_in_a_stream_is_mended_within_round_trips_not_timeouts() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(50 * MS), App::default(), App::default());
    let data = pattern(10 * 1_440);
    let now = world.now();
    let mut first = data.slice(..1_440);
    world.cut_one_way(a, b, now + MS);
    act(&mut world, a, |_, os| os.send(left, &mut first));
    world.run_for(2 * MS).unwrap();
    act(&mut world, a, |app, os| app.send(left, &data[1_440..], os));
    assert!(world.run_while(10 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
    assert_eq!(world.now().since(now), 152 * MS, "three duplicate acknowledgements, and once more across");
}

#[test]
fn three_duplicate_acknowledgements_show_a_loss_and_two_do_not() {
    let took = |segments: usize| {
        let (mut world, (a, left), (b, right)) = connected(Link::new(50 * MS), App::default(), App::default());
        world.middlebox(a, Tamper(|n, segment: &mut Segment| segment.data.is_empty() || n != 1, 0));
        let data = pattern(segments * 1_440);
        let now = world.now();
        act(&mut world, a, |app, os| app.send(left, &data, os));
        assert!(world.run_while(10 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
        world.now().since(now)
    };
    assert_eq!(took(4), 150 * MS);
    // A round trip and four times its variation, which was 50 ms when it was first measured.
    assert_eq!(took(3), (100 + 4 * 50) * MS + 50 * MS);
}

#[test]
fn two_losses_in_one_window_are_mended_in_two_round_trips() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(50 * MS), App::default(), App::default());
    world.middlebox(a, Tamper(|n, segment: &mut Segment| segment.data.is_empty() || (n != 2 && n != 4), 0));
    let data = pattern(10 * 1_440);
    let now = world.now();
    act(&mut world, a, |app, os| app.send(left, &data, os));
    assert!(world.run_while(10 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
    assert_eq!(
        world.now().since(now),
        250 * MS,
        "across, back and across for the second, back and across for the fourth"
    );
}

#[test]
fn heavy_loss_both_ways_loses_no_byte() {
    let link = Link::new(10 * MS).loss(0.2).jitter(5 * MS);
    let (mut world, (a, left), (b, right)) = connected(link, App::default(), App::default());
    let data = pattern(200_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    act(&mut world, b, |app, os| app.send(right, &data, os));
    let done = |world: &World| app(world, b).bytes(right).len() + app(world, a).bytes(left).len() == 2 * data.len();
    assert!(world.run_while(3_600 * SECOND, done).unwrap());
    assert!(app(&world, b).bytes(right) == data && app(&world, a).bytes(left) == data);
}

#[test]
fn who_does_not_read_stops_the_sender() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    let config = Tcp::default();
    let data = pattern(1_000_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    world.run_for(60 * SECOND).unwrap();
    let waiting = app(&world, a).waiting[&left].len();
    let unread = world.with(b, |_: &mut App, os| os.unread(right));
    assert_eq!(unread, config.receive_buffer);
    let room = world.with(a, |_: &mut App, os| os.room(left));
    assert_eq!(data.len() - waiting + room, config.receive_buffer + config.send_buffer, "what both buffers hold");
    assert!(room < config.send_buffer / 3, "less than would be told");

    // Reading lets it go on.
    act(&mut world, b, |app, os| {
        app.lazy = false;
        app.read(right, usize::MAX, os)
    });
    assert!(world.run_while(60 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
}

#[test]
fn writable_is_told_once_a_third_of_the_send_buffer_is_free_and_only_after_a_short_write() {
    let (mut world, (a, left), _) = connected(Link::new(10 * MS), App::default(), App::default());
    let writable =
        |world: &World| app(world, a).log.iter().filter(|(_, i)| matches!(i, Input::Writable { .. })).count();
    act(&mut world, a, |app, os| app.send(left, &pattern(1_000), os));
    world.run_for(SECOND).unwrap();
    assert_eq!(writable(&world), 0);
    let full = Tcp::default().send_buffer;
    act(&mut world, a, |_, os| {
        let mut bytes = BytesMut::zeroed(full + 1);
        assert_eq!(os.send(left, &mut bytes), full);
        assert_eq!(bytes.remaining(), 1);
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(writable(&world), 1);
}

#[test]
fn a_lost_window_update_is_asked_for_again() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    let data = pattern(400_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    world.run_for(SECOND).unwrap();
    let now = world.now();
    world.cut_one_way(b, a, now + 100 * MS);
    act(&mut world, b, |app, os| {
        app.lazy = false;
        app.read(right, usize::MAX, os)
    });
    assert!(world.run_while(10 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
    assert!(app(&world, b).bytes(right) == data);
}

#[test]
fn a_window_that_stays_shut_is_probed_for_ever_as_long_as_the_remote_answers() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    let data = pattern(600_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    world.run_for(Duration::from_secs(24 * 3_600)).unwrap();
    act(&mut world, b, |app, os| {
        app.lazy = false;
        app.read(right, usize::MAX, os)
    });
    assert!(world.run_while(300 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
}

#[test]
fn a_window_that_was_shut_for_long_does_not_make_later_losses_costly() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    let data = pattern(600_000);
    act(&mut world, a, |app, os| app.send(left, &data, os));
    world.run_for(3_600 * SECOND).unwrap();
    act(&mut world, b, |app, os| {
        app.lazy = false;
        app.read(right, usize::MAX, os)
    });
    // b tells that it has room; what a sends upon that is lost.
    let until = world.now() + 100 * MS;
    world.cut_one_way(a, b, until);
    assert!(world.run_while(3 * SECOND, |world| app(world, b).bytes(right).len() == data.len()).unwrap());
}

#[test]
fn small_reads_see_the_same_bytes_and_the_end_comes_after_the_last() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::lazy());
    act(&mut world, a, |app, os| {
        app.send(left, b"abcdef", os);
        os.finish(left);
    });
    world.run_for(SECOND).unwrap();
    assert!(!app(&world, b).told().contains(&Input::Ended { socket: right }), "there is still something to read");
    act(&mut world, b, |app, os| {
        assert_eq!(app.read(right, 4, os), 4);
        assert_eq!(os.read_bytes(right, 1).as_deref(), Some(&b"e"[..]));
        assert_eq!(app.read(right, 4, os), 1);
        assert_eq!(app.read(right, 4, os), 0);
    });
    world.run_for(Duration::ZERO).unwrap();
    assert_eq!(app(&world, b).bytes(right), b"abcdf");
    assert_eq!(app(&world, b).told().last(), Some(&Input::Ended { socket: right }));
}

#[test]
fn what_one_call_sends_in_pieces_travels_together() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    let before = world.stats().packets;
    act(&mut world, a, |app, os| (0..100).for_each(|i| app.send(left, &[i], os)));
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right), (0..100).collect::<Vec<u8>>());
    assert_eq!(world.stats().packets - before, 2, "one segment, one acknowledgement");
}

#[test]
fn nothing_can_be_sent_before_the_connection_is_there_or_after_it_was_finished() {
    let (mut world, a, _) = two(Link::new(10 * MS));
    let socket = dial(&mut world, a, 2);
    assert_eq!(act(&mut world, a, |_, os| (os.room(socket), os.send(socket, &mut &b"x"[..]))), (0, 0));
    world.run_for(SECOND).unwrap();
    assert_eq!(act(&mut world, a, |_, os| os.send(socket, &mut &b"x"[..])), 1);
    act(&mut world, a, |_, os| os.finish(socket));
    assert_eq!(act(&mut world, a, |_, os| (os.room(socket), os.send(socket, &mut &b"x"[..]))), (0, 0));
}

#[test]
fn bytes_and_the_end_that_come_with_the_last_of_the_handshake_are_told_once() {
    let (mut world, a, b) = two(Link::new(10 * MS));
    let socket = dial(&mut world, a, 2);
    world.run_until(ms(15)).unwrap();
    world.cut_one_way(a, b, ms(25));
    world.run_until(ms(30)).unwrap();
    act(&mut world, a, |app, os| {
        app.send(socket, b"hello", os);
        os.finish(socket);
    });
    world.run_until(ms(40)).unwrap();
    let right = app(&world, b).socket();
    let told = app(&world, b).told();
    assert_eq!(told[1..], [Input::Received { socket: right }, Input::Ended { socket: right }], "{told:?}");
}

#[test]
fn who_has_finished_is_not_told_of_room() {
    let (mut world, (a, left), (b, right)) = connected(Link::new(10 * MS), App::default(), App::default());
    act(&mut world, a, |_, os| {
        assert_eq!(os.send(left, &mut BytesMut::zeroed(1_000_000)), Tcp::default().send_buffer);
        os.finish(left);
    });
    world.run_for(SECOND).unwrap();
    assert_eq!(app(&world, b).bytes(right).len(), Tcp::default().send_buffer);
    assert_eq!(app(&world, a).told().len(), 1, "connected, and nothing since");
}

#[test]
fn an_idle_connection_costs_no_event() {
    let (mut world, ..) = connected(Link::new(10 * MS), App::default(), App::default());
    let before = world.stats().events;
    world.run_until(Time::from_millis(1_000_000_000)).unwrap();
    assert_eq!(world.stats().events, before);
}
