//! Peers that break rules, or just are a nuisance: each is bounded, is refused with the reason, and a third peer, whose calls
//! go on all the while, notices nothing.

mod floods;
mod garbage;
mod identify;

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
