//! Relays in bad weather: a holder without power, clocks that are set, a full table, ends that reset, renewals that cross, limits
//! to the byte.

use crate::relays::{circuit, client_events, limited, listen_at_relay, relayed, server_events, through};
use crate::solo_node::{EPOCH, Outcome, SoloNode};
use crate::town::{assert_lifecycle, at, closed, millis, node, of, only, peer, secs, tell};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_core::{Multiaddr, Time, UnixTime};
use tidewire_host::{Command, Input, ListenerId, OpenId};
use tidewire_multistream::{Matcher, Protocol, RouteId};
use tidewire_relay::client::{CircuitEnd, Doing, Event as ClientEvent, HoldView, Lost, Refusal};
use tidewire_relay::server::{self, Counts, Offer, ReservationEnd, ServerConfig, Way};
use tidewire_relay::splice::{Counted, LimitReached};
use tidewire_relay::{Limit, Status};
use tidewire_sim::{HostId, Link, World, check, ipv4};

const TTL: Duration = Duration::from_secs(600);

fn short(server: &mut ServerConfig) {
    server.reservation_ttl = TTL;
}

fn unlimited(server: &mut ServerConfig) {
    server.limit = Limit::UNLIMITED;
}

fn counts(world: &World, relay: HostId) -> Counts {
    of(world, relay).solo.host().relay_server().unwrap().counts()
}

/// What the node says of its hold at the relay.
fn hold(world: &World, id: HostId) -> Option<HoldView> {
    of(world, id).solo.host().relay_client().explain(world.now(), &peer(1))
}

fn holds(world: &World, id: HostId) -> bool {
    hold(world, id).is_some_and(|view| view.left.is_some())
}

fn renewals(world: &World, id: HostId) -> usize {
    client_events(world, id).iter().filter(|event| matches!(event, ClientEvent::Renewed { .. })).count()
}

fn losses(world: &World, id: HostId) -> Vec<Lost> {
    let lost = |event| if let ClientEvent::Lost { why, .. } = event { Some(why) } else { None };
    client_events(world, id).into_iter().filter_map(lost).collect()
}

fn ended(world: &World, relay: HostId) -> Vec<ReservationEnd> {
    let ended = |event| if let server::Event::ReservationEnded { why, .. } = event { Some(why) } else { None };
    server_events(world, relay).into_iter().filter_map(ended).collect()
}

/// Why the node's circuits ended.
fn circuit_ends(world: &World, id: HostId) -> Vec<CircuitEnd> {
    let end = |event| if let ClientEvent::CircuitEnded { why, .. } = event { Some(why) } else { None };
    client_events(world, id).into_iter().filter_map(end).collect()
}

/// Why circuits ended at the relay, and the bytes that went forward and backward.
fn closed_at(world: &World, relay: HostId) -> Vec<(server::CircuitEnd, u64, u64)> {
    let end = |event| match event {
        server::Event::CircuitClosed { why, forward, backward, .. } => Some((why, forward, backward)),
        _ => None,
    };
    server_events(world, relay).into_iter().filter_map(end).collect()
}

fn dial_failures(world: &World, id: HostId) -> Vec<String> {
    let failed = |(_, event): (Time, &connmgr::Event)| match event {
        connmgr::Event::DialFailed { report, .. } => Some(report.to_string()),
        _ => None,
    };
    of(world, id).managed().filter_map(failed).collect()
}

/// Wants the second node through the relay, in vain: what it is told, and when.
fn in_vain(world: &mut World, id: HostId, limit: Duration) -> (Duration, String) {
    let (before, begun) = (dial_failures(world, id).len(), world.now());
    tell(world, id, |node, now| node.connect(now, now.as_nanos(), peer(2), &[circuit(2)]));
    let over = world.run_while(limit, |world| dial_failures(world, id).len() > before).unwrap();
    assert!(over, "nothing was said within {limit:?}: {:?}", client_events(world, id));
    (world.now().since(begun), dial_failures(world, id).pop().unwrap())
}

/// A relay as [`relayed`] makes them, once more.
fn restarted(world: &mut World, relay: HostId, configure: impl Fn(&mut ServerConfig)) {
    let again = node(world, 1, |config| {
        let mut server = ServerConfig::default();
        (server.offer, server.announce_private) = (Offer::Always, true);
        configure(&mut server);
        config.host.relay.server = Some(server);
    });
    world.start(relay, again);
}

fn give_back(world: &mut World, id: HostId) {
    tell(world, id, |node, now| node.solo.unlisten(now, ListenerId(9)).unwrap());
}

fn close(world: &mut World, id: HostId, n: u32) {
    let connection = only(world, id, n);
    tell(world, id, |node, now| {
        node.solo.command(now, Command::Close { connection, why: "enough".into() }).unwrap();
    });
}

fn further(world: &mut World, n: u32) -> HostId {
    let node: SoloNode = node(world, n, |_| {});
    let id = world.add(node, [ipv4(n)]);
    world.run_for(secs(2)).unwrap();
    id
}

/// The wall clock, so many seconds beside the truth.
fn unix(now: Time, beside: i64) -> UnixTime {
    UnixTime::from_secs(EPOCH.as_secs().saturating_add(now.since(Time::ZERO).as_secs()).saturating_add_signed(beside))
}

#[test]
fn a_holder_that_loses_power_is_refused_in_time_its_slot_freed_and_given_again() {
    check(0..3, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, |_| {});
        let late = further(world, 4);
        listen_at_relay(world, holder);
        world.power_off(holder);
        // Nobody knows: the relay asks the destination, and waits no longer than for 30 s.
        let (took, why) = in_vain(world, dialer, secs(60));
        assert!(why.contains("CONNECTION_FAILED") && took < secs(40), "{took:?}: {why}");
        assert_eq!(counts(world, relay).circuits, 0);
        let freed = world.run_while(secs(120), |world| counts(world, relay).reservations == 0)?;
        assert!(freed, "the slot of a dead holder stays");
        assert_eq!(ended(world, relay), [ReservationEnd::Disconnected]);
        let (took, why) = in_vain(world, late, secs(20));
        assert!(why.contains("NO_RESERVATION") && took < secs(2), "{took:?}: {why}");
        let again = node(world, 2, |_| {});
        world.start(holder, again);
        world.run_for(secs(400))?;
        listen_at_relay(world, holder);
        assert_eq!(counts(world, relay).reservations, 1);
        through(world, hosts);
        assert_eq!(counts(world, relay).circuits, 1);
        Ok(())
    });
}

/// A day forward and back, of the relay's clock and of the holder's.
#[test]
fn a_clock_that_is_set_neither_takes_a_reservation_away_unnoticed_nor_keeps_one_for_ever() {
    const DAY: i64 = 24 * 3600;
    for at_relay in [true, false] {
        check(0..2, |world| {
            let [relay, holder, _] = relayed(world, short);
            listen_at_relay(world, holder);
            for shift in [DAY, 0, -DAY, 0] {
                let wall = unix(world.now(), shift);
                let set = if at_relay { relay } else { holder };
                let at_relays = if at_relay { shift } else { 0 };
                tell(world, set, |node, now| {
                    node.solo.tell_host(now, Input::WallClock(wall)).unwrap();
                });
                let before = renewals(world, holder);
                for _ in 0..40 {
                    world.run_for(secs(30))?;
                    assert!(
                        holds(world, holder) && losses(world, holder).is_empty(),
                        "{:?}",
                        client_events(world, holder)
                    );
                    assert_eq!(
                        counts(world, relay).reservations,
                        1,
                        "the holder doesn't know: {:?}",
                        hold(world, holder)
                    );
                }
                let renewed = renewals(world, holder) - before;
                assert!((2..=12).contains(&renewed), "{renewed} renewals in twice its life");
                // What was told last is the end by the relay's clock of then.
                let view = of(world, relay).solo.host().relay_server().unwrap().view();
                let held = view.reservations.into_iter().next().unwrap();
                let expected = unix(held.until, at_relays);
                assert!(held.expire.as_secs().abs_diff(expected.as_secs()) <= 1, "{held:?}, expected {expected:?}");
                assert!(held.until.since(world.now()) <= TTL, "{held:?}");
            }
            // Given back, it ends with its time, whatever clock is set once more.
            give_back(world, holder);
            for shift in [-DAY, DAY] {
                let wall = unix(world.now(), shift);
                for id in [relay, holder] {
                    tell(world, id, |node, now| {
                        node.solo.tell_host(now, Input::WallClock(wall)).unwrap();
                    });
                }
                world.run_for(secs(5))?;
            }
            world.run_for(TTL)?;
            assert_eq!(counts(world, relay).reservations, 0);
            Ok(())
        });
    }
}

#[test]
fn a_full_table_refuses_the_fourth_renews_the_three_and_takes_it_when_one_leaves() {
    check(0..2, |world| {
        let [relay, first, second] = relayed(world, |server| {
            short(server);
            server.reservations = 3;
        });
        let third = further(world, 4);
        let fourth = further(world, 5);
        for id in [first, second, third] {
            listen_at_relay(world, id);
        }
        let address: Multiaddr = format!("{}/p2p/{}/p2p-circuit", at(1), peer(1)).parse()?;
        tell(world, fourth, |node, now| node.solo.listen(now, ListenerId(9), &address).unwrap());
        world.run_for(5 * TTL)?;
        let refused = client_events(world, fourth).into_iter().any(|event| {
            matches!(
                event,
                ClientEvent::Refused { why: Refusal::Status(Status::RESERVATION_REFUSED), retry: Some(_), .. }
            )
        });
        assert!(refused && !holds(world, fourth), "{:?}", client_events(world, fourth));
        for id in [first, second, third] {
            assert!(renewals(world, id) >= 5 && losses(world, id).is_empty(), "{id}: {:?}", client_events(world, id));
        }
        assert_eq!((counts(world, relay).reservations, counts(world, relay).networks), (3, 3));
        world.exit(second);
        let moved = world.run_while(secs(3600) + secs(1800), |world| holds(world, fourth))?;
        assert!(moved, "{:?}", hold(world, fourth));
        assert_eq!((counts(world, relay).reservations, counts(world, relay).networks), (3, 3));
        assert_eq!(ended(world, relay), [ReservationEnd::Disconnected]);
        Ok(())
    });
}

/// One end hangs up with all that is on its way, in an orderly way or not; the other writes, and so does it.
#[test]
fn when_one_end_resets_while_both_write_both_connections_end_and_say_why() {
    for (resets, dies) in [(2, false), (3, false), (2, true), (3, true)] {
        check(0..2, |world| {
            let hosts @ [relay, holder, dialer] = relayed(world, unlimited);
            listen_at_relay(world, holder);
            through(world, hosts);
            world.run_for(secs(2))?;
            let payload = vec![7; 512 << 10];
            world.access(relay, Link::new(Duration::ZERO).bandwidth(256 << 10), Link::new(Duration::ZERO));
            let calls = [(dialer, 2), (holder, 3)].map(|(id, other)| {
                tell(world, id, |node, now| node.call_with(now, peer(other), &payload, true, limited()))
            });
            let got = |world: &World, id: HostId, call: OpenId| of(world, id).calls[&call].got.len();
            let flowing =
                |world: &World| got(world, dialer, calls[0]) > 20_000 && got(world, holder, calls[1]) > 20_000;
            let flows = world.run_while(secs(20), flowing)?;
            let (ours, theirs) = (&of(world, dialer).calls[&calls[0]], &of(world, holder).calls[&calls[1]]);
            assert!(flows, "nothing flows: {ours:?}, {theirs:?}");
            let (gone, stays, gone_is, stays_is) =
                if resets == 2 { (holder, dialer, 2, 3) } else { (dialer, holder, 3, 2) };
            if dies {
                world.kill(gone);
            } else {
                close(world, gone, stays_is);
            }
            // A killed one answers the next packet with a reset.
            world.run_for(secs(5))?;
            let why = closed(world, stays).into_iter().find(|(_, who, ..)| *who == peer(gone_is));
            let Some((_, _, by, reason)) = why else { panic!("the other end hangs: {:?}", closed(world, stays)) };
            assert!(matches!(by, connmgr::By::Remote | connmgr::By::Network), "{by:?}, {reason:?}");
            assert!(of(world, stays).connections_to(&peer(gone_is)).is_empty());
            let call = if gone == holder { calls[0] } else { calls[1] };
            assert!(
                matches!(of(world, stays).outcome(call), Some(Outcome::Broken(_))),
                "{:?}",
                of(world, stays).calls[&call]
            );
            let why = circuit_ends(world, stays);
            assert!(matches!(why[..], [CircuitEnd::Closed | CircuitEnd::Reset]), "{why:?}");
            if !dies {
                let why = closed(world, gone).into_iter().find(|(_, who, ..)| *who == peer(stays_is)).unwrap();
                assert_eq!(why.2, connmgr::By::Local, "{why:?}");
                assert_eq!(circuit_ends(world, gone), [CircuitEnd::Local]);
                assert_eq!(of(world, gone).connections_to(&peer(1)).len(), 1, "the way to the relay stays");
            }
            assert_eq!(of(world, stays).connections_to(&peer(1)).len(), 1, "the way to the relay stays");
            let all = closed_at(world, relay);
            assert!(matches!(&all[..], [(_, forward, backward)] if *forward > 20_000 && *backward > 20_000), "{all:?}");
            let left = u32::from(!(dies && gone == holder));
            assert_eq!((counts(world, relay).circuits, counts(world, relay).reservations), (0, left));
            let counters = of(world, relay).solo.host().relay_server().unwrap().counters();
            assert_eq!((counters.circuits, counters.circuits_ended), (1, 1));
            assert_eq!((counters.forward, counters.backward), (all[0].1, all[0].2));
            assert_lifecycle(world, stays);
            Ok(())
        });
    }
}

/// Runs to the moment when a renewal is on its way.
fn until_it_renews(world: &mut World, holder: HostId) {
    let asks =
        |world: &World| hold(world, holder).is_some_and(|view| view.doing == Doing::Asking && view.left.is_some());
    assert!(world.run_while(TTL, asks).unwrap(), "{:?}", hold(world, holder));
}

/// The relay and the holder agree that there is one, and that holds for several lives of it.
fn agree(world: &mut World, relay: HostId, holder: HostId) {
    let agree = |world: &World| counts(world, relay).reservations == 1 && holds(world, holder);
    assert!(world.run_while(secs(120), agree).unwrap(), "{:?}", client_events(world, holder));
    let (lost, renewed) = (losses(world, holder).len(), renewals(world, holder));
    world.run_for(3 * TTL).unwrap();
    assert!(agree(world) && losses(world, holder).len() == lost, "{:?}", client_events(world, holder));
    assert!(renewals(world, holder) >= renewed + 3);
    assert_eq!(of(world, holder).connections_to(&peer(1)).len(), 1);
}

#[test]
fn a_renewal_that_crosses_the_relays_restart_is_made_up_for() {
    // Before the question has arrived, while it is answered, when the answer is on its way.
    for later in [0, 25, 45] {
        check(0..2, |world| {
            let [relay, holder, _] = relayed(world, short);
            listen_at_relay(world, holder);
            until_it_renews(world, holder);
            world.run_for(millis(later))?;
            world.kill(relay);
            restarted(world, relay, short);
            agree(world, relay, holder);
            assert!(matches!(losses(world, holder)[..], [Lost::Disconnected]), "{:?}", losses(world, holder));
            Ok(())
        });
    }
}

#[test]
fn a_renewal_that_crosses_the_giving_back_keeps_nothing_at_either_end() {
    for later in [0, 25, 45] {
        check(0..2, |world| {
            let [relay, holder, dialer] = relayed(world, short);
            listen_at_relay(world, holder);
            until_it_renews(world, holder);
            world.run_for(millis(later))?;
            give_back(world, holder);
            world.run_for(secs(5))?;
            assert!(hold(world, holder).is_none() && of(world, holder).solo.host().relay_client().counts().asks == 0);
            // The relay may still believe in it; a circuit is refused by the holder then.
            let (_, why) = in_vain(world, dialer, secs(40));
            assert!(why.contains("CONNECTION_FAILED") || why.contains("NO_RESERVATION"), "{why}");
            world.run_for(TTL)?;
            assert_eq!((counts(world, relay).reservations, counts(world, relay).circuits), (0, 0));
            // Wanted again, it is had again.
            listen_at_relay(world, holder);
            agree(world, relay, holder);
            Ok(())
        });
    }
}

#[test]
fn a_renewal_that_crosses_a_change_of_connections_settles_on_the_one_that_stays() {
    for later in [0, 25, 45] {
        check(0..3, |world| {
            let [relay, holder, _] = relayed(world, short);
            listen_at_relay(world, holder);
            until_it_renews(world, holder);
            world.run_for(millis(later))?;
            // The relay hangs up, and comes by itself.
            close(world, relay, 2);
            tell(world, relay, |node, now| node.connect(now, 5, peer(2), &[at(2)]));
            tell(world, holder, |node, now| node.connect(now, 5, peer(1), &[at(1)]));
            agree(world, relay, holder);
            Ok(())
        });
    }
}

/// A record of this much is said at a time.
const PIECE: usize = 4000;
/// As many are said.
const PIECES: usize = 6;

/// What one end says over a circuit with a limit, until a record after the last whole one.
fn talk(world: &mut World, limit: u64, forward: bool) -> ([HostId; 3], HostId, HostId, OpenId) {
    let hosts @ [relay, holder, dialer] =
        relayed(world, |server| server.limit = Limit { duration: None, data: Some(limit) });
    listen_at_relay(world, holder);
    through(world, hosts);
    world.run_for(secs(3)).unwrap();
    let (from, other, to) = if forward { (dialer, 2, holder) } else { (holder, 3, dialer) };
    // What it pushes of itself is not echoed: so it has said more than it hears, and reaches the limit first.
    tell(world, from, |node, now| {
        for (n, name) in (2..).zip(["/rain/1.0.0", "/snow/1.0.0", "/hail/1.0.0"]) {
            node.solo.serve(now, Protocol::from_static(name), Matcher::Exact, RouteId::new(n)).unwrap();
        }
    });
    world.run_for(secs(3)).unwrap();
    let call = tell(world, from, |node, now| node.call_with(now, peer(other), b"", false, limited()));
    world.run_for(millis(500)).unwrap();
    for _ in 0..PIECES {
        tell(world, from, |node, now| node.say(now, call, &[7; PIECE]));
        world.run_for(millis(500)).unwrap();
    }
    let _ = relay;
    (hosts, from, to, call)
}

/// The bytes that have gone this way when so many pieces had: a record has ended there.
fn boundary(seed: u64, forward: bool) -> u64 {
    let mut world = World::new(seed);
    // As many digits as the limits of the tests have, so that all says the same.
    let ([relay, ..], from, _, call) = talk(&mut world, 999_999, forward);
    assert_eq!(of(&world, from).calls[&call].got.len(), PIECES * PIECE, "all came back");
    world.kill(from);
    world.run_for(secs(60)).unwrap();
    let (_, there, back) = closed_at(&world, relay).pop().unwrap();
    let (ours, echoed) = if forward { (there, back) } else { (back, there) };
    assert!(ours > echoed, "{ours} said, {echoed} heard: the limit would be reached by what comes back");
    ours
}

#[test]
fn a_limit_at_the_end_of_a_record_and_a_byte_beside_it_delivers_what_is_whole_and_is_told_to_both() {
    for (forward, offset) in [(true, -1), (true, 0), (true, 1), (false, -1), (false, 0), (false, 1)] {
        check(0..2, |world| {
            let limit = boundary(world.seed(), forward).saturating_add_signed(offset);
            let ([relay, ..], from, to, call) = talk(world, limit, forward);
            if offset >= 0 {
                // The last whole record went through, and nothing has happened: only what comes behind it is too much.
                assert_eq!(of(world, from).calls[&call].got.len(), PIECES * PIECE);
                assert!(circuit_ends(world, from).is_empty() && counts(world, relay).circuits == 1);
                tell(world, from, |node, now| node.say(now, call, &[7; PIECE]));
            }
            world.run_for(secs(5))?;
            let whole = if offset < 0 { PIECES - 1 } else { PIECES };
            assert_eq!(of(world, from).calls[&call].got.len(), whole * PIECE, "{forward} {offset}");
            assert!(matches!(of(world, from).outcome(call), Some(Outcome::Broken(_))));
            for (id, counted) in [(from, Counted::Sent), (to, Counted::Received)] {
                let told = CircuitEnd::LimitReached(LimitReached::Data { bytes: limit, counted });
                assert_eq!(circuit_ends(world, id), [told], "{id} {forward} {offset}");
                assert_eq!(of(world, id).connections_to(&peer(1)).len(), 1, "the way to the relay stays");
            }
            let all = closed_at(world, relay);
            let [(why, there, back)] = &all[..] else { panic!("{all:?}") };
            let way = if forward { Way::Forward } else { Way::Backward };
            assert_eq!(*why, server::CircuitEnd::DataLimit { way, bytes: limit });
            assert_eq!(if forward { *there } else { *back }, limit, "to the byte");
            assert_eq!((counts(world, relay).circuits, counts(world, relay).reservations), (0, 1));
            Ok(())
        });
    }
}

#[test]
fn a_relay_that_loses_power_under_busy_circuits_leaves_none_behind_and_carries_new_ones() {
    check(0..2, |world| {
        let hosts @ [relay, holder, dialer] = relayed(world, unlimited);
        let second = further(world, 4);
        listen_at_relay(world, holder);
        through(world, hosts);
        through(world, [relay, holder, second]);
        let payload = vec![7; 256 << 10];
        world.access(relay, Link::new(Duration::ZERO).bandwidth(256 << 10), Link::new(Duration::ZERO));
        let calls = [dialer, second]
            .map(|id| tell(world, id, |node, now| node.call_with(now, peer(2), &payload, true, limited())));
        world.run_for(secs(1))?;
        assert_eq!(counts(world, relay).circuits, 2);
        world.power_off(relay);
        world.run_for(secs(1))?;
        restarted(world, relay, unlimited);
        assert_eq!(counts(world, relay), Counts::default());
        world.run_for(secs(30))?;
        for (id, call) in [dialer, second].into_iter().zip(calls) {
            assert!(
                matches!(of(world, id).outcome(call), Some(Outcome::Broken(_))),
                "{:?}",
                of(world, id).calls[&call]
            );
            assert_eq!(circuit_ends(world, id), [CircuitEnd::RelayLost]);
            assert!(of(world, id).connections_to(&peer(2)).is_empty());
        }
        assert_eq!(circuit_ends(world, holder), [CircuitEnd::RelayLost; 2]);
        let back = |world: &World| counts(world, relay).reservations == 1;
        assert!(world.run_while(secs(60), back)?, "{:?}", client_events(world, holder));
        // One that knows no way to the holder but this.
        let third = further(world, 5);
        through(world, [relay, holder, third]);
        assert_eq!((counts(world, relay).reservations, counts(world, relay).circuits), (1, 1));
        for id in [holder, dialer, second, third] {
            assert_lifecycle(world, id);
        }
        Ok(())
    });
}
