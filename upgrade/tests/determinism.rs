//! Nothing hidden: the same inputs and seeds give the same bytes in two processes (law 1). Hash order, entropy or a clock
//! inside a machine would show here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::BytesMut;
use core::fmt::Write as _;
use std::process::Command;
use tidewire_core::{Keypair, Machine, Seed, Time};
use tidewire_multistream::{Matcher, Protocol, Protocols, RouteId, Router};
use tidewire_upgrade::connection::{Connection, Event, Selection};
use tidewire_upgrade::muxer::MuxerKind;
use tidewire_upgrade::pipeline::{Config, Plan, Progress, SecurityKind, Upgrade, Upgrader};
use tidewire_upgrade::security::psk::PreSharedKey;

const CHILD: &str = "TIDEWIRE_DETERMINISM_CHILD";

/// All that both ends send in a conversation, and all that they tell, as text.
fn transcript() -> String {
    let mut out = String::new();
    for (security, muxer, psk) in [
        (SecurityKind::Noise, MuxerKind::Yamux, false),
        (SecurityKind::Noise, MuxerKind::Mplex, true),
        (SecurityKind::Plaintext, MuxerKind::Yamux, false),
    ] {
        let mut router = Router::new();
        for (route, name) in ["/echo/1.0.0", "/ipfs/ping/1.0.0"].into_iter().enumerate() {
            router.add(Protocol::new(name).unwrap(), Matcher::Exact, RouteId::new(route as u64)).unwrap();
        }
        let [alice, bob] = [1, 2].map(|node| {
            let seed = Seed::new([node; 32]);
            let mut config = Config::default();
            (config.securities, config.muxers) = (vec![security], vec![muxer]);
            config.psk = psk.then(|| PreSharedKey::new([9; 32]));
            config.connection.router = Some(router.clone().into());
            Upgrader::new(&Keypair::from_seed(&seed), &seed, config).unwrap()
        });
        let mut ends = [
            Upgrade::new(&alice, Plan::Initiate, Some(bob.peer()), &Seed::new([3; 32])),
            Upgrade::new(&bob, Plan::Respond, None, &Seed::new([4; 32])),
        ];
        let mut wires = [BytesMut::new(), BytesMut::new()];
        let mut ready = [false; 2];
        while ready != [true; 2] {
            for (i, end) in ends.iter_mut().enumerate() {
                let mut tx = BytesMut::new();
                while let Some(progress) = end.advance(Time::ZERO, &mut wires[i], &mut tx).unwrap() {
                    ready[i] |= progress == Progress::Ready;
                    writeln!(out, "{i} {progress:?}").unwrap();
                }
                send(&mut out, i, &mut wires, &mut tx);
            }
        }
        let [a, b] = ends;
        let mut ends = [a.into_connection().unwrap(), b.into_connection().unwrap()];
        talk(&mut out, &mut ends, &mut wires);
    }
    out
}

fn talk(out: &mut String, ends: &mut [Connection; 2], wires: &mut [BytesMut; 2]) {
    let mut tx = BytesMut::new();
    for round in 0..20 {
        let names = if round % 2 == 0 { ["/echo/1.0.0"] } else { ["/ipfs/ping/1.0.0"] };
        let selection = if round % 3 == 0 { Selection::Lazy } else { Selection::Plain };
        let now = Time::from_millis(round);
        ends[0].open(now, &Protocols::parse(&names).unwrap(), selection, &mut tx).unwrap();
        send(out, 0, wires, &mut tx);
        for _ in 0..3 {
            for i in 0..2 {
                while let Some(event) = ends[i].advance(now, &mut wires[i], &mut tx).unwrap() {
                    writeln!(out, "{i} {event:?}").unwrap();
                    if let Event::Negotiated { id, .. } = event {
                        ends[i].write(id, b"some words", &mut tx).unwrap();
                    }
                    if let Event::Readable(id) = event {
                        while let Ok(Some(piece)) = ends[i].read(id, &mut tx) {
                            writeln!(out, "{i} read {piece:?}").unwrap();
                        }
                    }
                }
                send(out, i, wires, &mut tx);
            }
        }
    }
}

fn send(out: &mut String, from: usize, wires: &mut [BytesMut; 2], tx: &mut BytesMut) {
    if !tx.is_empty() {
        writeln!(out, "{from} sends {tx:x}").unwrap();
        wires[1 - from].unsplit(tx.split());
    }
}

#[test]
fn two_processes_send_the_same_bytes() {
    let here = transcript();
    if std::env::var_os(CHILD).is_some() {
        println!("{here}");
        return;
    }
    assert!(here.len() > 10_000, "the conversation took place");
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "two_processes_send_the_same_bytes", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(child.status.success());
    let there = String::from_utf8(child.stdout).unwrap();
    assert!(there.contains(&here), "another process sent other bytes");
}
