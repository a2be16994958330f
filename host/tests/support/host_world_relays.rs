//! The relays' part of the world: what is said of them, asked of links, and answered.

use super::*;

impl World {
    /// All others are connected, and each holds a reservation with us, or we with it: much is to be done from there.
    pub(crate) fn acquaint(&mut self) {
        for (n, peer) in self.peers.clone().into_iter().enumerate().skip(1) {
            self.incoming(address(n));
            let connection = ConnectionId(self.next);
            let Some(link) = self.links.get_mut(&connection) else { continue };
            link.peer = Some(peer);
            let (role, security, muxer) = (Role::Responder, "/noise".into(), MuxerKind::Yamux);
            link.outbox.push_back(Report::Established { peer, role, security, muxer });
            self.exchange(Some(connection));
            match n % 2 {
                0 => self.ask(Some(connection), 0),
                _ => self.tell(Input::Relay(RelayCommand::Reserve { relay: peer, addresses: vec![] })),
            }
            self.exchange(Some(connection));
            self.answer(Some(connection), 1);
            self.exchange(Some(connection));
        }
        self.acquaint_circuits();
    }

    /// A link and the host hear each other.
    pub(super) fn exchange(&mut self, connection: Option<ConnectionId>) {
        for _ in 0..3 {
            self.obey(connection, 1);
            while connection.and_then(|it| self.links.get(&it)).is_some_and(|link| !link.outbox.is_empty()) {
                self.deliver(connection);
            }
        }
    }

    /// What an application says of relays.
    pub(super) fn say_of_relays(&mut self, n: usize, how: u8) {
        let (relay, at) = (self.peers[n], address(n));
        let listener = ListenerId(u64::from(how) % 3);
        let input = match how % 12 {
            0 | 1 => Input::Relay(RelayCommand::Reserve { relay, addresses: vec![at] }),
            2 => Input::Relay(RelayCommand::Release { relay }),
            3 => Input::Listen { listener, address: relayed(n, relay) },
            4 => Input::Unlisten { listener },
            5 => {
                let addresses = vec![
                    relayed(n, self.peers[4]),
                    format!("{}/p2p/{}/p2p-circuit", at, self.peers[1 + n % 4]).parse().unwrap(),
                ];
                let request = RequestId(self.fresh());
                Input::Connect { request, peer: relay, addresses, options: DialOptions::default() }
            }
            6 => Input::AddExternal { address: address(7 + n) },
            7 => Input::WallClock(UnixTime::from_secs(1_800_000_000 + u64::from(how) * 100)),
            8 => Input::NatStatus([NatStatus::Unknown, NatStatus::Private, NatStatus::Public][usize::from(how) % 3]),
            9 => {
                let all = self.peers.iter().enumerate().skip(1);
                let candidates = all.map(|(n, peer)| Candidate { peer: *peer, addresses: vec![address(n)] });
                Input::Relay(RelayCommand::Candidates(candidates.collect()))
            }
            10 if how > 250 => Input::Relay(RelayCommand::Drain { grace: Duration::from_secs(u64::from(how)) }),
            10 => Input::Relay(RelayCommand::Advertised { ttl: None }),
            _ => Input::Relay(RelayCommand::AdvertiseFailed),
        };
        // What nobody holds is not given back, and what has a name gets no other.
        if self.host.handle(self.now, input).is_ok() {
            self.carry_out();
        }
    }

    /// The remote of a connection asks something.
    pub(super) fn ask(&mut self, connection: Option<ConnectionId>, how: u8) {
        let other = self.peers[usize::from(how) % 5];
        let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) else { return };
        if link.over || link.peer.is_none() {
            return;
        }
        let addresses = vec![address(usize::from(how) % 5), address(9)];
        let (service, request) = match how % 7 {
            0 | 1 => (Service::Hop, Request::Reserve),
            2 | 3 => (Service::Hop, Request::Connect { destination: other }),
            4 => (Service::Stop, Request::Stop { source: other, limit: Limit::UNLIMITED }),
            5 => (Service::AutonatV1, Request::DialMe { addresses }),
            _ if how > 200 => (Service::AutonatV2Back, Request::DialBack { nonce: u64::from(how) }),
            _ => (Service::AutonatV2Request, Request::Probe { nonce: u64::from(how), addresses }),
        };
        let (stream, protocol) = (link.number(), Protocol::new(service.name()).unwrap());
        link.reported.insert(stream, None);
        link.requests.insert(stream, request);
        let direction = Direction::Inbound;
        link.outbox.push_back(Report::StreamOpened { stream, direction, protocol, open: None });
    }

    /// The remote of a connection answers what the host asked.
    pub(super) fn answer(&mut self, connection: Option<ConnectionId>, how: u8) {
        let now = UnixTime::from_secs(1_800_003_600 + u64::from(how) * 10);
        // If this one was asked nothing, another one was.
        let asked = self.links.iter().find(|(_, link)| !link.asks.is_empty()).map(|(connection, _)| *connection);
        let connection = connection.filter(|it| self.links.get(it).is_some_and(|link| !link.asks.is_empty())).or(asked);
        let Some(link) = connection.and_then(|it| self.links.get_mut(&it)) else { return };
        let Some((ask, (stream, what))) = link.asks.pop_first() else { return };
        let refused = how.is_multiple_of(4);
        let answer = match &what {
            _ if how.is_multiple_of(7) => Err(AskFault::Open(OpenFault::Unsupported)),
            Ask::Reserve | Ask::Connect { .. } | Ask::Stop { .. } if refused => {
                Ok(Answer::Refused { status: Status::RESOURCE_LIMIT_EXCEEDED })
            }
            Ask::Reserve => Ok(Answer::Reserved(Box::new(Reservation::new(link.peer.unwrap(), now)))),
            Ask::Connect { .. } => Ok(Answer::Connected { limit: Limit { duration: None, data: Some(1 << 17) } }),
            Ask::Stop { .. } => Ok(Answer::Accepted),
            Ask::DialMe { addresses } => Ok(Answer::Dialed(v1::Response::ok(addresses.first().cloned()))),
            Ask::Probe { .. } if refused => {
                link.asks.insert(ask, (stream, what.clone()));
                Ok(Answer::CostAsked { index: 0, bytes: 30_000 })
            }
            Ask::Probe { .. } => Ok(Answer::Probed(v2::Response::dialed(0, v2::DialStatus::DIAL_ERROR))),
            _ => Ok(Answer::BackHeard),
        };
        let (circuit, goes_on) = match &answer {
            Ok(Answer::Connected { .. } | Answer::Accepted) => (true, true),
            Ok(Answer::CostAsked { .. }) => (false, true),
            _ => (false, false),
        };
        let answer = answer.map(Box::new).map_err(Box::new);
        link.outbox.push_back(Report::Answered { ask, stream: Some(stream), answer });
        if circuit {
            link.circuits.insert(stream);
        } else if !goes_on {
            link.close_stream(stream);
        }
    }
}
