//! Streams of hole punches, in both roles: what is said in turn, out of turn, and wrongly.

use super::*;
use crate::AskNumber;
use crate::link::{AskFault, OpenFault};
use tidewire_core::Multiaddr;
use tidewire_dcutr::PROTOCOL;
use tidewire_dcutr::exchange::{Answerer, Fault, Heard, Opener};

const DCUTR: Protocol = Protocol::from_static(PROTOCOL);
const ASK: AskNumber = AskNumber(9);

fn ours() -> Vec<Multiaddr> {
    alloc::vec!["/ip4/192.0.2.1/tcp/4001".parse().unwrap()]
}

fn theirs() -> Vec<Multiaddr> {
    alloc::vec!["/ip4/192.0.2.2/tcp/4001".parse().unwrap(), "/ip6/2001:db8::2/tcp/4001".parse().unwrap()]
}

fn world() -> World {
    Setup { punches: true, serves: alloc::vec![DCUTR], ..Setup::default() }.start()
}

/// The bytes of a `CONNECT` with their addresses.
fn connect() -> BytesMut {
    let mut said = BytesMut::new();
    let _ = Opener::new(Time::ZERO, &theirs(), &LinkConfig::default().dcutr, &mut said);
    said
}

/// The bytes of a `SYNC`.
fn sync() -> BytesMut {
    let (mut said, mut none) = (BytesMut::new(), BytesMut::new());
    let mut opener = Opener::new(Time::ZERO, &theirs(), &LinkConfig::default().dcutr, &mut none);
    opener.advance(Time::ZERO, &mut connect(), &mut none).unwrap().unwrap();
    opener.sync(Time::ZERO, &mut said).unwrap();
    said
}

/// Much that is no message: a length above the most, and so on.
fn nonsense() -> BytesMut {
    BytesMut::from(&[0xff; 64][..])
}

impl World {
    fn heard(&self) -> Vec<(Option<AskNumber>, Result<Heard, Fault>)> {
        let heard = |report: &Report| match report {
            Report::Heard { ask, heard, .. } => Some((*ask, heard.clone().map_err(|it| *it))),
            _ => None,
        };
        self.reports().into_iter().filter_map(heard).collect()
    }

    fn unanswered(&self) -> Vec<AskFault> {
        let answer = |report: &Report| match report {
            Report::Answered { ask: ASK, answer: Err(fault), .. } => Some((**fault).clone()),
            _ => None,
        };
        self.reports().into_iter().filter_map(answer).collect()
    }

    /// We punch; where our `CONNECT` arrives.
    fn punches(&mut self) -> muxer::StreamId {
        self.order(Order::Punch { ask: ASK, addresses: ours() });
        self.turn();
        let arrived = self.seen.iter().find_map(|event| match event {
            Event::Negotiated { id, by: muxer::By::Remote, .. } => Some(*id),
            _ => None,
        });
        arrived.expect("no stream came")
    }

    /// The remote punches, and was heard.
    fn is_punched(&mut self) -> (muxer::StreamId, StreamId) {
        let id = self.call(DCUTR, &connect());
        self.turn();
        let stream = self.reports().into_iter().find_map(|report| match report {
            Report::Heard { stream, .. } => Some(*stream),
            _ => None,
        });
        (id, stream.expect("nothing was heard"))
    }

    fn says(&mut self, id: muxer::StreamId, what: &[u8]) {
        self.remote.write(id, what, &mut self.rx).unwrap();
        self.turn();
    }

    fn was_reset(&self) -> bool {
        self.seen.iter().any(|event| matches!(event, Event::Reset { .. }))
    }
}

#[test]
fn we_say_connect_hear_the_answer_and_its_time_and_say_sync() {
    let mut world = world();
    let id = world.punches();
    let mut answerer = Answerer::new(Time::ZERO, &LinkConfig::default().dcutr);
    let (mut rx, mut tx) = (BytesMut::from(&read_all(&mut world, id)[..]), BytesMut::new());
    let heard = answerer.advance(Time::ZERO, &mut rx, &mut tx).unwrap();
    assert!(matches!(heard, Some(Heard::Connect { addresses, .. }) if addresses == ours()));
    answerer.connect(Time::ZERO, &theirs(), &mut tx).unwrap();
    world.now = Time::from_millis(80);
    world.says(id, &tx);
    let rtt = Some(Duration::from_millis(80));
    let connect = Heard::Connect { addresses: theirs(), skipped: 0, dropped: 0, rtt };
    assert_eq!(world.heard(), [(Some(ASK), Ok(connect))]);
    assert!(read_all(&mut world, id).is_empty(), "the host decides when");
    world.order(Order::Sync { ask: ASK });
    world.turn();
    let mut rx = BytesMut::from(&read_all(&mut world, id)[..]);
    assert!(matches!(answerer.advance(Time::ZERO, &mut rx, &mut tx), Ok(Some(Heard::Sync { .. }))));
    // Both end it, and nothing is reset.
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (1, 1));
    assert!(!world.was_reset());
    assert_eq!((world.heard().len(), world.unanswered().len()), (1, 0));
}

#[test]
fn we_hear_connect_answer_when_told_to_and_hear_sync_and_its_time() {
    let mut world = world();
    let (id, stream) = world.is_punched();
    let heard = Heard::Connect { addresses: theirs(), skipped: 0, dropped: 0, rtt: None };
    assert_eq!(world.heard(), [(None, Ok(heard))]);
    assert!(read_all(&mut world, id).is_empty(), "the host decides what");
    world.order(Order::Connect { stream, addresses: ours() });
    world.turn();
    let (mut rx, mut tx) = (BytesMut::from(&read_all(&mut world, id)[..]), BytesMut::new());
    let mut opener = Opener::new(Time::ZERO, &[], &LinkConfig::default().dcutr, &mut tx);
    let heard = opener.advance(Time::ZERO, &mut rx, &mut tx).unwrap();
    assert!(matches!(heard, Some(Heard::Connect { addresses, .. }) if addresses == ours()));
    world.now = Time::from_millis(70);
    world.says(id, &sync());
    assert_eq!(world.heard()[1..], [(None, Ok(Heard::Sync { rtt: Duration::from_millis(70) }))]);
    world.remote.finish(id, &mut world.rx).unwrap();
    world.turn();
    assert_eq!(world.counted(), (1, 1));
    assert!(!world.was_reset());
}

#[test]
fn whatever_else_answers_our_connect_is_told_once_and_ends_the_stream() {
    for (what, ends) in [(sync(), false), (nonsense(), false), (BytesMut::new(), true)] {
        let mut world = world();
        let id = world.punches();
        if ends {
            world.remote.finish(id, &mut world.rx).unwrap();
        }
        if !what.is_empty() {
            world.remote.write(id, &what, &mut world.rx).unwrap();
        }
        world.turn();
        assert!(matches!(world.heard()[..], [(Some(ASK), Err(_))]), "{what:?}: {:?}", world.heard());
        assert_eq!((world.counted(), world.unanswered().len()), ((1, 1), 0), "{what:?}");
        assert_eq!(world.was_reset(), !ends, "{what:?}");
        // A word of the host's that crossed it says nothing.
        world.order(Order::Sync { ask: ASK });
        world.order(Order::Unask { ask: ASK });
        world.end();
        assert_eq!(world.heard().len(), 1, "{what:?}");
    }
}

#[test]
fn whatever_else_a_remote_begins_with_or_goes_on_with_is_told_and_ends_the_stream() {
    for first in [sync(), nonsense()] {
        let mut world = world();
        world.call(DCUTR, &first);
        world.turn();
        assert!(matches!(world.heard()[..], [(None, Err(_))]), "{first:?}: {:?}", world.heard());
        assert_eq!(world.counted(), (1, 1), "{first:?}");
    }
    for (second, answered) in [(connect(), true), (nonsense(), true), (sync(), false)] {
        let mut world = world();
        let (id, stream) = world.is_punched();
        if answered {
            world.order(Order::Connect { stream, addresses: ours() });
            world.turn();
        }
        world.says(id, &second);
        if !answered {
            // It is read once it is its turn.
            world.order(Order::Connect { stream, addresses: ours() });
            world.turn();
        }
        let heard = world.heard();
        let early = matches!(heard[1..], [(None, Ok(Heard::Sync { .. }))]) && !answered;
        assert!(early || matches!(heard[1..], [(None, Err(_))]), "{second:?}: {heard:?}");
        world.pass(Duration::from_secs(60));
        assert_eq!(world.counted(), (1, 1), "{second:?}");
    }
}

#[test]
fn a_remote_that_speaks_no_dcutr_or_resets_the_stream_is_told_as_no_stream() {
    let mut world = Setup { punches: true, serves: alloc::vec![ECHO], ..Setup::default() }.start();
    world.order(Order::Punch { ask: ASK, addresses: ours() });
    world.turn();
    assert_eq!(world.unanswered(), [AskFault::Open(OpenFault::Unsupported)]);
    assert_eq!(world.counted(), (1, 1));

    let mut world = self::world();
    let id = world.punches();
    world.remote.reset(id, 7, &mut world.rx).unwrap();
    world.turn();
    assert!(matches!(world.unanswered()[..], [AskFault::Open(OpenFault::Reset { .. })]), "{:?}", world.unanswered());
    assert_eq!((world.counted(), world.heard().len()), ((1, 1), 0));
}

#[test]
fn a_connection_that_ends_answers_what_was_asked_once() {
    let mut world = world();
    let _ = world.punches();
    world.end();
    assert_eq!(world.unanswered(), [AskFault::Open(OpenFault::ConnectionEnded)]);
    world.order(Order::Punch { ask: AskNumber(10), addresses: ours() });
    world.end();
    assert_eq!(world.unanswered().len(), 1);
}

#[test]
fn what_is_taken_back_is_reset_and_nothing_is_told() {
    let mut world = world();
    let _ = world.punches();
    world.order(Order::Unask { ask: ASK });
    world.turn();
    assert!(world.was_reset());
    assert_eq!((world.heard().len(), world.unanswered().len(), world.counted()), (0, 0, (1, 1)));

    let mut world = self::world();
    let (_, stream) = world.is_punched();
    world.order(Order::Reset { stream });
    world.turn();
    assert!(world.was_reset());
    assert_eq!((world.heard().len(), world.counted()), (1, (1, 1)));
}

#[test]
fn who_says_nothing_is_given_up_and_holds_no_memory() {
    let mut world = world();
    let before = world.memory();
    let _ = world.punches();
    world.call(DCUTR, b"");
    world.call(DCUTR, &connect());
    world.pass(Duration::from_secs(120));
    let heard = world.heard();
    // Neither does our host, to the one that asked.
    let late = |it: &Result<Heard, Fault>| matches!(it, Err(Fault::Timeout { .. } | Fault::Undecided { .. }));
    assert_eq!(heard.iter().filter(|(_, heard)| late(heard)).count(), 3, "{heard:?}");
    assert_eq!(world.counted(), (3, 3));
    assert!(world.memory() <= before + 4096, "{} after {before}", world.memory());
}

#[test]
fn a_remote_has_only_so_many_streams_and_the_rest_are_reset() {
    let link = LinkConfig { max_exchanges: 2, ..LinkConfig::default() };
    let mut world = Setup { punches: true, link, ..Setup::default() }.start();
    for _ in 0..5 {
        world.call(DCUTR, &connect());
    }
    world.turn();
    assert_eq!(world.heard().len(), 2);
    assert_eq!(world.seen.iter().filter(|event| matches!(event, Event::Reset { .. })).count(), 3);
}

#[test]
fn one_that_is_not_served_is_not_answered() {
    let mut world = World::new();
    let id = world.remote.open(Time::ZERO, &Protocols::from(DCUTR), Selection::Plain, &mut world.rx).unwrap();
    world.turn();
    assert!(world.heard().is_empty());
    assert!(!world.seen.iter().any(|event| matches!(event, Event::Negotiated { id: it, .. } if *it == id)));
}
