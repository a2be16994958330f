//! Whatever the network does, what is read is what was written, in order, and then the end.

use crate::support::*;
use bytes::BytesMut;
use core::time::Duration;
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest};
use tidewire_sim::{Input, Link, SocketId, Tcp, World};

#[derive(Clone, Debug)]
enum Step {
    /// Writes this much on the left or the right.
    Write(bool, usize),
    /// Time passes.
    Wait(u64),
    /// Nothing passes in one or both directions for a while.
    Cut(bool, bool, u64),
    /// One side stops reading, or reads this much and goes on by itself.
    Lazy(bool, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any_bool(), 1usize..20_000).prop_map(|(side, len)| Step::Write(side, len)),
        3 => (0u64..3_000).prop_map(Step::Wait),
        1 => (any_bool(), any_bool(), 0u64..3_000).prop_map(|(a, b, time)| Step::Cut(a, b, time)),
        1 => (any_bool(), 0usize..5_000).prop_map(|(side, read)| Step::Lazy(side, read)),
    ]
}

fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}

fn link() -> impl Strategy<Value = Link> {
    let bandwidth = proptest::option::of(20_000u64..5_000_000);
    (0u64..200, 0u64..200, 0u32..30, bandwidth, 6_000u64..100_000).prop_map(
        |(latency, jitter, loss, bandwidth, queue)| {
            let link = Link::new(Duration::from_millis(latency)).jitter(Duration::from_millis(jitter));
            let link = link.loss(f64::from(loss) / 100.0).queue(queue);
            match bandwidth {
                Some(bandwidth) => link.bandwidth(bandwidth),
                None => link,
            }
        },
    )
}

fn settings() -> impl Strategy<Value = Tcp> {
    (100usize..5_000, 200usize..30_000, 200usize..30_000, 1usize..20).prop_map(|(segment, send, receive, window)| Tcp {
        segment,
        send_buffer: send,
        receive_buffer: receive,
        initial_window: window,
        // Loss of up to 30 % and cuts must not break a connection here.
        retries: 1_000,
        syn_retries: 1_000,
        syn_ack_retries: 1_000,
        longest_timeout: Duration::from_secs(10),
        ..Tcp::default()
    })
}

proptest! {

    #[test]
    fn what_is_read_is_what_was_written_in_order_and_then_the_end(
        seed in 0u64..1_000_000,
        link in link(),
        settings in settings(),
        steps in proptest::collection::vec(step(), 1..25),
        simultaneous in any_bool(),
    ) {
        let mut world = World::new(seed);
        world.default_tcp(settings);
        world.default_link(link);
        let hosts = [1, 2].map(|n| world.add(App::default(), [tidewire_sim::ipv4(n)]));
        world.run_for(Duration::ZERO).unwrap();
        act(&mut world, hosts[0], |_, os| os.connect_from(any(PORT), at(2), true)).unwrap();
        if simultaneous {
            // May come too late: then the other's SYN was faster.
            let _ = act(&mut world, hosts[1], |_, os| os.connect_from(any(PORT), at(1), true));
        }
        let open = |world: &World| hosts.iter().all(|id| app(world, *id).sockets().next().is_some());
        prop_assert!(world.run_while(Duration::from_secs(36_000), open).unwrap());
        let sockets: Vec<SocketId> = hosts.iter().map(|id| app(&world, *id).socket()).collect();

        let mut written = [Vec::new(), Vec::new()];
        for step in steps {
            match step {
                Step::Write(side, len) => {
                    let side = usize::from(side);
                    let bytes: Vec<u8> = (0..len).map(|i| ((written[side].len() + i) % 251) as u8).collect();
                    act(&mut world, hosts[side], |app, os| app.send(sockets[side], &bytes, os));
                    written[side].extend(bytes);
                }
                Step::Wait(time) => world.run_for(Duration::from_millis(time)).unwrap(),
                Step::Cut(there, back, time) => {
                    let until = world.now() + Duration::from_millis(time);
                    if there {
                        world.cut_one_way(hosts[0], hosts[1], until);
                    }
                    if back {
                        world.cut_one_way(hosts[1], hosts[0], until);
                    }
                }
                Step::Lazy(side, read) => {
                    let side = usize::from(side);
                    act(&mut world, hosts[side], |app, os| {
                        app.lazy = !app.lazy;
                        app.read(sockets[side], if app.lazy { read } else { usize::MAX }, os);
                    });
                }
            }
        }
        for side in [0, 1] {
            act(&mut world, hosts[side], |app, os| {
                app.lazy = false;
                app.read(sockets[side], usize::MAX, os);
            });
        }
        let sent = |world: &World| (0..2).all(|side| app(world, hosts[side]).waiting.get(&sockets[side]).is_none_or(BytesMut::is_empty));
        prop_assert!(world.run_while(Duration::from_secs(36_000), sent).unwrap());
        for side in [0, 1] {
            act(&mut world, hosts[side], |_, os| os.finish(sockets[side]));
        }
        let ended = |world: &World| (0..2).all(|side| app(world, hosts[side]).log.iter().any(|(_, input)| matches!(input, Input::Ended { .. })));
        prop_assert!(world.run_while(Duration::from_secs(36_000), ended).unwrap());
        for side in [0, 1] {
            let app = app(&world, hosts[side]);
            prop_assert!(app.bytes(sockets[side]) == written[1 - side], "side {}", side);
            prop_assert_eq!(app.log.last().map(|(_, input)| input.clone()), Some(Input::Ended { socket: sockets[side] }));
        }
        prop_assert!(world.run_to_rest(Duration::from_secs(36_000)).unwrap(), "and then nothing happens any more");
    }
}
