//! Whole conversations: a client and its servers, both versions, with the bytes of every stream between them and a network
//! that lets some dials through.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::BytesMut;
use core::time::Duration;
use tidewire_core::{EventMachine, Keypair, Machine, Multiaddr, PeerId, Seed, Time};
use tidewire_relay::autonat::{Reachability, v1, v2};
use tidewire_relay::exchange::{Answer, Ask, Asker, Config, Context, Reply, Request, Responder, Service};
use tidewire_relay::{AskId, ConnectionId, DialBackId, StreamKey};

const SECOND: Duration = Duration::from_secs(1);
/// Time from one end to the other.
const WAY: Duration = Duration::from_millis(20);

fn id(n: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([n; 32])).peer_id()
}

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// A stream with an asker at one end and a responder at the other.
struct Stream {
    server: usize,
    asker: Asker,
    responder: Responder,
    there: BytesMut,
    back: BytesMut,
    /// The client's question, or the server's attempt.
    what: What,
    over: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Asked(Service, AskId),
    DialBack(DialBackId),
}

struct World {
    now: Time,
    client: (v1::Client, v2::Client),
    servers: Vec<(v1::Server, v2::Server)>,
    /// Where the client seems to come from, and which addresses lead to which of its ends.
    seen_at: Multiaddr,
    open: Vec<(Multiaddr, Multiaddr)>,
    streams: Vec<Stream>,
    /// Bytes that servers were sent, and dialed where.
    paid: usize,
    dialed: Vec<Multiaddr>,
    told: Vec<(Multiaddr, Reachability)>,
    overall: (Reachability, Reachability),
    /// Something happened since the time was last changed.
    moved: bool,
}

impl World {
    fn new(servers: u8, seen_at: &str, ours: &[&str], open: &[(&str, &str)]) -> World {
        let seed = Seed::new([77; 32]);
        let mut client = (
            v1::Client::new(v1::ClientConfig::default(), &seed, Time::ZERO),
            v2::Client::new(v2::ClientConfig::default(), &seed),
        );
        let ours: Vec<Multiaddr> = ours.iter().map(|text| addr(text)).collect();
        client.0.handle(Time::ZERO, v1::ClientInput::Addresses(&ours)).unwrap();
        client.1.handle(Time::ZERO, v2::ClientInput::Addresses(&ours)).unwrap();
        for n in 0..servers {
            let (connection, peer) = (ConnectionId(n.into()), id(n + 1));
            client.0.handle(Time::ZERO, v1::ClientInput::Server { connection, peer }).unwrap();
            client.1.handle(Time::ZERO, v2::ClientInput::Server { connection, peer }).unwrap();
        }
        let server = |n: u8| {
            let seed = Seed::new([n; 32]);
            (v1::Server::new(v1::ServerConfig::default(), &seed), v2::Server::new(v2::ServerConfig::default(), &seed))
        };
        World {
            now: Time::ZERO,
            client,
            servers: (1..=servers).map(server).collect(),
            seen_at: addr(seen_at),
            open: open.iter().map(|(outside, inside)| (addr(outside), addr(inside))).collect(),
            streams: Vec::new(),
            paid: 0,
            dialed: Vec::new(),
            told: Vec::new(),
            overall: (Reachability::Unknown, Reachability::Unknown),
            moved: false,
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.client_actions();
            self.server_actions();
            self.move_bytes();
            // Something is on its way: the next moment is near; else it is the next deadline.
            let waiting = self.streams.iter().any(|stream| !stream.over && !stream.there.is_empty());
            let busy = core::mem::take(&mut self.moved) || waiting;
            let machines = self.servers.iter().map(|(first, second)| first.deadline().min(second.deadline()));
            let next = machines.chain([self.client.0.deadline(), self.client.1.deadline()]).min().unwrap();
            self.now = if busy { self.now + WAY } else { next.max(self.now + WAY).min(end) };
            self.client.0.on_timeout(self.now);
            self.client.1.on_timeout(self.now);
            for (first, second) in &mut self.servers {
                first.on_timeout(self.now);
                second.on_timeout(self.now);
            }
        }
    }

    fn key(at: usize) -> StreamKey {
        StreamKey { connection: ConnectionId(at as u64), stream: 0 }
    }

    fn ask(&mut self, connection: ConnectionId, ask: AskId, what: &Ask) {
        let (server, at) = (usize::try_from(connection.0).unwrap(), self.streams.len());
        let peer = id(u8::try_from(server + 1).unwrap());
        let service = what.service();
        let opened = (id(100), Self::key(at), self.seen_at.clone());
        self.stream(server, what, (id(100), peer), What::Asked(service, ask));
        let (peer, stream, remote) = (opened.0, opened.1, &opened.2);
        let (first, second) = &mut self.servers[server];
        if service == Service::AutonatV1 {
            first.handle(self.now, v1::ServerInput::Opened { stream, peer, remote }).unwrap();
        } else {
            second.handle(self.now, v2::ServerInput::Opened { stream, peer, remote }).unwrap();
        }
    }

    fn stream(&mut self, server: usize, ask: &Ask, (asking, answering): (PeerId, PeerId), what: What) {
        let mut there = BytesMut::new();
        let config = Config::default();
        let context = Context { local: asking, remote: answering, relayed: false };
        let asker = Asker::new(ask, &context, &config, self.now, &mut there);
        let context = Context { local: answering, remote: asking, relayed: false };
        let responder = Responder::new(ask.service(), &context, &config, self.now);
        self.streams.push(Stream { server, asker, responder, there, back: BytesMut::new(), what, over: false });
    }

    fn client_actions(&mut self) {
        while let Some(action) = self.client.0.poll() {
            self.moved = true;
            match action {
                v1::ClientAction::Ask { ask, connection, what } => self.ask(connection, ask, &what),
                v1::ClientAction::Reachability(reachability) => self.overall.0 = reachability,
                other => panic!("{other:?}"),
            }
        }
        while let Some(action) = self.client.1.poll() {
            self.moved = true;
            match action {
                v2::ClientAction::Ask { ask, connection, what } => self.ask(connection, ask, &what),
                v2::ClientAction::Pay { ask } => {
                    let wanted = What::Asked(Service::AutonatV2Request, ask);
                    let stream = self.streams.iter_mut().find(|stream| stream.what == wanted).unwrap();
                    stream.asker.pay(self.now, &mut stream.there).unwrap();
                }
                v2::ClientAction::Reply { stream, reply } => {
                    let stream = &mut self.streams[usize::try_from(stream.connection.0).unwrap()];
                    stream.responder.reply(self.now, &reply, None, &mut stream.back).unwrap();
                }
                v2::ClientAction::Address { address, reachability, .. } => self.told.push((address, reachability)),
                v2::ClientAction::Overall(reachability) => self.overall.1 = reachability,
                other => panic!("{other:?}"),
            }
        }
    }

    fn server_actions(&mut self) {
        for server in 0..self.servers.len() {
            while let Some(action) = self.servers[server].0.poll() {
                self.moved = true;
                match action {
                    v1::ServerAction::Admit { .. } => {}
                    v1::ServerAction::Reply { stream, reply } => self.reply(stream, &reply),
                    v1::ServerAction::DialBack { attempt, addresses, .. } => {
                        let reached = addresses.iter().find(|address| self.leads_to(address).is_some());
                        let done = v1::ServerInput::DialedBack { attempt, reached };
                        self.servers[server].0.handle(self.now, done).unwrap();
                    }
                    other => panic!("{other:?}"),
                }
            }
            while let Some(action) = self.servers[server].1.poll() {
                self.moved = true;
                match action {
                    v2::ServerAction::Admit { .. } => {}
                    v2::ServerAction::Reply { stream, reply } => self.reply(stream, &reply),
                    v2::ServerAction::DialBack { attempt, peer, address, nonce, .. } => {
                        self.dialed.push(address.clone());
                        if self.leads_to(&address).is_some() {
                            // From another id: only the nonce counts.
                            self.stream(server, &Ask::DialBack { nonce }, (id(200), peer), What::DialBack(attempt));
                        } else {
                            let outcome = v2::DialBackOutcome::NotReached;
                            let done = v2::ServerInput::DialedBack { attempt, outcome };
                            self.servers[server].1.handle(self.now, done).unwrap();
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn leads_to(&self, address: &Multiaddr) -> Option<Multiaddr> {
        self.open.iter().find(|(outside, _)| outside == address).map(|(_, inside)| inside.clone())
    }

    fn reply(&mut self, stream: StreamKey, reply: &Reply) {
        let stream = &mut self.streams[usize::try_from(stream.connection.0).unwrap()];
        stream.responder.reply(self.now, reply, None, &mut stream.back).unwrap();
    }

    fn move_bytes(&mut self) {
        for at in 0..self.streams.len() {
            let stream = &mut self.streams[at];
            if stream.over {
                continue;
            }
            let request = stream.responder.advance(self.now, &mut stream.there, &mut stream.back).unwrap();
            let answer = stream.asker.advance(self.now, &mut stream.back, &mut stream.there).unwrap();
            stream.over = stream.asker.is_over();
            self.moved |= request.is_some() || answer.is_some();
            if let Some(request) = request {
                self.requested(at, &request);
            }
            if let Some(answer) = answer {
                self.answered(at, &answer);
            }
        }
    }

    fn requested(&mut self, at: usize, request: &Request) {
        let (now, stream) = (self.now, Self::key(at));
        let (first, second) = &mut self.servers[self.streams[at].server];
        match request {
            Request::DialMe { .. } => first.handle(now, v1::ServerInput::Requested { stream, request }).unwrap(),
            Request::DialBack { nonce } => {
                // The one that was dialed last leads here.
                let local = self.dialed.last().and_then(|address| self.leads_to(address)).unwrap();
                let on = v2::HeardOn { inbound: true, since: now, local: &local };
                let heard = v2::ClientInput::DialBackHeard { stream, on, nonce: *nonce };
                self.client.1.handle(now, heard).unwrap();
            }
            request => {
                if let Request::Paid { bytes } = request {
                    self.paid += usize::try_from(*bytes).unwrap();
                }
                second.handle(now, v2::ServerInput::Requested { stream, request }).unwrap();
            }
        }
    }

    fn answered(&mut self, at: usize, answer: &Answer) {
        let now = self.now;
        match self.streams[at].what {
            What::Asked(Service::AutonatV1, ask) => {
                self.client.0.handle(now, v1::ClientInput::Answered { ask, answer }).unwrap();
            }
            What::Asked(_, ask) => self.client.1.handle(now, v2::ClientInput::Answered { ask, answer }).unwrap(),
            What::DialBack(attempt) => {
                assert_eq!(*answer, Answer::BackHeard);
                let outcome = v2::DialBackOutcome::Heard;
                let server = &mut self.servers[self.streams[at].server].1;
                server.handle(now, v2::ServerInput::DialedBack { attempt, outcome }).unwrap();
            }
        }
    }

    fn combined(&self) -> Reachability {
        Reachability::combined(self.overall.0, self.overall.1)
    }
}

const OURS: &str = "/ip4/8.8.4.4/tcp/4001";
const MAPPED: &str = "/ip4/8.8.4.4/tcp/33333";
const INSIDE: &str = "/ip4/192.168.1.2/tcp/4001";

#[test]
fn a_public_host_finds_out_that_it_is_public_and_pays_nothing() {
    let mut world = World::new(4, "/ip4/8.8.4.4/tcp/50000", &[OURS], &[(OURS, OURS)]);
    world.run(600 * SECOND);
    assert_eq!(world.overall, (Reachability::Public, Reachability::Public));
    assert_eq!(world.told, [(addr(OURS), Reachability::Public)]);
    assert_eq!((world.dialed, world.paid), (vec![addr(OURS); 3], 0));
}

#[test]
fn a_host_behind_a_nat_is_private() {
    let mut world = World::new(4, "/ip4/8.8.4.4/tcp/50000", &[OURS], &[]);
    world.run(900 * SECOND);
    assert_eq!(world.overall, (Reachability::Private, Reachability::Private));
    assert_eq!(world.combined(), Reachability::Private);
    assert_eq!(world.client.1.reachability(&addr(OURS)), Some(Reachability::Private));
}

#[test]
fn a_mapped_port_of_a_nat_is_found_and_the_unmapped_one_is_not() {
    let mut world = World::new(8, "/ip4/8.8.4.4/tcp/50000", &[OURS, MAPPED], &[(MAPPED, INSIDE)]);
    world.run(1800 * SECOND);
    assert_eq!(world.client.1.reachability(&addr(OURS)), Some(Reachability::Private));
    assert_eq!(world.client.1.reachability(&addr(MAPPED)), Some(Reachability::Public));
    assert_eq!(world.overall, (Reachability::Public, Reachability::Public));
}

#[test]
fn an_address_at_another_ip_is_tried_for_a_price() {
    let elsewhere = "/ip4/1.1.1.1/tcp/4001";
    let mut world = World::new(4, "/ip4/8.8.4.4/tcp/50000", &[elsewhere], &[(elsewhere, INSIDE)]);
    world.run(900 * SECOND);
    assert_eq!(world.client.1.reachability(&addr(elsewhere)), Some(Reachability::Public));
    assert_eq!(world.dialed, vec![addr(elsewhere); 3]);
    assert!(world.paid >= 3 * 30_000 && world.paid <= 3 * 100_100, "{} bytes", world.paid);
    assert_ne!(world.overall.0, Reachability::Public, "v1 tries only the IP that is observed");
    assert_eq!(world.combined(), Reachability::Public, "v2 has the word");
}

#[test]
fn what_was_public_becomes_private_only_after_several_say_so() {
    let mut world = World::new(8, "/ip4/8.8.4.4/tcp/50000", &[OURS], &[(OURS, OURS)]);
    world.run(600 * SECOND);
    assert_eq!(world.combined(), Reachability::Public);
    world.open.clear();
    world.run(3600 * SECOND);
    let changes: Vec<Reachability> = world.told.iter().map(|(_, reachability)| *reachability).collect();
    assert_eq!(changes[0], Reachability::Public);
    world.run(3 * 3600 * SECOND);
    assert_eq!(world.combined(), Reachability::Private);
    assert!(world.told.len() <= 3, "no flapping: {:?}", world.told);
}
