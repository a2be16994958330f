//! Recordings that were tampered with, and all that can be recorded.

use super::digest::Outcome;
use super::format::{Frame, MAGIC, Reader, VERSION, Writer};
use super::{Ending, RecordConfig, Replay, Step, Verdict};
use crate::addresses::{NatStatus, PortMapping};
use crate::identify::{Identity, RecordRefused};
use crate::link::{Fault, LinkConfig, OpenFault, Report};
use crate::{
    AskNumber, By, Command, Config, ConnectionId, DialId, Direction, Host, Input, ListenerId, OpenId, OpenOptions,
    PunchCommand, RequestId, StreamId,
};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::time::Duration;
use smol_str::SmolStr;
use tidewire_connmgr::StreamRefusal;
use tidewire_connmgr::dial::{DialFault, DialOptions, GateRule};
use tidewire_connmgr::limits::{Limit, LimitExceeded};
use tidewire_connmgr::worth::{Bump, Decay, DecayingTag, TagChange};
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, PeerRecord, Role, Seed, Time, UnixTime};
use tidewire_dcutr::exchange::{Fault as PunchFault, Heard};
use tidewire_multistream::{Protocol, Protocols};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::muxer::MuxerKind;

fn peer(n: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([n; 32])).peer_id()
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// A host that listens, dials and is told of an address, with its state noted down after each step.
fn recorded() -> Vec<u8> {
    let record = RecordConfig { state_every: 1, ..RecordConfig::default() };
    let mut host = Host::recorded(Config::default(), peer(1), &Seed::new([9; 32]), UnixTime::from_secs(5), record);
    let inputs = [
        Input::Listen { listener: ListenerId(0), address: address("/ip4/0.0.0.0/tcp/4001") },
        Input::Listening { listener: ListenerId(0), address: address("/ip4/11.0.0.1/tcp/4001") },
        Input::Connect {
            request: RequestId(1),
            peer: peer(2),
            addresses: vec![address("/ip4/11.0.0.2/tcp/4001")],
            options: DialOptions::default(),
        },
        Input::AddExternal { address: address("/ip4/11.0.0.3/tcp/4001") },
    ];
    for (n, input) in inputs.into_iter().enumerate() {
        host.handle(Time::from_millis(n as u64), input).unwrap();
    }
    host.on_timeout(Time::from_millis(60_000));
    let recorder = host.recorder().unwrap();
    recorder.finish();
    recorder.bytes().to_vec()
}

/// The same recording with other frames, its checks right.
fn forged(file: &[u8], mut change: impl FnMut(&mut Frame)) -> Vec<u8> {
    let (mut reader, mut writer) = (Reader::new(), Writer::new());
    let mut out = BytesMut::from(&MAGIC[..]);
    out.extend_from_slice(&[VERSION]);
    while let Some(frame) = reader.peek(file) {
        let Ok(mut frame) = frame else { panic!("no whole frame") };
        reader.take(file);
        change(&mut frame);
        match &frame {
            Frame::Header(header) => assert!(writer.header(header)),
            Frame::Input { delta, input } => assert!(writer.input(*delta, input)),
            Frame::Timeout { delta } => writer.timeout(*delta),
            Frame::Outcome(outcome) => writer.outcome(*outcome),
            Frame::State(hash) => writer.state(*hash),
            Frame::End(code) => writer.end(*code),
        }
        writer.commit(&mut out);
    }
    out.to_vec()
}

fn verdicts(file: &[u8]) -> (Vec<Verdict>, Option<Ending>) {
    let mut replay = Replay::new(file).unwrap();
    let verdicts = replay.by_ref().map(|step: Step| step.verdict).collect();
    (verdicts, replay.ending())
}

#[test]
fn frames_are_written_as_they_were_read() {
    let file = recorded();
    assert!(forged(&file, |_| {}) == file);
    assert_eq!(verdicts(&file), (vec![Verdict::Identical; 5], Some(Ending::Finished)));
}

#[test]
fn a_host_that_decides_otherwise_is_noticed_at_the_first_step_where_it_does() {
    let file = forged(&recorded(), |frame| {
        if let Frame::Header(header) = frame {
            // The dial doesn't come from the port on which we listen.
            header.config.reuse_port = false;
        }
    });
    let (verdicts, ending) = verdicts(&file);
    assert_eq!(verdicts[..2], [Verdict::Identical; 2]);
    assert_eq!(verdicts[2], Verdict::Actions { then: 1, now: 1 });
    assert_eq!(ending, Some(Ending::Finished));
}

#[test]
fn an_action_too_few_and_one_too_many_are_noticed() {
    for by in [1, u64::MAX] {
        let mut first = true;
        let file = forged(&recorded(), |frame| {
            if let Frame::Outcome(Outcome { actions, .. }) = frame
                && core::mem::take(&mut first)
            {
                *actions = actions.wrapping_add(by);
            }
        });
        let Verdict::Actions { then, now } = verdicts(&file).0[0] else { panic!("not noticed") };
        assert_eq!(then, now.wrapping_add(by));
    }
}

#[test]
fn another_state_is_noticed_though_the_actions_are_the_same() {
    let mut count = 0;
    let file = forged(&recorded(), |frame| {
        if let Frame::State(hash) = frame {
            count += 1;
            *hash ^= u64::from(count == 2);
        }
    });
    let (verdicts, _) = verdicts(&file);
    assert_eq!(verdicts[..3], [Verdict::Identical, Verdict::State, Verdict::Identical]);
}

#[test]
fn frames_in_a_wrong_place_end_a_replay() {
    let file = forged(&recorded(), |frame| {
        if let Frame::Timeout { .. } = frame {
            *frame = Frame::State(1);
        }
    });
    let (steps, ending) = verdicts(&file);
    assert_eq!(steps.len(), 4);
    assert!(matches!(ending, Some(Ending::NotUnderstood { .. })), "{ending:?}");
}

/// An input of each kind, with all that can be in one.
fn inputs() -> Vec<Input> {
    let (connection, stream, open) = (ConnectionId(3), StreamId(4), OpenId(u64::MAX));
    let (here, there) =
        (address("/ip4/11.0.0.1/tcp/4001"), address("/dns4/example.com/tcp/443/tls/sni/example.com/ws"));
    let echo = Protocol::new("/echo/1").unwrap();
    let limit = |limit| LimitExceeded { limit, cap: 1, used: 2 };
    let network = "2001:db8::1".parse().unwrap();
    let rate = Limit::Rate { network, prefix: 56, again_in: Duration::new(1, 999_999_999) };
    let word = |text: &str| SmolStr::new(text);
    let mut all = vec![
        Input::Listening { listener: ListenerId(1), address: here.clone() },
        Input::NotListening { listener: ListenerId(1), address: here.clone() },
        Input::ListenerClosed { listener: ListenerId(1), why: word("né\u{0}") },
        Input::NetworkChanged,
        Input::Incoming { connection, local: here.clone(), remote: there.clone(), over: None, asn: None },
        Input::Dialed { dial: DialId(7), connection, local: here.clone(), remote: there.clone() },
        Input::DialFailed { dial: DialId(7), fault: DialFault::Transport("refused".into()) },
        Input::Listen { listener: ListenerId(1), address: here.clone() },
        Input::Unlisten { listener: ListenerId(1) },
        Input::Connect {
            request: RequestId(1),
            peer: peer(2),
            addresses: vec![here.clone(), there.clone()],
            options: DialOptions::default(),
        },
        Input::CancelConnect { request: RequestId(1) },
        Input::Open {
            open,
            peer: peer(2),
            protocols: Protocols::parse(&["/a", "/b"]).unwrap(),
            options: OpenOptions { limited: true, dial: false, selection: Selection::Plain, timeout: Duration::MAX },
        },
        Input::CancelOpen { open },
        Input::Protocols(vec![echo.clone()]),
        Input::AddExternal { address: there.clone() },
        Input::RemoveExternal { address: there.clone() },
        Input::NatStatus(NatStatus::Private),
        Input::Relayed(vec![there.clone()]),
        Input::Shutdown,
        Input::Punch(PunchCommand::Punch { peer: peer(2) }),
        Input::Punch(PunchCommand::Cancel { peer: peer(2) }),
        Input::PortMapping(PortMapping::Mapped { listen: here.clone(), external: there.clone(), by: word("PCP") }),
        Input::PortMapping(PortMapping::Lost { external: there.clone(), why: word("why") }),
        Input::PortMapping(PortMapping::Failed { listen: here.clone(), why: word("why") }),
    ];
    let commands = vec![
        Command::Addresses { peer: peer(2), addresses: vec![here.clone()], ttl: Duration::from_secs(1) },
        Command::Protect { peer: peer(2), reason: word("why") },
        Command::Unprotect { peer: peer(2), reason: word("why") },
        Command::Tag { peer: peer(2), tag: word("t"), change: TagChange::Set(-5) },
        Command::DefineDecaying {
            tag: word("t"),
            decay: DecayingTag { interval: Duration::from_secs(60), decay: Decay::None },
        },
        Command::RemoveDecaying { tag: word("t") },
        Command::Bump { peer: peer(2), tag: word("t"), bump: Bump::Unbounded(i32::MIN) },
        Command::Unbump { peer: peer(2), tag: word("t") },
        Command::KeepAlive { peer: peer(2), on: true },
        Command::Deny { rule: GateRule::Subnet(network, 48), why: word("spam") },
        Command::Deny { rule: GateRule::Peer(peer(2)), why: word("spam") },
        Command::Allow { rule: GateRule::Address(there.clone()) },
        Command::Close { connection, why: word("done") },
        Command::Disconnect { peer: peer(2), why: word("done") },
        Command::TrimNow,
        Command::Emergency,
    ];
    let mut reports = vec![
        Report::Established { peer: peer(2), role: Role::Responder, security: word("/noise"), muxer: MuxerKind::Yamux },
        Report::StreamOpened { stream, direction: Direction::Inbound, protocol: echo.clone(), open: None },
        Report::StreamOpened { stream, direction: Direction::Outbound, protocol: echo.clone(), open: Some(open) },
        Report::StreamClosed { stream },
        Report::IdentifyFailed { why: word("silence") },
        Report::Pong { rtt: Duration::from_nanos(1) },
        Report::Heard {
            ask: Some(AskNumber(7)),
            stream,
            heard: Ok(Heard::Connect {
                addresses: vec![there.clone()],
                skipped: 1,
                dropped: 2,
                rtt: Some(Duration::from_millis(3)),
            }),
        },
        Report::Heard { ask: None, stream, heard: Ok(Heard::Sync { rtt: Duration::MAX }) },
        Report::Heard { ask: None, stream, heard: Err(Box::new(PunchFault::NotSpoken)) },
        Report::PingUnsupported,
        Report::Used,
        Report::Ended { by: By::Remote, fault: Fault::WrongPeer(peer(3)), why: word("wrong") },
        Report::Ended { by: By::Local, fault: Fault::None, why: word("") },
    ];
    let faults = [
        OpenFault::Unsupported,
        OpenFault::Negotiation { why: word("no") },
        OpenFault::Reset { code: u32::MAX },
        OpenFault::NoMore { why: word("full") },
        OpenFault::Refused(StreamRefusal::Limit(limit(rate))),
        OpenFault::Refused(StreamRefusal::Limit(limit(Limit::StreamsIn(Direction::Inbound)))),
        OpenFault::ConnectionEnded,
    ];
    reports.extend(faults.into_iter().map(|why| Report::OpenFailed { open, why }));
    reports.extend(identities().into_iter().map(|identity| Report::Identified(Box::new(identity))));
    reports.push(Report::Pushed(Box::default()));
    all.extend(commands.into_iter().map(Input::Manage));
    all.extend(reports.into_iter().map(|report| Input::Report { connection, report }));
    all
}

/// What peers say of themselves: everything, and records that were refused for each kind of reason.
fn identities() -> Vec<Identity> {
    let keypair = Keypair::from_seed(&Seed::new([2; 32]));
    let refused = |error| {
        let mut identity = Identity::default();
        identity.refused = Some(error);
        identity
    };
    let invalid = |bytes: &[u8]| {
        let error = PeerRecord::open(bytes.to_vec().into()).expect_err("refused");
        refused(RecordRefused::Invalid(error))
    };
    // No protobuf; no field; no key; another payload.
    let envelopes: [&[u8]; 4] =
        [b"\xff", b"", b"\x0a\x00\x12\x00\x1a\x00\x2a\x00", b"\x0a\x04\x08\x01\x12\x00\x12\x01x\x1a\x00\x2a\x00"];
    let mut all: Vec<Identity> = envelopes.into_iter().map(invalid).collect();
    all.push(refused(RecordRefused::OtherPeer { expected: peer(2), got: peer(3) }));
    all.push(refused(RecordRefused::Stale { known: u64::MAX, got: 1 }));
    let mut full = Identity::default();
    full.public_key = Some(keypair.public());
    full.protocol_version = Some(SmolStr::new("/my/1"));
    full.agent = Some(SmolStr::new("a name that is longer than what fits into the struct itself"));
    full.protocols = vec![Protocol::new("/x").unwrap()];
    full.addresses = vec![address("/ip6/::1/udp/1/quic-v1")];
    full.observed = Some(address("/ip4/11.0.0.9/tcp/1"));
    all.push(full);
    all
}

#[test]
fn each_input_is_replayed_as_it_was() {
    let mut writer = Writer::new();
    let mut out = BytesMut::from(&MAGIC[..]);
    out.extend_from_slice(&[VERSION]);
    let all = inputs();
    for (n, input) in all.iter().enumerate() {
        assert!(writer.input(n as u64, input));
        writer.commit(&mut out);
    }
    let mut reader = Reader::new();
    for (n, input) in all.iter().enumerate() {
        match reader.peek(&out) {
            Some(Ok(Frame::Input { delta, input: read })) => assert_eq!((delta, &read), (n as u64, input)),
            Some(Ok(_)) => panic!("{input:?} became another frame"),
            Some(Err(bad)) => panic!("{input:?}: {bad:?}"),
            None => panic!("{input:?} is gone"),
        }
        reader.take(&out);
    }
    assert!(reader.peek(&out).is_none());
}

#[test]
fn each_input_and_the_configuration_survive_json() {
    for input in inputs() {
        let text = serde_json::to_string(&input).unwrap();
        let read: Input = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(read, input, "{text}");
    }
    let text = serde_json::to_string(&Config::default()).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&text).unwrap(), Config::default());
}

#[test]
fn the_configuration_of_links_survives_json_and_may_leave_out_what_it_does_not_change() {
    let mut config = LinkConfig { max_pings: 3, push_interval: Duration::from_millis(1500), ..LinkConfig::default() };
    config.identify.max_bytes = 4096;
    config.ping.idle = Duration::from_secs(7);
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<LinkConfig>(&text).unwrap(), config, "{text}");

    let read: LinkConfig = serde_json::from_str(r#"{"max_pings":3,"identify":{"max_bytes":4096},"ping":{}}"#).unwrap();
    let mut expected = LinkConfig { max_pings: 3, ..LinkConfig::default() };
    expected.identify.max_bytes = 4096;
    assert_eq!(read, expected);
}

#[test]
fn a_configuration_may_leave_out_what_it_does_not_change() {
    let config: Config = serde_json::from_str(r#"{"agent":"mine/1","manager":{"worth":{"low":3}}}"#).unwrap();
    let mut expected = Config { agent: "mine/1".into(), ..Config::default() };
    expected.manager.worth.low = 3;
    assert_eq!(config, expected);
}

#[test]
fn peers_and_addresses_are_text_for_people() {
    let input = Input::Incoming {
        connection: ConnectionId(3),
        local: address("/ip4/11.0.0.1/tcp/1"),
        remote: address("/ip4/11.0.0.2/tcp/2"),
        over: None,
        asn: Some(64512),
    };
    assert_eq!(
        serde_json::to_string(&input).unwrap(),
        r#"{"Incoming":{"connection":3,"local":"/ip4/11.0.0.1/tcp/1","remote":"/ip4/11.0.0.2/tcp/2","over":null,"asn":64512}}"#
    );
    let id: String = serde_json::to_string(&peer(2)).unwrap();
    assert!(id.starts_with("\"12D3KooW"), "{id}");
}

#[test]
fn all_text_of_an_action_counts() {
    let listen = |port: u16| crate::Action::Listen {
        listener: ListenerId(0),
        address: address(&alloc::format!("/ip4/11.0.0.1/tcp/{port}")),
    };
    let of = |actions: &[crate::Action]| Outcome::of(actions.iter(), None);
    assert_eq!(of(&[]), None);
    assert_ne!(of(&[listen(1)]), of(&[listen(2)]));
    assert_ne!(of(&[listen(1), listen(2)]), of(&[listen(2), listen(1)]));
    assert_eq!(of(&[listen(1)]), of(&[listen(1)]));
}
