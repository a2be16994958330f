//! The table of the exchange: each message that a remote can send, in each slot, on both sides, with a real coordinator behind a
//! real machine. What the machine says of it, and what the coordinator does next.
//!
//! ```text
//!   B: waits for CONNECT -> has said SYNC -> punches          A: waits for CONNECT -> waits for SYNC -> punches
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs, unreachable_pub, clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

use bytes::BytesMut;
use std::time::Duration;
use tidewire_core::{EventMachine, Keypair, Machine, Multiaddr, PeerId, Seed, Time, encode_frame};
use tidewire_dcutr::coordinator::{Action, Config, Coordinator, Event, Input};
use tidewire_dcutr::exchange::{self, Answerer, Fault, Heard, MessageType, Opener};
use tidewire_dcutr::report::{End, Failure, Report};
use tidewire_dcutr::{AskId, Candidate, ConnectionId, Source, StreamKey};

const CIRCUIT: ConnectionId = ConnectionId(1);
const RTT: Duration = Duration::from_millis(80);

fn peer(n: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([n; 32])).peer_id()
}

fn public(n: u8) -> Multiaddr {
    format!("/ip4/11.0.0.{n}/tcp/4001").parse().unwrap()
}

/// What the remote sends.
struct Says {
    name: &'static str,
    bytes: Vec<u8>,
    then: Then,
}

/// What follows the bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Nothing,
    End,
    Reset,
    /// Nothing, for as long as anybody waits.
    Silence,
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode_frame(body, &mut out);
    out.to_vec()
}

fn connect(addresses: &[Multiaddr]) -> Vec<u8> {
    let mut body = vec![8, 100];
    for address in addresses {
        body.extend([0x12, u8::try_from(address.as_bytes().len()).unwrap()]);
        body.extend(address.as_bytes());
    }
    framed(&body)
}

fn sync() -> Vec<u8> {
    framed(&[8, 0xac, 2])
}

/// All that a remote may say.
fn messages() -> Vec<Says> {
    let says = |name, bytes, then| Says { name, bytes, then };
    let full = connect(&[public(3)]);
    let mut long = vec![0x80, 0x28];
    long.resize(2 + 5120, 8);
    vec![
        says("CONNECT", full.clone(), Then::Nothing),
        says("CONNECT without addresses", connect(&[]), Then::Nothing),
        says("CONNECT twice", [full.clone(), full.clone()].concat(), Then::Nothing),
        says("CONNECT and SYNC", [full.clone(), sync()].concat(), Then::Nothing),
        says("SYNC", sync(), Then::Nothing),
        says("SYNC twice", [sync(), sync()].concat(), Then::Nothing),
        says("another type", framed(&[8, 77]), Then::Nothing),
        says("no type", framed(&[]), Then::Nothing),
        says("no protobuf", framed(&[0xff]), Then::Nothing),
        says("5 KiB", long, Then::Nothing),
        says("a part of a message, and the end", full[..9].to_vec(), Then::End),
        says("a part of a message, and silence", full[..9].to_vec(), Then::Silence),
        says("the end", vec![], Then::End),
        says("a reset", vec![], Then::Reset),
        says("silence", vec![], Then::Silence),
    ]
}

/// What the machine makes of it.
#[derive(Clone, Debug, PartialEq)]
enum Takes {
    /// The message that is due, and nothing else.
    Heard,
    /// The message that is due, and then something that is not.
    HeardThen(Fault),
    Faults(Fault),
    /// It says nothing to it.
    Nothing,
}

/// What the coordinator does next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// B: says `SYNC`; A: answers, or dials.
    NextStep,
    /// B: opens another stream at once. A: waits for one.
    NextTry,
    /// What it does anyway: the exchange is over.
    GoesOn,
}

fn faults(why: Fault) -> (Takes, Does) {
    (Takes::Faults(why), Does::NextTry)
}

/// In a slot where this message is due. `good`: which of the messages it is.
fn due(expected: MessageType, name: &str) -> (Takes, Does) {
    let after = Duration::from_secs(20);
    let unexpected = |got| faults(Fault::UnexpectedType { expected, got });
    let (is_sync, heard) = (expected == MessageType::Sync, (Takes::Heard, Does::NextStep));
    match name {
        "CONNECT" | "CONNECT without addresses" if !is_sync => heard,
        "SYNC" if is_sync => heard,
        "SYNC twice" if is_sync => (Takes::HeardThen(Fault::Trailing), Does::NextStep),
        "CONNECT" | "CONNECT without addresses" | "CONNECT twice" | "CONNECT and SYNC" if is_sync => unexpected(100),
        "SYNC" | "SYNC twice" => unexpected(300),
        "another type" => unexpected(77),
        "no type" => faults(Fault::MissingType { expected }),
        "no protobuf" => faults(Fault::Malformed { why: "".into() }),
        "5 KiB" => faults(Fault::TooLong { len: 5120, max: 4096 }),
        "a part of a message, and the end" => faults(Fault::Truncated { expected, got: 9 }),
        "the end" => faults(Fault::Ended { expected }),
        "a reset" => faults(Fault::Reset),
        "a part of a message, and silence" | "silence" => faults(Fault::Timeout { expected, after }),
        other => panic!("{other} is not in the table"),
    }
}

/// In a slot where nothing is due any more.
fn over(says: &Says) -> (Takes, Does) {
    let takes = if says.bytes.is_empty() { Takes::Nothing } else { Takes::Faults(Fault::Trailing) };
    (takes, Does::GoesOn)
}

/// One side: the coordinator, and the machine of its stream.
struct Lab {
    coordinator: Coordinator,
    now: Time,
    opener: Option<(AskId, Opener)>,
    answerer: Option<Answerer>,
    /// What was done, since it was looked at last.
    opened: usize,
    synced: usize,
    answered: usize,
    dialed: usize,
    report: Option<Report>,
}

impl Lab {
    fn new(inbound: bool) -> Lab {
        let coordinator = Coordinator::new(Config::default(), peer(1), &Seed::new([9; 32]));
        let mut lab = Lab {
            coordinator,
            now: Time::ZERO,
            opener: None,
            answerer: None,
            opened: 0,
            synced: 0,
            answered: 0,
            dialed: 0,
            report: None,
        };
        lab.tell(Input::Own(&[Candidate::new(public(2), Source::Observed)]));
        let circuit = format!("{}/p2p/{}/p2p-circuit/p2p/{}", public(9), peer(3), peer(2)).parse().unwrap();
        let (connection, peer, remote) = (CIRCUIT, peer(2), &circuit);
        lab.tell(Input::Connected { connection, peer, relayed: true, inbound, remote });
        lab.tell(Input::Identified { peer, speaks_dcutr: true, listens: &[] });
        lab
    }

    fn tell(&mut self, input: Input<'_>) {
        // News that crossed an action change nothing.
        let _ = self.coordinator.handle(self.now, input);
        self.act();
    }

    fn act(&mut self) {
        let mut tx = BytesMut::new();
        while let Some(action) = self.coordinator.poll() {
            match action {
                Action::Open { ask, addresses, .. } => {
                    self.opened += 1;
                    self.opener = Some((ask, Opener::new(self.now, &addresses, &exchange::Config::default(), &mut tx)));
                }
                Action::Sync { .. } => {
                    self.synced += 1;
                    // It says so, if the machine didn't fail meanwhile.
                    let _ = self.opener.as_mut().unwrap().1.sync(self.now, &mut tx);
                }
                Action::Answer { addresses, .. } => {
                    self.answered += 1;
                    let _ = self.answerer.as_mut().unwrap().connect(self.now, &addresses, &mut tx);
                }
                Action::Dial { .. } => self.dialed += 1,
                Action::Event(Event::Report(report)) => self.report = Some(*report),
                _ => {}
            }
        }
    }

    /// Time passes, up to the next thing that the coordinator has to do.
    fn wait(&mut self) {
        self.now = self.coordinator.deadline();
        self.coordinator.on_timeout(self.now);
        self.act();
    }

    fn look(&mut self) {
        (self.opened, self.synced, self.answered, self.dialed) = (0, 0, 0, 0);
    }

    /// The remote says this. As a link has it: the machine reads all there is, and then the coordinator hears of it.
    fn hear(&mut self, says: &Says) -> Takes {
        self.now = self.now + RTT;
        let (mut rx, mut tx) = (BytesMut::from(&says.bytes[..]), BytesMut::new());
        let (mut heard, mut fault) = (None, None);
        let was_over = match (&self.opener, &self.answerer) {
            (Some((_, opener)), _) => opener.is_over(),
            (_, Some(answerer)) => answerer.is_over(),
            _ => panic!("there is no stream"),
        };
        let mut machines = (self.opener.take(), self.answerer.take());
        for ended in [false, says.then == Then::End] {
            loop {
                let result = match (&mut machines, ended) {
                    ((Some((_, it)), _), false) => it.advance(self.now, &mut rx, &mut tx),
                    ((Some((_, it)), _), true) => it.end(self.now, &mut rx, &mut tx),
                    ((_, Some(it)), false) => it.advance(self.now, &mut rx, &mut tx),
                    ((_, Some(it)), true) => it.end(self.now, &mut rx, &mut tx),
                    _ => panic!("there is no stream"),
                };
                match result {
                    Ok(Some(one)) => assert!(heard.replace(one).is_none(), "{}: one message a slot", says.name),
                    Ok(None) => break,
                    Err(why) => {
                        fault = Some(why);
                        break;
                    }
                }
            }
        }
        let (ask, is_b) = (machines.0.as_ref().map(|(ask, _)| *ask), machines.0.is_some());
        (self.opener, self.answerer) = machines;
        let stream = StreamKey { connection: CIRCUIT, stream: 1 };
        match &heard {
            Some(Heard::Connect { addresses, skipped, rtt, .. }) => match ask {
                Some(ask) => {
                    self.tell(Input::Connects { ask, addresses, skipped: *skipped, rtt: rtt.unwrap() });
                }
                None => self.tell(Input::Asked { stream, addresses, skipped: *skipped }),
            },
            Some(Heard::Sync { rtt }) => self.tell(Input::Synced { stream, rtt: *rtt }),
            _ => {}
        }
        if fault.is_none() && says.then == Then::Reset && !was_over {
            fault = Some(Fault::Reset);
        }
        if fault.is_none() && says.then == Then::Silence && !was_over {
            // The coordinator has its own time, and so has the machine.
            let deadline = if is_b { self.opener.as_ref().unwrap().1.deadline() } else { self.a_deadline() };
            self.now = deadline;
            let machine: &mut dyn Machine<Output = Heard, Error = Fault> = match (&mut self.opener, &mut self.answerer)
            {
                (Some((_, it)), _) => it,
                (_, Some(it)) => it,
                _ => panic!("there is no stream"),
            };
            fault = machine.advance(deadline, &mut rx, &mut tx).err();
        }
        // Of what comes when the exchange is over, nobody is told.
        if let Some(why) = fault.clone().filter(|_| !was_over) {
            match ask {
                Some(ask) => self.tell(Input::AskFailed { ask, why }),
                None => self.tell(Input::StreamGone { stream, why }),
            }
        }
        match (heard, fault) {
            (Some(_), None) => Takes::Heard,
            (Some(_), Some(fault)) => Takes::HeardThen(fault),
            (None, Some(fault)) => Takes::Faults(fault),
            (None, None) => Takes::Nothing,
        }
    }

    fn a_deadline(&self) -> Time {
        self.answerer.as_ref().unwrap().deadline()
    }

    /// All that is left takes its course: whatever came, it ends, and says how.
    fn finish(mut self) -> Option<Report> {
        for _ in 0..200 {
            if self.report.is_some() || self.coordinator.counts().attempts == 0 {
                break;
            }
            self.wait();
        }
        let counts = self.coordinator.counts();
        assert_eq!((counts.attempts, counts.asks, counts.dials), (0, 0, 0));
        self.report
    }
}

#[track_caller]
fn assert_takes(slot: &str, says: &Says, takes: Takes, expected: &Takes) {
    // Which words a decoder has for what it can't read is its own matter.
    let takes = match takes {
        Takes::Faults(Fault::Malformed { .. }) => Takes::Faults(Fault::Malformed { why: "".into() }),
        other => other,
    };
    assert_eq!(takes, *expected, "{slot}: {}", says.name);
}

/// B, which has opened its stream.
fn b() -> Lab {
    let lab = Lab::new(true);
    assert_eq!(lab.opened, 1);
    lab
}

/// A, on whose circuit a stream was opened.
fn a() -> Lab {
    let mut lab = Lab::new(false);
    lab.answerer = Some(Answerer::new(lab.now, &exchange::Config::default()));
    lab
}

fn good(bytes: Vec<u8>) -> Says {
    Says { name: "what is due", bytes, then: Then::Nothing }
}

#[test]
fn b_waits_for_connect() {
    for says in messages() {
        let (mut lab, slot) = (b(), "B waits for CONNECT");
        lab.look();
        let out_of_turn = Fault::OutOfTurn { turn: MessageType::Sync };
        let (expected, does) = match says.name {
            "CONNECT twice" | "CONNECT and SYNC" => (Takes::HeardThen(out_of_turn), Does::NextStep),
            name => due(MessageType::Connect, name),
        };
        let takes = lab.hear(&says);
        assert_takes(slot, &says, takes, &expected);
        let began = (lab.synced, lab.opened);
        match does {
            // What came too early is noticed after CONNECT was heard: SYNC is due, if there is still a stream to say it on.
            Does::NextStep => assert_eq!(began, (1, 0), "{slot}: {}", says.name),
            _ => assert_eq!(began, (0, 1), "{slot}: {}", says.name),
        }
        let report = lab.finish().unwrap();
        if let Takes::Faults(fault) = &expected {
            let said = report.tries[0].fault.as_ref().unwrap();
            let same = said == fault || matches!((said, fault), (Fault::Malformed { .. }, Fault::Malformed { .. }));
            assert!(same, "{slot}: {}: the report has {said:?}", says.name);
        }
        assert!(!report.is_upgraded() && report.tries.len() == 3, "{slot}: {}", says.name);
    }
}

#[test]
fn b_has_said_sync_or_punches() {
    for slot in ["B has said SYNC", "B punches"] {
        for says in messages() {
            let mut lab = b();
            lab.hear(&good(connect(&[public(3)])));
            assert_eq!(lab.synced, 1);
            if slot == "B punches" {
                lab.wait();
                assert_eq!(lab.dialed, 1);
            }
            lab.look();
            let (expected, _) = over(&says);
            let before = lab.coordinator.deadline();
            let takes = lab.hear(&says);
            assert_takes(slot, &says, takes, &expected);
            // Nothing changed: the dial is made, or goes on, as if nothing had come.
            assert_eq!((lab.opened, lab.dialed), (0, 0), "{slot}: {}", says.name);
            assert_eq!(lab.coordinator.deadline(), before, "{slot}: {}", says.name);
            let report = lab.finish().unwrap();
            assert_eq!(report.tries[0].dials.len(), 1, "{slot}: {}", says.name);
            assert_eq!(report.tries[0].fault, None, "{slot}: {}", says.name);
        }
    }
}

#[test]
fn a_waits_for_connect() {
    for says in messages() {
        let (mut lab, slot) = (a(), "A waits for CONNECT");
        let out_of_turn = Fault::OutOfTurn { turn: MessageType::Connect };
        let (expected, does) = match says.name {
            "CONNECT twice" | "CONNECT and SYNC" => (Takes::HeardThen(out_of_turn.clone()), Does::NextTry),
            name => due(MessageType::Connect, name),
        };
        let takes = lab.hear(&says);
        assert_takes(slot, &says, takes, &expected);
        let heard = matches!(expected, Takes::Heard | Takes::HeardThen(_));
        assert_eq!((lab.answered, lab.dialed), (usize::from(heard), 0), "{slot}: {}", says.name);
        let fault = if does == Does::NextTry { Some(out_of_turn) } else { None };
        let report = lab.finish();
        assert_eq!(report.is_some(), heard, "{slot}: {}: of what was not asked there is no report", says.name);
        if let (Some(report), Some(fault)) = (&report, fault) {
            assert_eq!(report.tries[0].fault, Some(fault), "{slot}: {}", says.name);
        }
        assert!(report.is_none_or(|report| report.dials().count() == 0), "{slot}: {}: nobody said SYNC", says.name);
    }
}

#[test]
fn a_waits_for_sync() {
    for says in messages() {
        let (mut lab, slot) = (a(), "A waits for SYNC");
        lab.hear(&good(connect(&[public(3)])));
        lab.look();
        let (expected, does) = due(MessageType::Sync, says.name);
        let takes = lab.hear(&says);
        assert_takes(slot, &says, takes, &expected);
        let dials = usize::from(does == Does::NextStep);
        assert_eq!((lab.dialed, lab.answered), (dials, 0), "{slot}: {}", says.name);
        let report = lab.finish().unwrap();
        assert!(matches!(report.end, End::Failed(Failure::NoFurtherTry)), "{slot}: {}: {report}", says.name);
        if let Takes::Faults(fault) = &expected {
            let said = report.tries[0].fault.as_ref().unwrap();
            let same = said == fault || matches!((said, fault), (Fault::Malformed { .. }, Fault::Malformed { .. }));
            assert!(same, "{slot}: {}: the report has {said:?}", says.name);
        }
        assert_eq!(report.dials().count(), dials, "{slot}: {}", says.name);
    }
}

#[test]
fn a_punches() {
    for says in messages() {
        let (mut lab, slot) = (a(), "A punches");
        lab.hear(&good(connect(&[public(3)])));
        lab.hear(&good(sync()));
        assert_eq!(lab.dialed, 1);
        lab.look();
        let (expected, _) = over(&says);
        let before = lab.coordinator.deadline();
        let takes = lab.hear(&says);
        assert_takes(slot, &says, takes, &expected);
        assert_eq!((lab.dialed, lab.answered, lab.coordinator.deadline()), (0, 0, before), "{slot}: {}", says.name);
        let report = lab.finish().unwrap();
        assert_eq!(report.tries[0].fault, None, "{slot}: {}", says.name);
    }
}
