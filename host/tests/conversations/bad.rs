//! Peers that break rules, or just are a nuisance: each is bounded, is refused with the reason, and a third peer, whose calls
//! go on all the while, notices nothing.

use crate::solo_node::{ECHO, keypair};
use crate::stranger::{Says, Stranger, Told};
use crate::town::{PORT, assert_empty, assert_lifecycle, at, closed, connect, millis, of, peer, secs, tell, town};
use bytes::{Bytes, BytesMut};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tidewire_connmgr::{self as connmgr, By, CloseReason};
use tidewire_core::{Keypair, PeerId, PeerRecord, Time};
use tidewire_host::Event;
use tidewire_host::identify::{IDENTIFY, Identity, PUSH, RecordRefused};
use tidewire_sim::{HostId, Input, Node, Os, SocketId, World, check, ipv4};
use tidewire_upgrade::connection::{self, By as StreamBy};

/// What a node may use that one peer besieges, with everything: the innocent peer takes some 30 KiB of it.
const KIB: usize = 1024;

/// A victim, an innocent peer of it, and a stranger.
struct Siege {
    victim: HostId,
    innocent: HostId,
    stranger: HostId,
}

fn victim() -> SocketAddr {
    SocketAddr::new(ipv4(1), PORT)
}

fn stranger_key() -> Keypair {
    keypair(666)
}

fn stranger_peer() -> PeerId {
    stranger_key().peer_id()
}

/// Lets a stranger do for so long what it wants, while the innocent peer calls ten times a second: each call must take
/// exactly one round trip.
fn siege(world: &mut World, lasts: Duration, stranger: impl Node) -> Siege {
    let hosts = town(world, 2);
    let (victim, innocent) = (hosts[0], hosts[1]);
    world.run_for(secs(2)).unwrap();
    connect(world, innocent, 1);
    let stranger = world.add(stranger, [ipv4(66)]);
    let siege = Siege { victim, innocent, stranger };
    siege.goes_on(world, lasts);
    siege
}

impl Siege {
    fn goes_on(&self, world: &mut World, lasts: Duration) {
        let until = world.now() + lasts;
        let mut opens = Vec::new();
        while world.now() < until {
            opens.push(tell(world, self.innocent, |node, now| node.call(now, peer(1), &[7; 256])));
            world.run_for(millis(100)).unwrap();
        }
        world.run_for(secs(1)).unwrap();
        for open in opens {
            assert_eq!(of(world, self.innocent).took(open), Some(millis(20)), "a call of the innocent");
        }
        assert_lifecycle(world, self.victim);
    }

    #[track_caller]
    fn uses_at_most(&self, world: &World, bytes: usize) {
        let peak = of(world, self.victim).peak;
        assert!(peak <= bytes, "the victim used {peak} bytes");
    }

    /// What the victim heard of the stranger.
    fn identified<'a>(&self, world: &'a World) -> Vec<(bool, &'a Identity)> {
        let heard = |(_, event): (Time, &'a Event)| match event {
            Event::Identified { peer, pushed, identity, .. } if *peer == stranger_peer() => {
                Some((*pushed, &**identity))
            }
            _ => None,
        };
        of(world, self.victim).told().filter_map(heard).collect()
    }

    /// Why the victim heard nothing.
    fn identify_failed(&self, world: &World) -> Option<String> {
        of(world, self.victim).told().find_map(|(_, event)| match event {
            Event::IdentifyFailed { peer, why, .. } if *peer == stranger_peer() => Some(why.to_string()),
            _ => None,
        })
    }

    fn is_connected(&self, world: &World) -> bool {
        of(world, self.victim).solo.host().manager().is_connected(&stranger_peer())
    }
}

/// A stranger that answers identify with these bytes.
fn says(bytes: impl Fn(&Keypair) -> BytesMut + 'static) -> Stranger {
    Stranger::new(stranger_key(), victim(), move |_, told, line| {
        if let Told::Event(connection::Event::Negotiated { id, protocol, by: StreamBy::Remote, .. }) = told
            && *protocol == IDENTIFY
        {
            let bytes = bytes(&line.keypair);
            line.say(*id, &bytes);
        }
    })
}

#[test]
fn a_megabyte_of_protocols_is_not_waited_for_and_the_reason_is_told() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(3),
            says(|keypair| {
                let mut says = Says::decent(keypair);
                says.protocols = (0..50_000).map(|n| Bytes::from(format!("/protocol/{n:010}"))).collect();
                let framed = says.framed();
                assert!(framed.len() > 1 << 20);
                framed
            }),
        );
        let why = siege.identify_failed(world).ok_or("nothing was told")?;
        assert!(why.contains("8192"), "{why}");
        assert!(siege.identified(world).is_empty() && siege.is_connected(world));
        siege.uses_at_most(world, 256 * KIB);
        Ok(())
    });
}

#[test]
fn of_two_thousand_protocols_the_first_hundred_are_kept_and_the_rest_is_counted() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(3),
            says(|keypair| {
                let mut says = Says::decent(keypair);
                says.protocols = (0..2_000).map(|n| Bytes::from(format!("/{n}"))).collect();
                // 8 KiB hold some 1,200 of them: two messages would be too long.
                says.protocols.truncate(1_000);
                says.framed()
            }),
        );
        let identified = siege.identified(world);
        let [(false, identity)] = identified.as_slice() else { return Err(format!("{identified:?}").into()) };
        assert_eq!((identity.protocols.len(), identity.dropped.surplus_protocols), (128, 872));
        Ok(())
    });
}

#[test]
fn a_thousand_pushes_a_second_are_refused_but_for_a_few() {
    check(0..1, |world| {
        let mut round = 0;
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Event(connection::Event::Negotiated { id, protocol, by: StreamBy::Remote, .. })
                if *protocol == IDENTIFY =>
            {
                let says = Says::decent(&line.keypair).framed();
                line.say(*id, &says);
            }
            Told::Tick => {
                for _ in 0..10 {
                    round += 1;
                    let mut says = Says::decent(&line.keypair);
                    says.agent_version = Some(format!("stranger/{round}").into());
                    let id = line.open(now, PUSH).unwrap();
                    line.say(id, &says.framed());
                }
            }
            _ => {}
        });
        let siege = siege(world, secs(3), stranger.every(millis(10)));
        let heard = siege.identified(world).iter().filter(|(pushed, _)| *pushed).count();
        // A burst of 10, and one each 2 s.
        assert!((10..=13).contains(&heard), "{heard} pushes were taken");
        let resets = world.node::<Stranger>(siege.stranger).count(|event| {
            matches!(event, connection::Event::Reset { .. } | connection::Event::NegotiationFailed { .. })
        });
        assert!(resets > 2_900, "{resets} of 3,000 were reset");
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}

/// Opens so many streams, and never closes one.
fn greedy(world: &mut World, streams: usize) {
    let opened = Rc::new(Cell::new(0));
    let count = opened.clone();
    let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| {
        let mut tries = if matches!(told, Told::Tick) { 1_000 } else { 0 };
        while tries > 0
            && opened.get() < streams
            && let Some(id) = line.open(now, ECHO)
        {
            let _ = line.connection.write(id, b"x", &mut line.tx);
            opened.set(opened.get() + 1);
            tries -= 1;
        }
    });
    let lasts = millis(streams as u64 / 10);
    let siege = siege(world, lasts, stranger.every(millis(50)));
    assert_eq!(count.get(), streams);
    let manager = of(world, siege.victim).solo.host().manager();
    let held = manager.peer(&stranger_peer()).map_or(0, |peer| peer.streams);
    assert!((200..=256 + 4).contains(&held), "{held}: of one protocol, a peer may have 256");
    let stranger = world.node::<Stranger>(siege.stranger);
    let reset = stranger.count(|event| matches!(event, connection::Event::Reset { .. }));
    assert!(reset >= streams - 256 - 4, "{reset} were refused");
    siege.uses_at_most(world, 2048 * KIB);
}

#[test]
fn of_three_thousand_streams_as_many_are_let_in_as_may() {
    check(0..1, |world| {
        greedy(world, 3_000);
        Ok(())
    });
}

/// `cargo test --release -p tidewire-host --test conversations of_a_hundred_thousand -- --ignored`
#[test]
#[ignore = "takes long without --release"]
fn of_a_hundred_thousand_streams_as_many_are_let_in_as_may() {
    check(0..3, |world| {
        greedy(world, 100_000);
        Ok(())
    });
}

#[test]
fn a_connection_from_ourselves_is_refused() {
    check(0..3, |world| {
        // Somebody has our key: our own other self, say.
        let stranger = Stranger::new(keypair(1), victim(), |_, _, _| {});
        let siege = siege(world, secs(2), stranger);
        assert!(world.node::<Stranger>(siege.stranger).over.is_some(), "its connection was ended");
        assert_eq!(of(world, siege.victim).whys, ["the peer at the other end is ourselves"]);
        let manager = of(world, siege.victim).solo.host().manager();
        assert!(!manager.is_connected(&peer(1)));
        assert_eq!(manager.counts().limits.established_inbound, 1, "the innocent");
        Ok(())
    });
}

#[test]
fn our_own_address_is_not_believed_to_be_another_s() {
    check(0..3, |world| {
        let siege = siege(world, secs(2), says(|keypair| Says::decent(keypair).listens_at(&[at(1), at(66)]).framed()));
        let manager = of(world, siege.victim).solo.host().manager();
        let known: Vec<_> = manager.addresses_of(&stranger_peer()).map(|record| record.address.clone()).collect();
        assert!(known.contains(&at(66)) && !known.contains(&at(1)), "{known:?}");
        Ok(())
    });
}

fn record(keypair: &Keypair, seq: u64, of: PeerId) -> Bytes {
    let record = PeerRecord::new(of, seq, vec![Bytes::copy_from_slice(at(66).as_bytes())]);
    record.seal(keypair).unwrap().as_bytes().clone()
}

fn with_record(keypair: &Keypair, record: Bytes) -> BytesMut {
    let mut says = Says::decent(keypair).listens_at(&[at(67)]);
    says.signed_peer_record = Some(record);
    says.framed()
}

fn refused(world: &World, siege: &Siege) -> Option<RecordRefused> {
    siege.identified(world).last().and_then(|(_, identity)| identity.refused.clone())
}

#[test]
fn a_record_whose_signature_is_wrong_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(2),
            says(|keypair| {
                let mut bytes = record(keypair, 1, keypair.peer_id()).to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                with_record(keypair, bytes.into())
            }),
        );
        assert!(matches!(refused(world, &siege), Some(RecordRefused::Invalid(_))), "{:?}", siege.identified(world));
        Ok(())
    });
}

#[test]
fn a_record_of_another_peer_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(world, secs(2), says(|own| with_record(own, record(&keypair(5), 1, peer(5)))));
        let expected = RecordRefused::OtherPeer { expected: stranger_peer(), got: peer(5) };
        assert_eq!(refused(world, &siege), Some(expected));
        assert_eq!(of(world, siege.victim).solo.host().manager().addresses_of(&peer(5)).count(), 0);
        Ok(())
    });
}

#[test]
fn a_record_about_another_peer_under_its_own_signature_is_refused_with_the_reason() {
    check(0..3, |world| {
        let siege = siege(
            world,
            secs(2),
            says(|own| {
                with_record(own, {
                    // `seal` makes no such thing: the record of another, in an envelope of ours.
                    let payload = PeerRecord::new(peer(5), 1, Vec::new()).seal(&keypair(5)).unwrap().payload().clone();
                    tidewire_core::SignedEnvelope::seal(own, "libp2p-peer-record", &[0x03, 0x01], &payload)
                        .unwrap()
                        .as_bytes()
                        .clone()
                })
            }),
        );
        assert!(matches!(refused(world, &siege), Some(RecordRefused::Invalid(_))), "{:?}", siege.identified(world));
        Ok(())
    });
}

#[test]
fn a_record_that_is_replayed_is_refused_with_the_reason() {
    check(0..3, |world| {
        let mut pushed = false;
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Event(connection::Event::Negotiated { id, protocol, by: StreamBy::Remote, .. })
                if *protocol == IDENTIFY =>
            {
                let says = with_record(&line.keypair, record(&line.keypair, 10, stranger_peer()));
                line.say(*id, &says);
            }
            Told::Tick if !std::mem::replace(&mut pushed, true) => {
                let says = with_record(&line.keypair, record(&line.keypair, 9, stranger_peer()));
                let id = line.open(now, PUSH).unwrap();
                line.say(id, &says);
            }
            _ => {}
        });
        let siege = siege(world, secs(2), stranger.every(millis(500)));
        assert_eq!(refused(world, &siege), Some(RecordRefused::Stale { known: 10, got: 9 }));
        Ok(())
    });
}

#[test]
fn who_never_answers_identify_is_told_to_the_application_and_stays() {
    check(0..3, |world| {
        let stranger = Stranger::new(stranger_key(), victim(), |_, told, line| {
            if let Told::Event(connection::Event::Readable(id)) = told {
                line.echo(*id);
            }
        });
        let siege = siege(world, secs(10), stranger);
        let why = siege.identify_failed(world).ok_or("nothing was told")?;
        assert!(why.contains("5"), "{why}");
        siege.goes_on(world, secs(30));
        assert!(siege.is_connected(world), "it answers pings, so it stays: {:?}", closed(world, siege.victim));
        siege.uses_at_most(world, 256 * KIB);
        Ok(())
    });
}

#[test]
fn who_never_reads_costs_little_and_is_sent_away_as_unresponsive() {
    check(0..1, |world| {
        let mut streams = Vec::new();
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Ready => {
                line.deaf = true;
                // Each asks for more than it will ever take.
                for _ in 0..20 {
                    streams.extend(line.open(now, ECHO));
                    line.open(now, IDENTIFY);
                }
            }
            Told::Tick => {
                for id in &streams {
                    let _ = line.connection.write(*id, &[7; 4096], &mut line.tx);
                }
            }
            Told::Event(_) => {}
        });
        let siege = siege(world, secs(20), stranger.every(millis(100)));
        // What may come on a stream that nobody reads from: its window.
        siege.uses_at_most(world, (20 * 256 + 512) * KIB);
        siege.goes_on(world, secs(75));
        assert!(!siege.is_connected(world));
        let closed = closed(world, siege.victim);
        let [(_, _, By::Local, reason)] = closed.as_slice() else { return Err(format!("{closed:?}").into()) };
        let said = reason.to_string();
        assert!(matches!(reason, CloseReason::Unresponsive { .. }) || said.contains("no answer"), "{said}");
        world.run_for(secs(10))?;
        assert_eq!(world.open_files(siege.victim), 2, "the listener, and the innocent");
        let left = of(world, siege.victim).solo.memory_used();
        assert!(left < 256 * KIB, "{left} bytes are left of it");
        Ok(())
    });
}

#[test]
fn a_reset_at_any_point_leaves_nothing_behind() {
    check(0..2, |world| {
        let hosts = town(world, 1);
        let host = world.add(Mute, [ipv4(66)]);
        for point in 0..40 {
            let mut events = 0;
            let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| {
                events += 1;
                match told {
                    Told::Ready => {
                        for protocol in [ECHO, PUSH, IDENTIFY] {
                            let id = line.open(now, protocol).unwrap();
                            let _ = line.connection.write(id, &[0; 100], &mut line.tx);
                        }
                    }
                    Told::Event(connection::Event::Readable(id)) => line.echo(*id),
                    _ => {}
                }
                line.abort = events > point;
            });
            world.start(host, Cut { inner: stranger.every(millis(100)), calls: 2 * point });
            let pause = world.rng().up_to(millis(800)) + millis(200);
            world.run_for(pause)?;
        }
        world.kill(host);
        world.run_for(secs(100))?;
        assert_empty(world, hosts[0]);
        assert_lifecycle(world, hosts[0]);
        assert_eq!(world.open_files(hosts[0]), 1);
        let opened = |event: &connmgr::Event| matches!(event, connmgr::Event::ConnectionOpened { .. });
        assert!(of(world, hosts[0]).managed().filter(|(_, event)| opened(event)).count() >= 20);
        Ok(())
    });
}

/// Lets a stranger live for so many calls of the world.
struct Cut {
    inner: Stranger,
    calls: usize,
}

impl Node for Cut {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        if self.calls == 0 {
            return self.inner.hang_up(os);
        }
        self.calls -= 1;
        self.inner.handle(now, input, os);
    }

    fn deadline(&self) -> Time {
        self.inner.deadline()
    }
}

struct Mute;

impl Node for Mute {
    fn handle(&mut self, _: Time, _: Input, _: &mut Os<'_>) {}
}

/// Connects again and again, and sends these bytes, so many at a time.
struct Sender {
    bytes: Vec<u8>,
    at_a_time: usize,
    every: Duration,
    sockets: Vec<(SocketId, usize)>,
    wanted: usize,
    next: Time,
    ended: usize,
    connected: Time,
    lived: Vec<Duration>,
}

impl Sender {
    fn new(bytes: Vec<u8>, at_a_time: usize, every: Duration, wanted: usize) -> Self {
        let (sockets, lived) = (Vec::new(), Vec::new());
        Sender { bytes, at_a_time, every, sockets, wanted, next: Time::ZERO, ended: 0, connected: Time::ZERO, lived }
    }

    fn over(&mut self, now: Time, socket: SocketId) {
        self.sockets.retain(|(other, _)| *other != socket);
        self.ended += 1;
        self.lived.push(now.since(self.connected));
    }
}

impl Node for Sender {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                self.next = now;
                self.connected = now;
                for _ in 0..self.wanted {
                    self.sockets.extend(os.connect(victim()).ok().map(|socket| (socket, 0)));
                }
            }
            Input::Connected { .. } => self.next = now,
            Input::Ended { socket } => {
                os.close(socket);
                self.over(now, socket);
            }
            Input::Broken { socket, .. } | Input::ConnectFailed { socket, .. } => self.over(now, socket),
            Input::Received { socket } => drop(os.read_bytes(socket, usize::MAX)),
            _ => {}
        }
        if now >= self.next {
            self.next = now + self.every;
            for (socket, sent) in &mut self.sockets {
                let end = (*sent + self.at_a_time).min(self.bytes.len());
                *sent += os.send(*socket, &mut &self.bytes[*sent..end]);
            }
        }
    }

    fn deadline(&self) -> Time {
        if self.sockets.is_empty() { Time::NEVER } else { self.next }
    }
}

#[test]
fn garbage_in_the_place_of_multistream_is_cut_off_at_once() {
    check(0..6, |world| {
        let len = 1 + world.rng().below(60_000) as usize;
        let garbage: Vec<u8> = (0..len).map(|_| world.rng().next_u64() as u8).collect();
        let siege = siege(world, secs(12), Sender::new(garbage, usize::MAX >> 1, secs(1), 8));
        let sender = world.node::<Sender>(siege.stranger);
        assert_eq!(sender.ended, 8, "all were cut off, at the latest by the time for an upgrade");
        let whys = &of(world, siege.victim).whys;
        assert!(whys.len() == 8 && whys.iter().all(|why| why.contains("security protocol")), "{whys:?}");
        siege.uses_at_most(world, 1024 * KIB);
        Ok(())
    });
}

#[test]
fn other_protocols_than_ours_are_cut_off_as_soon_as_that_is_clear() {
    let request = format!("GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: {}\r\n\r\n", "x".repeat(80)).into_bytes();
    // multistream reads a length first: 71 bytes for `G`, 83 for `S`. This one is shorter, so it is waited for.
    let banner = b"SSH-2.0-OpenSSH_9.9\r\n".to_vec();
    for (greeting, within) in
        [(request, millis(60)), (vec![0xff; 64], millis(60)), (vec![0; 64], millis(60)), (banner, secs(11))]
    {
        check(0..2, |world| {
            let siege = siege(world, secs(11), Sender::new(greeting.clone(), 1000, secs(100), 1));
            let sender = world.node::<Sender>(siege.stranger);
            assert_eq!(sender.ended, 1, "{}", greeting.escape_ascii());
            assert!(sender.lived[0] <= within, "{:?}: {}", sender.lived, greeting.escape_ascii());
            Ok(())
        });
    }
}

#[test]
fn who_upgrades_byte_by_byte_is_cut_off_in_time_and_takes_no_place_from_others() {
    check(0..2, |world| {
        let header = b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec();
        let siege = siege(world, secs(9), Sender::new(header, 1, secs(1), 20));
        let counts = of(world, siege.victim).solo.host().manager().counts().limits;
        assert_eq!(counts.pending_inbound, 8, "as many as one address may have");
        // Somebody else comes.
        let newcomer = crate::town::node(world, 3, |_| {});
        let newcomer = world.add(newcomer, [ipv4(3)]);
        connect(world, newcomer, 1);
        world.run_for(secs(2))?;
        let counts = of(world, siege.victim).solo.host().manager().counts().limits;
        assert_eq!(counts.pending_inbound, 0, "10 s are all that an upgrade may take");
        let sender = world.node::<Sender>(siege.stranger);
        assert_eq!(sender.ended, 20);
        assert!(sender.lived.iter().all(|lived| *lived <= secs(10) + millis(100)), "{:?}", sender.lived);
        let whys = &of(world, siege.victim).whys;
        let late = whys.iter().filter(|why| why.contains("longer than 10s")).count();
        let surplus = whys.iter().filter(|why| why.contains("8")).count();
        assert_eq!((late, surplus), (8, 12), "{whys:?}");
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}

#[test]
fn pings_without_end_are_answered_two_at_a_time() {
    check(0..1, |world| {
        let mut streams = Vec::new();
        let stranger = Stranger::new(stranger_key(), victim(), move |now, told, line| match told {
            Told::Ready => (0..20).for_each(|_| streams.extend(line.open(now, tidewire_host::ping::PING))),
            Told::Tick => {
                for id in &streams {
                    let _ = line.connection.write(*id, &[7; 32 * 64], &mut line.tx);
                    while let Ok(Some(_)) = line.connection.read(*id, &mut line.tx) {}
                }
            }
            Told::Event(_) => {}
        });
        let siege = siege(world, secs(2), stranger.every(millis(10)));
        let manager = of(world, siege.victim).solo.host().manager();
        let streams = manager.connections_of(&stranger_peer()).map(|view| view.inbound_streams).sum::<u32>();
        assert_eq!(streams, 2);
        siege.uses_at_most(world, 512 * KIB);
        Ok(())
    });
}
