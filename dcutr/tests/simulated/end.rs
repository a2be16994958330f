//! One end of a punch: a coordinator, the exchanges of its streams, and a driver that does what it says.
//!
//! ```text
//!   Coordinator <--> Opener, Answerer --frames--> one TCP connection to the relay: the circuit
//!        |
//!        | Dial /quic-v1   a client: Initials, sent again at QUIC's probe timeout, until the handshake is through
//!        | Datagram        64 bytes from the port of the QUIC listener
//!        '-Dial /tcp       a TCP connection from the listening port; A speaks first on it
//! ```
//! QUIC is modelled by four datagrams: the client's Initial (I), the server's flight (H), the client's end of the handshake (F),
//! and the server's word that it has that (D). The client sends I, then F, again and again until they are answered: RFC 9002
//! section 6.2.1, with the round trip of 333 ms that section 6.2.2 assumes at first: after 999 ms, and twice as long each time. The
//! server answers what comes. A client takes nothing from another address than it dialed (RFC 9000 section 9).

use crate::relay::{PORT, sighting};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tidewire_core::{Component, EventMachine, Keypair, Machine, Multiaddr, PeerId, Role, Seed, Time};
use tidewire_dcutr::coordinator::{Action, Config, Coordinator, DATAGRAM, Event, Input as Told};
use tidewire_dcutr::exchange::{self, Answerer, Fault, Heard, Opener};
use tidewire_dcutr::report::{Report, Side};
use tidewire_dcutr::{AskId, Candidate, ConnectionId, DialFault, DialId, Local, Plan, Source, StreamKey};
use tidewire_sim::{ConnectFailure, Input, Node, Os, OsError, SocketId, UdpId};

/// A client's Initial fills a datagram of at least so many bytes: RFC 9000 section 14.1.
const INITIAL: usize = 1200;
/// The first probe timeout: RFC 9002 section 6.2.2.
pub(crate) const PROBE: Duration = Duration::from_millis(999);
/// How often who asks the relay for its own address asks again.
const AGAIN: Duration = Duration::from_millis(500);
/// The relayed connection.
const CIRCUIT: ConnectionId = ConnectionId(0);

/// What happened, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A datagram of the coordinator's went out.
    Hole(SocketAddr),
    /// One of the other end's came.
    Noise(SocketAddr),
    /// A client's Initial went out.
    Initial(SocketAddr),
    /// One came.
    InitialCame(SocketAddr),
    /// A dial began.
    Dial(Multiaddr, Plan),
    /// A dial was given up by the coordinator.
    Abort,
    /// `SYNC` came, or went out.
    Sync,
    /// A connection stands: by what.
    Up(Wire),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    Quic,
    Tcp,
}

pub(crate) struct End {
    pub(crate) seen: Vec<(Time, Seen)>,
    pub(crate) reports: Vec<Report>,
    /// Whether the circuit was heard to break.
    pub(crate) broken: bool,
    /// So many ports above the one that the relay saw are told beside it, for QUIC.
    pub(crate) predicts: u16,
    coordinator: Coordinator,
    side: Side,
    peers: [PeerId; 3],
    /// Our address inside, and the relay's.
    ip: IpAddr,
    relay: SocketAddr,
    /// Whether TCP addresses are told, and QUIC addresses.
    wires: Vec<Wire>,
    observed: [Option<SocketAddr>; 2],
    circuit: Option<SocketId>,
    rx: BytesMut,
    openers: BTreeMap<AskId, (Opener, BytesMut)>,
    answerers: BTreeMap<u64, (Answerer, BytesMut)>,
    udp: Option<UdpId>,
    ask_again: Time,
    clients: BTreeMap<DialId, Client>,
    /// Remotes whose handshake is through, at the server.
    served: BTreeSet<SocketAddr>,
    /// TCP connections that are coming up, or are there.
    dials: BTreeMap<SocketId, DialId>,
    tcp: BTreeMap<SocketId, (Option<DialId>, [SocketAddr; 2])>,
    connections: u64,
}

/// A QUIC dial.
struct Client {
    to: SocketAddr,
    socket: UdpId,
    /// `I`, or `F` once the server has answered.
    phase: u8,
    next: Time,
    probe: Duration,
}

/// Who the `n`-th is: 0 the relay, 1 A, 2 B.
fn peer(n: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([n + 1; 32])).peer_id()
}

impl End {
    /// Behind whatever, at `ip`, with the relay there.
    pub(crate) fn new(side: Side, seed: u64, ip: IpAddr, relay: IpAddr, wires: &[Wire]) -> End {
        let (us, them) = if side == Side::A { (1, 2) } else { (2, 1) };
        let seed = Seed::new([us; 32]).derive("simulated", seed);
        End {
            seen: Vec::new(),
            reports: Vec::new(),
            broken: false,
            predicts: 0,
            coordinator: Coordinator::new(Config::default(), peer(us), &seed),
            side,
            peers: [peer(us), peer(them), peer(0)],
            ip,
            relay: (relay, PORT).into(),
            wires: wires.to_vec(),
            observed: [None; 2],
            circuit: None,
            rx: BytesMut::new(),
            openers: BTreeMap::new(),
            answerers: BTreeMap::new(),
            udp: None,
            ask_again: Time::ZERO,
            clients: BTreeMap::new(),
            served: BTreeSet::new(),
            dials: BTreeMap::new(),
            tcp: BTreeMap::new(),
            connections: 1,
        }
    }

    /// Whether the relay has said where it sees us, by TCP and by UDP.
    pub(crate) fn is_ready(&self) -> bool {
        self.observed.iter().all(Option::is_some)
    }

    /// The circuit is there, and each knows who is at the other end.
    pub(crate) fn begin(&mut self, now: Time, os: &mut Os<'_>) {
        let [_, them, relay] = self.peers;
        let inside = SocketAddr::new(self.ip, PORT);
        let candidate = |wire: &Wire| {
            let (address, local) = match wire {
                Wire::Tcp => (self.observed[0].map(Multiaddr::tcp), Multiaddr::tcp(inside)),
                Wire::Quic => (self.observed[1].map(Multiaddr::quic_v1), Multiaddr::quic_v1(inside)),
            };
            Candidate { address: address.unwrap(), source: Source::Observed, local: Some(local) }
        };
        let mut own: Vec<Candidate> = self.wires.iter().map(candidate).collect();
        let (seen, local) = (self.observed[1].unwrap(), Some(Multiaddr::quic_v1(inside)));
        let predicted = (1..=self.predicts).map(|n| SocketAddr::new(seen.ip(), seen.port() + n));
        own.extend(predicted.map(|at| Candidate {
            address: Multiaddr::quic_v1(at),
            source: Source::Predicted,
            local: local.clone(),
        }));
        let (to, inbound) = (self.relay, self.side == Side::B);
        let remote = format!("{}/p2p/{relay}/p2p-circuit/p2p/{them}", Multiaddr::tcp(to)).parse().unwrap();
        self.tell(now, Told::Own(&own));
        let circuit = Told::Connected { connection: CIRCUIT, peer: them, relayed: true, inbound, remote: &remote };
        self.tell(now, circuit);
        self.tell(now, Told::Identified { peer: them, speaks_dcutr: true, listens: &[] });
        self.drive(now, os);
    }

    /// When something happened first.
    pub(crate) fn first(&self, is: impl Fn(&Seen) -> bool) -> Option<Time> {
        self.when(is).next()
    }

    /// When something happened.
    pub(crate) fn when(&self, is: impl Fn(&Seen) -> bool) -> impl DoubleEndedIterator<Item = Time> {
        self.seen.iter().filter(move |(_, seen)| is(seen)).map(|(at, _)| *at)
    }

    fn see(&mut self, now: Time, seen: Seen) {
        self.seen.push((now, seen));
    }

    /// News may cross an action: then nothing changed.
    fn tell(&mut self, now: Time, told: Told<'_>) {
        let _ = self.coordinator.handle(now, told);
    }

    fn drive(&mut self, now: Time, os: &mut Os<'_>) {
        while let Some(action) = self.coordinator.poll() {
            match action {
                Action::Open { ask, addresses, .. } => {
                    let mut tx = BytesMut::new();
                    let opener = Opener::new(now, &addresses, &exchange::Config::default(), &mut tx);
                    self.openers.insert(ask, (opener, BytesMut::new()));
                    self.say(ask.0, &tx, os);
                }
                Action::Sync { ask } => {
                    let mut tx = BytesMut::new();
                    let (mut opener, _) = self.openers.remove(&ask).unwrap();
                    opener.sync(now, &mut tx).unwrap();
                    self.say(ask.0, &tx, os);
                    self.see(now, Seen::Sync);
                }
                Action::ResetAsk { ask } => {
                    self.openers.remove(&ask);
                    self.say(ask.0, b"", os);
                }
                Action::Answer { stream, addresses } => {
                    let mut tx = BytesMut::new();
                    let (answerer, _) = self.answerers.get_mut(&stream.stream).unwrap();
                    answerer.connect(now, &addresses, &mut tx).unwrap();
                    self.say(stream.stream, &tx, os);
                }
                Action::ResetStream { stream, .. } => {
                    self.answerers.remove(&stream.stream);
                    self.say(stream.stream, b"", os);
                }
                Action::Dial { dial, address, local, plan, .. } => {
                    self.see(now, Seen::Dial(address.clone(), plan));
                    self.dial(now, dial, &address, &local, os);
                }
                Action::Abort { dial } => {
                    self.see(now, Seen::Abort);
                    self.clients.remove(&dial);
                    self.dials.retain(|socket, other| {
                        if *other == dial {
                            os.abort(*socket);
                        }
                        *other != dial
                    });
                }
                Action::Datagram { to, from, payload, .. } => {
                    let own = Multiaddr::quic_v1((self.ip, PORT).into());
                    assert_eq!(from, Local::Reuse(own), "from the port that the relay saw");
                    os.send_to(self.udp.unwrap(), to, Bytes::copy_from_slice(&*payload)).unwrap();
                    self.see(now, Seen::Hole(to));
                }
                Action::Event(Event::Report(report)) => self.reports.push(*report),
                _ => {}
            }
        }
    }

    /// A frame on the circuit: which stream, how many bytes, and they. No bytes: it is reset.
    fn say(&mut self, stream: u64, bytes: &[u8], os: &mut Os<'_>) {
        let mut frame = BytesMut::new();
        frame.put_u8(u8::try_from(stream).unwrap());
        frame.put_u16(u16::try_from(bytes.len()).unwrap());
        frame.put_slice(bytes);
        if let Some(circuit) = self.circuit {
            os.send(circuit, &mut frame);
            assert!(frame.is_empty() || self.broken, "exchanges are small");
        }
    }

    fn hear(&mut self, now: Time) {
        if self.observed[0].is_none() {
            let Some(length) = self.rx.first().map(|length| usize::from(*length)) else { return };
            if self.rx.len() > length {
                self.observed[0] = sighting(&self.rx.split_to(1 + length)[1..]);
            }
        }
        while let [stream, high, low, rest @ ..] = &self.rx[..] {
            let (stream, length) = (u64::from(*stream), usize::from(u16::from_be_bytes([*high, *low])));
            if rest.len() < length {
                return;
            }
            self.rx.advance(3);
            let bytes = self.rx.split_to(length);
            self.hear_on(now, stream, &bytes);
        }
    }

    fn hear_on(&mut self, now: Time, stream: u64, bytes: &[u8]) {
        let (ask, key) = (AskId(stream), StreamKey { connection: CIRCUIT, stream });
        let reset = bytes.is_empty();
        if self.side == Side::B {
            let Some((opener, rx)) = self.openers.get_mut(&ask) else { return };
            rx.extend_from_slice(bytes);
            let heard = if reset { Err(Fault::Reset) } else { opener.advance(now, rx, &mut BytesMut::new()) };
            match heard {
                Ok(Some(Heard::Connect { addresses, skipped, dropped, rtt })) => {
                    let (skipped, rtt) = (skipped + dropped, rtt.unwrap());
                    self.tell(now, Told::Connects { ask, addresses: &addresses, skipped, rtt });
                }
                Ok(_) => {}
                Err(why) => {
                    self.openers.remove(&ask);
                    self.tell(now, Told::AskFailed { ask, why });
                }
            }
            return;
        }
        if reset && !self.answerers.contains_key(&stream) {
            return;
        }
        let new = || (Answerer::new(now, &exchange::Config::default()), BytesMut::new());
        let (answerer, rx) = self.answerers.entry(stream).or_insert_with(new);
        rx.extend_from_slice(bytes);
        let heard = if reset { Err(Fault::Reset) } else { answerer.advance(now, rx, &mut BytesMut::new()) };
        match heard {
            Ok(Some(Heard::Connect { addresses, skipped, dropped, .. })) => {
                let skipped = skipped + dropped;
                self.tell(now, Told::Asked { stream: key, addresses: &addresses, skipped });
            }
            Ok(Some(Heard::Sync { rtt })) => {
                self.see(now, Seen::Sync);
                self.answerers.remove(&stream);
                self.tell(now, Told::Synced { stream: key, rtt });
            }
            Ok(_) => {}
            Err(why) => {
                self.answerers.remove(&stream);
                self.tell(now, Told::StreamGone { stream: key, why });
            }
        }
    }

    fn dial(&mut self, now: Time, dial: DialId, address: &Multiaddr, local: &Local, os: &mut Os<'_>) {
        let to = address.socket_addr().unwrap();
        if address.iter().any(|part| part == Component::QuicV1) {
            let own = Multiaddr::quic_v1((self.ip, PORT).into());
            assert_eq!(local, &Local::Reuse(own), "from the port that the relay saw");
            let socket = self.udp.unwrap();
            self.clients.insert(dial, Client { to, socket, phase: b'I', next: now, probe: PROBE });
            return self.probe(now, os);
        }
        let dialed = match local {
            Local::Reuse(local) => os.connect_from(local.socket_addr().unwrap(), to, true),
            _ => os.connect(to),
        };
        match dialed {
            Ok(socket) => drop(self.dials.insert(socket, dial)),
            Err(OsError::AddressNotAvailable) => {
                self.tell(now, Told::DialFailed { dial, why: DialFault::AddressNotAvailable });
            }
            Err(error) => self.tell(now, Told::DialFailed { dial, why: DialFault::other(&error.to_string()) }),
        }
    }

    /// Clients send what was not answered.
    fn probe(&mut self, now: Time, os: &mut Os<'_>) {
        let mut initials = Vec::new();
        for client in self.clients.values_mut().filter(|client| client.next <= now) {
            if client.phase == b'I' {
                initials.push((now, Seen::Initial(client.to)));
            }
            os.send_to(client.socket, client.to, packet(client.phase)).unwrap();
            client.next = now + client.probe;
            client.probe *= 2;
        }
        self.seen.extend(initials);
    }

    fn datagram(&mut self, now: Time, socket: UdpId, from: SocketAddr, bytes: &[u8], os: &mut Os<'_>) {
        match bytes {
            _ if from == self.relay => self.observed[1] = sighting(bytes),
            bytes if bytes.len() == DATAGRAM => self.see(now, Seen::Noise(from)),
            [b'I', ..] => {
                self.see(now, Seen::InitialCame(from));
                os.send_to(socket, from, packet(b'H')).unwrap();
            }
            [b'F', ..] => {
                os.send_to(socket, from, packet(b'D')).unwrap();
                if self.served.insert(from) {
                    self.see(now, Seen::Up(Wire::Quic));
                    let (connection, peer, remote) = (self.connection(), self.peers[1], Multiaddr::quic_v1(from));
                    let inbound = Told::Connected { connection, peer, relayed: false, inbound: true, remote: &remote };
                    self.tell(now, inbound);
                }
            }
            [b'H', ..] => {
                let waits = |client: &Client| client.to == from && client.phase == b'I';
                let Some((dial, client)) = self.clients.iter_mut().find(|(_, client)| waits(client)) else { return };
                (client.phase, client.next, client.probe) = (b'F', now, PROBE);
                let dial = *dial;
                self.see(now, Seen::Up(Wire::Quic));
                let (connection, local) = (self.connection(), Multiaddr::quic_v1((self.ip, PORT).into()));
                let (local, remote) = (&local, &Multiaddr::quic_v1(from));
                self.tell(now, Told::Dialed { dial, connection, local, remote, role: Role::Initiator });
                self.probe(now, os);
            }
            [b'D', ..] => self.clients.retain(|_, client| client.to != from || client.phase == b'I'),
            _ => panic!("{} bytes from {from}", bytes.len()),
        }
    }

    fn connection(&mut self) -> ConnectionId {
        self.connections += 1;
        ConnectionId(self.connections)
    }

    /// A TCP connection is there. Its upgrade: A says a byte, and B says one.
    fn connected(&mut self, socket: SocketId, dial: Option<DialId>, ends: [SocketAddr; 2], os: &mut Os<'_>) {
        self.tcp.insert(socket, (dial, ends));
        if self.side == Side::A {
            os.send(socket, &mut &b"!"[..]);
        }
    }

    fn upgraded(&mut self, now: Time, socket: SocketId, os: &mut Os<'_>) {
        let mut bytes = BytesMut::new();
        if os.read(socket, &mut bytes) == 0 {
            return;
        }
        if self.side == Side::B {
            os.send(socket, &mut &b"!"[..]);
        }
        let (dial, [local, remote]) = self.tcp[&socket];
        self.see(now, Seen::Up(Wire::Tcp));
        let (connection, peer, role) = (self.connection(), self.peers[1], Role::Initiator);
        let (local, remote) = (Multiaddr::tcp(local), Multiaddr::tcp(remote));
        self.dials.remove(&socket);
        match dial {
            Some(dial) => self.tell(now, Told::Dialed { dial, connection, local: &local, remote: &remote, role }),
            None => {
                let inbound = true;
                self.tell(now, Told::Connected { connection, peer, relayed: false, inbound, remote: &remote });
            }
        }
    }

    fn input(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => {
                let own = SocketAddr::new(self.ip, PORT);
                self.udp = Some(os.bind_udp(own).unwrap().0);
                os.listen(own, true).unwrap();
                self.circuit = Some(os.connect_from(own, self.relay, true).unwrap());
            }
            Input::Timeout => {
                if self.observed[1].is_none() && self.ask_again <= now {
                    os.send_to(self.udp.unwrap(), self.relay, Bytes::from_static(b"where am I?")).unwrap();
                    self.ask_again = now + AGAIN;
                }
                self.probe(now, os);
                self.coordinator.on_timeout(now);
            }
            Input::Datagram { socket, from, bytes, .. } => self.datagram(now, socket, from, &bytes, os),
            Input::Received { socket } if Some(socket) == self.circuit => {
                os.read(socket, &mut self.rx);
                self.hear(now);
            }
            Input::Received { socket } => self.upgraded(now, socket, os),
            Input::Accepted { socket, local, remote, .. } => {
                self.tell(now, Told::Arriving { ip: remote.ip() });
                self.connected(socket, None, [local, remote], os);
            }
            Input::Connected { socket, local, remote } if Some(socket) != self.circuit => {
                let Some(dial) = self.dials.get(&socket).copied() else { return };
                self.tell(now, Told::Upgrading { dial });
                self.connected(socket, Some(dial), [local, remote], os);
            }
            Input::ConnectFailed { socket, error } => {
                let Some(dial) = self.dials.remove(&socket) else { return };
                let why = match error {
                    ConnectFailure::Refused => DialFault::Refused,
                    ConnectFailure::TimedOut => DialFault::TimedOut,
                    _ => DialFault::Unreachable,
                };
                self.tell(now, Told::DialFailed { dial, why });
            }
            Input::Broken { socket, .. } if Some(socket) == self.circuit => self.broken = true,
            Input::Broken { socket, error } => {
                let Some((dial, [_, remote])) = self.tcp.remove(&socket) else { return };
                match dial {
                    Some(dial) => {
                        // Nothing, if the connection was there already.
                        if self.dials.remove(&socket).is_some() {
                            let why = DialFault::upgrade(&error.to_string());
                            self.tell(now, Told::DialFailed { dial, why });
                        }
                    }
                    None => self.tell(now, Told::ArrivalFailed { ip: remote.ip() }),
                }
            }
            _ => {}
        }
    }
}

impl Node for End {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        self.input(now, input, os);
        self.drive(now, os);
    }

    fn deadline(&self) -> Time {
        let ask = if self.observed[1].is_none() { self.ask_again } else { Time::NEVER };
        let probe = self.clients.values().map(|client| client.next).min().unwrap_or(Time::NEVER);
        self.coordinator.deadline().min(ask).min(probe)
    }
}

fn packet(kind: u8) -> Bytes {
    let mut bytes = vec![0; INITIAL];
    bytes[0] = kind;
    bytes.into()
}
