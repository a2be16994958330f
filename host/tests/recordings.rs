//! Recordings: what is in them, what is not, that they replay, and what becomes of broken ones.
//!
//! Each file in `tests/recordings` is replayed and must do the same: a recorded failure becomes a regression test by being put
//! there. Those that this file makes itself are renewed, after a change of what a host does, by `TIDEWIRE_RECORD=1`; the pictures
//! of the first two in `cli/tests/golden` are then to be renewed the same way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::std_instead_of_alloc)]
#![allow(clippy::std_instead_of_core)]

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/recorded.rs"]
mod recorded;

use nodes::{ECHO, Nodes, address, keypair, seed};
use proptest::prelude::*;
use recorded::{PAYLOAD, conversation, punched, relayed, seconds, short, troubles};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_core::{EventMachine, Role, Seed, Time, UnixTime};
use tidewire_dcutr::exchange::Heard;
use tidewire_host::link::{Fault, Report};
use tidewire_host::record::{Ending, RecordConfig, Replay, ReplayError, Step, Stop, Verdict, What};
use tidewire_host::{
    Action, AskNumber, By, Command, Config, ConnectionId, DialId, Direction, Host, Input, ListenerId, OpenId,
    OpenOptions, PunchCommand, RequestId, StreamId,
};
use tidewire_multistream::Protocols;
use tidewire_upgrade::muxer::MuxerKind;

fn replayed(file: &[u8]) -> (Vec<Step>, Ending) {
    let mut replay = Replay::new(file).unwrap();
    let steps: Vec<Step> = replay.by_ref().collect();
    (steps, replay.ending().expect("at its end"))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")
}

/// Writes the recordings of this file, if that is asked for.
fn renew() {
    if std::env::var_os("TIDEWIRE_RECORD").is_none_or(|value| value != "1") {
        return;
    }
    std::fs::create_dir_all(folder()).unwrap();
    let relayed = |recorded| relayed(recorded).finish();
    let punched = |recorded| punched(recorded).finish();
    for (name, made) in [
        ("conversation", conversation().finish()),
        ("troubles", troubles().killed()),
        ("relay", relayed(0)),
        ("reserved", relayed(1)),
        ("through-relay", relayed(2)),
        ("punched", punched(1)),
        ("punches", punched(2)),
    ] {
        std::fs::write(folder().join(name).with_extension("tidewire"), made).unwrap();
    }
}

/// All that a replay did, as one text.
fn told(file: &[u8]) -> String {
    let (steps, ending) = replayed(file);
    let mut text: String = steps.iter().map(|step| format!("{step:?}\n")).collect();
    text.push_str(&format!("{ending:?}"));
    text
}

#[test]
fn each_recording_in_the_folder_replays_identically() {
    renew();
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "tidewire") {
            continue;
        }
        count += 1;
        let (steps, ending) = replayed(&std::fs::read(&path).unwrap());
        for step in &steps {
            // Of the last step before the end of a process nothing may be known.
            let last = step.number + 1 == steps.len() as u64 && ending != Ending::Finished;
            let good = step.identical() || last && step.verdict == Verdict::Unknown;
            assert!(
                good,
                "{}: {step:#?}\nIf a host may do something else now, TIDEWIRE_RECORD=1 renews the recordings that this test \
                 makes itself; other ones are history.",
                path.display()
            );
        }
        assert!(!steps.is_empty(), "{}", path.display());
        assert!(matches!(ending, Ending::Finished | Ending::Cut { .. }), "{}: {ending}", path.display());
    }
    assert!(count >= 7, "{count} recordings");
}

#[test]
fn the_same_conversation_gives_the_same_recording() {
    assert!(conversation().finish() == conversation().finish());
    assert!(troubles().killed() == troubles().killed());
    assert!(relayed(0).finish() == relayed(0).finish());
}

#[test]
fn a_relays_day_is_in_the_recordings_of_all_three() {
    for (recorded, what) in [
        (0, ["Asked", "Spliced", "TimeLimit", "Shutdown"]),
        (1, ["Answered", "Stop", "CircuitEnded", "Incoming"]),
        (2, ["Answered", "Connected", "CircuitEnded", "Dialed"]),
    ] {
        let file = relayed(recorded).finish();
        assert!(replayed(&file).0.iter().all(Step::identical), "node {recorded}");
        let told = told(&file);
        for word in what {
            assert!(told.contains(word), "node {recorded}: {word} is not in what it was told");
        }
    }
}

#[test]
fn a_hole_punch_is_in_the_recordings_of_both_sides() {
    for (recorded, what) in [
        (1, ["Punch(Started", "side: B", "Connect { addresses", "ListenFirst", "Upgraded"]),
        (2, ["Punch(Started", "side: A", "Sync { rtt", "plan: Initiate", "Upgraded"]),
    ] {
        let file = punched(recorded).finish();
        assert!(replayed(&file).0.iter().all(Step::identical), "node {recorded}");
        let told = told(&file);
        for word in what {
            assert!(told.contains(word), "node {recorded}: {word} is not in what it was told");
        }
    }
}

#[test]
fn another_process_does_the_same() {
    const PATH: &str = "TIDEWIRE_TEST_REPLAY";
    if let Some(path) = std::env::var_os(PATH) {
        // This is that process.
        println!("told:{}", told(&std::fs::read(path).unwrap()).replace('\n', "\u{1}"));
        return;
    }
    let path = std::env::temp_dir().join(format!("tidewire-{}.tidewire", std::process::id()));
    let file = troubles().finish();
    std::fs::write(&path, &file).unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "another_process_does_the_same", "--nocapture"])
        .env(PATH, &path)
        .output()
        .unwrap();
    std::fs::remove_file(&path).unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let there = output.split_once("told:").expect("an answer").1.lines().next().unwrap().replace('\u{1}', "\n");
    let here = told(&file);
    assert!(there == here, "{} bytes there, {} here", there.len(), here.len());
    assert!(here.contains("Established") && here.contains("Identical"), "{here}");
}

#[test]
fn neither_keys_nor_entropy_nor_payload_are_in_a_recording() {
    let file = conversation().finish();
    let holds = |what: &[u8]| file.windows(what.len()).any(|window| window == what);
    // What is there is found.
    assert!(holds(ECHO.as_bytes()));
    assert!(holds(keypair(1).peer_id().as_bytes()));
    assert!(holds(address(1).as_bytes()));
    for node in 0..3 {
        let protobuf = keypair(node).to_protobuf();
        // The last 64 bytes are the secret and the public half; the public one may be known to all.
        let secret = &protobuf[protobuf.len() - 64..protobuf.len() - 32];
        assert!(!holds(secret), "the secret key of {node}");
        assert!(!holds(&secret[..16]) && !holds(&secret[16..]), "half of the secret key of {node}");
        assert!(!holds(seed(node).as_bytes()), "the seed of {node}");
        for label in ["upgrader", "links"] {
            assert!(!holds(seed(node).derive(label, 0).as_bytes()), "the seed of {node}'s {label}");
        }
    }
    assert!(!PAYLOAD.chunks_exact(8).any(holds), "the application's data");
}

#[test]
fn a_recorder_does_not_print_what_waits_in_it() {
    let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
    let mut host = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
    let recorder = host.recorder().unwrap();
    assert!(recorder.bytes().starts_with(b"tidewire-rec"));
    assert!(!format!("{recorder:?}").contains("tidewire-rec"), "{recorder:?}");
}

#[test]
fn recording_changes_nothing() {
    let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
    let mut plain = Host::new(Config::default(), local, &seed, epoch);
    let mut recorded = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
    let mut replay = Replay::new(&conversation().finish()).unwrap();
    for step in replay.by_ref() {
        let all = [&mut plain, &mut recorded].map(|host| {
            match &step.what {
                What::Input(input) => _ = host.handle(step.at, input.clone()),
                _ => host.on_timeout(step.at),
            }
            std::iter::from_fn(|| host.poll()).collect::<Vec<Action>>()
        });
        assert_eq!(all[0], all[1]);
        assert_eq!(plain.deadline(), recorded.deadline());
    }
    assert!(recorded.recorder().unwrap().steps() > 20);
}

#[test]
fn when_actions_are_fetched_is_of_no_matter_and_idle_calls_are_not_recorded() {
    let steps = replayed(&conversation().finish()).0;
    let record = |often: bool| {
        let mut config = RecordConfig::default();
        config.state_every = 3;
        let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
        let mut host = Host::recorded(Config::default(), local, &seed, epoch, config);
        for step in &steps {
            match &step.what {
                What::Input(input) => _ = host.handle(step.at, input.clone()),
                _ => host.on_timeout(step.at),
            }
            if often {
                while host.poll().is_some() {}
                // Nothing is due, and a clock that goes back is misuse.
                host.on_timeout(step.at);
                assert!(step.at == Time::ZERO || host.handle(Time::ZERO, Input::Shutdown).is_err());
            }
        }
        host.recorder().unwrap().finish();
        host.recorder().unwrap().bytes().split()
    };
    let file = record(true);
    assert!(file == record(false));
    let (again, ending) = replayed(&file);
    assert_eq!((again.len(), ending), (steps.len(), Ending::Finished));
    assert!(again.iter().all(Step::identical));
}

#[test]
fn misuse_is_replayed_as_well() {
    let (steps, _) = replayed(&troubles().finish());
    let misused = steps.iter().position(|step| step.misuse.is_some()).expect("misuse");
    assert!(steps[misused].identical() && steps[misused + 1].identical());
}

#[test]
fn a_misuse_does_not_move_the_clock_of_a_recording() {
    let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
    let mut host = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
    let unlisten = Input::Unlisten { listener: ListenerId(4) };
    let (late, early) = (Time::from_millis(900), Time::from_millis(100));
    assert!(host.handle(late, unlisten).is_err());
    host.handle(early, Input::NetworkChanged).unwrap();
    host.recorder().unwrap().finish();
    let (steps, ending) = replayed(&host.recorder().unwrap().bytes().split());
    assert_eq!(steps.iter().map(|step| step.at).collect::<Vec<_>>(), [late, early]);
    assert!(steps.iter().all(Step::identical));
    assert_eq!(ending, Ending::Finished);
}

#[test]
fn a_driver_that_does_not_write_ends_the_recording_and_not_the_host() {
    let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
    let mut record = RecordConfig::default();
    record.max_buffer = 2048;
    let mut host = Host::recorded(Config::default(), local, &seed, epoch, record);
    let tell = |host: &mut Host, n: u64| {
        let address = format!("/ip4/11.0.0.1/tcp/{}", n + 1).parse().unwrap();
        host.handle(Time::from_millis(n), Input::AddExternal { address }).unwrap();
    };
    for n in 0..200 {
        tell(&mut host, n);
    }
    assert_eq!(host.recorder().unwrap().stopped(), Some(Stop::Buffer));
    let file = host.recorder().unwrap().bytes().split();
    assert!(file.len() <= 2048, "{}", file.len());
    tell(&mut host, 200);
    host.recorder().unwrap().finish();
    assert!(host.recorder().unwrap().bytes().is_empty());
    let (steps, ending) = replayed(&file);
    assert_eq!(ending, Ending::Stopped(Stop::Buffer));
    assert_eq!(steps.len() as u64, host.recorder().unwrap().steps());
    let (last, before) = steps.split_last().unwrap();
    assert!(before.len() > 20 && before.iter().all(Step::identical));
    assert!(matches!(last.verdict, Verdict::Identical | Verdict::Unknown), "{:?}", last.verdict);
    while host.poll().is_some() {}
    host.handle(Time::from_millis(999), Input::Shutdown).unwrap();
}

#[test]
fn a_recording_has_a_greatest_length_and_can_be_given_up() {
    let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
    let mut record = RecordConfig::default();
    record.max_bytes = 1500;
    let mut host = Host::recorded(Config::default(), local, &seed, epoch, record);
    let mut file = Vec::new();
    for n in 0..500 {
        host.handle(Time::from_millis(n), Input::NetworkChanged).unwrap();
        file.extend_from_slice(&host.recorder().unwrap().bytes().split());
    }
    assert_eq!(host.recorder().unwrap().stopped(), Some(Stop::Length));
    assert!(file.len() <= 1500 && file.len() as u64 == host.recorder().unwrap().size(), "{}", file.len());
    assert_eq!(replayed(&file).1, Ending::Stopped(Stop::Length));

    // A full disk.
    let mut host = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
    let before = host.memory_used();
    host.recorder().unwrap().stop();
    assert!(host.memory_used() < before);
    host.handle(Time::ZERO, Input::NetworkChanged).unwrap();
    assert_eq!(host.recorder().unwrap().stopped(), Some(Stop::GivenUp));
    assert!(host.recorder().unwrap().bytes().is_empty());
}

#[test]
fn a_recording_that_is_cut_replays_up_to_there_and_says_so() {
    let file = short();
    let (whole, ending) = replayed(&file);
    assert_eq!(ending, Ending::Finished);
    assert!(whole.len() > 8 && whole.iter().all(Step::identical));
    for end in 0..file.len() {
        let mut replay = match Replay::new(&file[..end]) {
            Ok(replay) => replay,
            Err(error) => {
                assert_eq!(error, ReplayError::Cut, "at {end}");
                continue;
            }
        };
        let steps: Vec<Step> = replay.by_ref().collect();
        let Some(Ending::Cut { at, rest }) = replay.ending() else { panic!("at {end}: {:?}", replay.ending()) };
        assert_eq!(at + rest, end as u64);
        for (step, full) in steps.iter().zip(&whole) {
            assert_eq!((step.number, &step.what, &step.actions), (full.number, &full.what, &full.actions));
            let last = step.number + 1 == steps.len() as u64;
            assert!(step.identical() || last && step.verdict == Verdict::Unknown, "at {end}: {step:?}");
        }
    }
}

#[test]
fn a_recording_with_a_flipped_bit_is_noticed() {
    let file = short();
    let (whole, _) = replayed(&file);
    for at in 0..file.len() {
        let mut broken = file.clone();
        broken[at] ^= 1 << (at % 8);
        let Ok(mut replay) = Replay::new(&broken) else { continue };
        let steps: Vec<Step> = replay.by_ref().collect();
        let ending = replay.ending().unwrap();
        assert!(matches!(ending, Ending::Damaged { .. } | Ending::Cut { .. }), "at {at}: {ending:?}");
        assert!(steps.len() <= whole.len());
        let Some((last, before)) = steps.split_last() else { continue };
        assert!(before.iter().all(Step::identical), "at {at}");
        assert!(matches!(last.verdict, Verdict::Identical | Verdict::Unknown), "at {at}: {last:?}");
    }
}

/// What a host may be told, sensible or not.
fn input(what: u8, a: u8, b: u8) -> Option<Input> {
    let (connection, dial, stream) =
        (ConnectionId(u64::from(a % 6)), DialId(u64::from(b % 8)), StreamId(u64::from(b % 5)));
    let (listener, open) = (ListenerId(u64::from(a % 3)), OpenId(u64::from(a % 5)));
    let peer = keypair(usize::from(b % 4)).peer_id();
    let at = address(usize::from(b % 7));
    let local = address(0);
    let report = |report| Input::Report { connection, report };
    Some(match what % 27 {
        0 => Input::Listen { listener, address: at },
        1 => Input::Listening { listener, address: at },
        2 => Input::NotListening { listener, address: at },
        3 => Input::ListenerClosed { listener, why: "closed".into() },
        4 | 5 => Input::Incoming { connection, local, remote: at, over: None, asn: None },
        6 | 7 => Input::Dialed { dial, connection, local, remote: at },
        8 => Input::DialFailed { dial, fault: DialFault::Transport("refused".into()) },
        9..=11 => report(Report::Established {
            peer,
            role: if a.is_multiple_of(2) { Role::Initiator } else { Role::Responder },
            security: "/noise".into(),
            muxer: MuxerKind::Yamux,
        }),
        12 => report(Report::StreamOpened { stream, direction: Direction::Inbound, protocol: ECHO, open: None }),
        13 => report(Report::StreamOpened { stream, direction: Direction::Outbound, protocol: ECHO, open: Some(open) }),
        14 => report(Report::StreamClosed { stream }),
        15 => report(Report::Pong { rtt: Duration::from_millis(u64::from(b)) }),
        16 => report(Report::Ended { by: By::Remote, fault: Fault::Transport, why: "gone".into() }),
        17 | 18 => Input::Connect {
            request: RequestId(u64::from(a)),
            peer,
            addresses: vec![at],
            options: DialOptions::default(),
        },
        19 => Input::Open { open, peer, protocols: Protocols::from(ECHO), options: OpenOptions::default() },
        20 => Input::CancelOpen { open },
        21 => Input::Manage(Command::KeepAlive { peer, on: a.is_multiple_of(2) }),
        22 => Input::Manage(Command::Disconnect { peer, why: "enough".into() }),
        23 => Input::Punch(PunchCommand::Punch { peer }),
        24 | 25 => {
            let (ask, addresses, rtt) =
                (a.is_multiple_of(2).then_some(AskNumber(0)), vec![at], Duration::from_millis(5));
            let connect = Heard::Connect { addresses, skipped: 0, dropped: 1, rtt: ask.map(|_| rtt) };
            let heard = if b.is_multiple_of(3) { Heard::Sync { rtt } } else { connect };
            report(Report::Heard { ask, stream, heard: Ok(heard) })
        }
        _ => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a host is told, in whatever order: its recording holds just that, and replays identically; and so does its
    /// beginning.
    #[test]
    fn any_run_is_replayed_as_it_was(
        seed in any::<[u8; 32]>(),
        state_every in 0_u32..4,
        calls in prop::collection::vec(any::<(u8, u8, u8, u16)>(), 0..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut record = RecordConfig::default();
        record.state_every = state_every;
        let (epoch, local) = (UnixTime::from_secs(7), keypair(0).peer_id());
        let mut host = Host::recorded(Config::default(), local, &Seed::new(seed), epoch, record);
        let (mut now, mut told) = (Time::ZERO, Vec::new());
        for (what, a, b, wait) in calls {
            let next = now + Duration::from_micros(u64::from(wait) * u64::from(wait) / 100);
            match input(what, a, b) {
                Some(input) => {
                    if host.handle(next, input.clone()).is_ok() {
                        now = next;
                    }
                    told.push(What::Input(input));
                }
                None => {
                    if next >= host.deadline() {
                        told.push(What::Timeout);
                        now = next;
                    }
                    host.on_timeout(next);
                }
            }
        }
        let recorder = host.recorder().unwrap();
        recorder.finish();
        let file = recorder.bytes().split();
        let (steps, ending) = replayed(&file);
        prop_assert_eq!(ending, Ending::Finished);
        prop_assert_eq!(steps.iter().map(|step| step.what.clone()).collect::<Vec<_>>(), told);
        prop_assert!(steps.iter().all(Step::identical));
        if let Ok(mut replay) = Replay::new(&file[..cut.index(file.len())]) {
            let part: Vec<Step> = replay.by_ref().collect();
            prop_assert!(matches!(replay.ending(), Some(Ending::Cut { .. })), "{:?}", replay.ending());
            let known = part.iter().filter(|step| step.verdict != Verdict::Unknown).count();
            prop_assert!(known + 1 >= part.len());
            prop_assert_eq!(&part[..known], &steps[..known]);
        }
    }
}

#[test]
fn what_is_no_recording_is_refused_with_the_reason() {
    let error = |file: &[u8]| Replay::new(file).err().map(|error| error.to_string());
    assert_eq!(error(b""), Some("the recording ends within its header: nothing of it can be replayed".into()));
    assert_eq!(error(b"{\"json\":1}"), Some("this is no recording: it does not begin with \"tidewire-rec\"".into()));
    assert_eq!(
        error(b"tidewire-rec\x09rest"),
        Some("the recording has version 9 of the format, this program reads version 1".into())
    );
}

#[test]
fn a_busy_conversation_takes_few_bytes_a_step() {
    let mut nodes = Nodes::new(2, &RecordConfig::default(), |_| {});
    nodes.connect(0, 1, 1, &[address(1)]);
    nodes.pass(seconds(1));
    let header = {
        let (seed, epoch, local) = (Seed::new([1; 32]), UnixTime::from_secs(1), keypair(0).peer_id());
        let mut host = Host::recorded(Config::default(), local, &seed, epoch, RecordConfig::default());
        host.recorder().unwrap().size()
    };
    for round in 0..300 {
        nodes.open(0, 1000 + round, 1, &[ECHO.as_str()]);
        nodes.pass(Duration::from_millis(40));
        let (connection, _, stream) = *nodes.opened(0).last().unwrap();
        nodes.write(0, connection, stream, PAYLOAD);
        nodes.pass(Duration::from_millis(40));
    }
    let file = nodes.finish();
    let (steps, _) = replayed(&file);
    let each = (file.len() as u64 - header) as f64 / steps.len() as f64;
    println!("{} bytes, {header} of them header, {} steps, {each:.1} bytes a step", file.len(), steps.len());
    assert!(steps.len() > 900 && steps.iter().all(Step::identical));
    assert!(each < 56.0, "{each:.1} bytes a step");
}
