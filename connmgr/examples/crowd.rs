//! A crowd comes in, and the manager says who goes, who may come in their stead, and why; then a dial that fails.
//!
//! `cargo run -p tidewire-connmgr --example crowd`. Nothing is sent anywhere: time is a number, and the peers are made up.

use core::time::Duration;
use tidewire_connmgr::dial::{DialFault, DialOptions};
use tidewire_connmgr::worth::TagChange;
use tidewire_connmgr::{Action, Config, ConnectionId, ConnectionManager, Direction, Event, Input, Origin, RequestId};
use tidewire_core::{EventMachine, Keypair, Multiaddr, PeerId, Role, Seed, Time};

fn peer(n: u8) -> PeerId {
    Keypair::from_seed(&Seed::new([n; 32])).peer_id()
}

fn open(manager: &mut ConnectionManager, now: Time, n: u8) -> Result<(), Box<dyn core::error::Error>> {
    let remote: Multiaddr = format!("/ip4/11.0.0.{n}/tcp/4001").parse()?;
    let origin = Origin::Other { direction: Direction::Inbound, remote: &remote };
    let (connection, peer) = (ConnectionId(n.into()), peer(n));
    manager.handle(now, Input::Established { connection, peer, origin, role: Role::Responder, limited: false })?;
    Ok(())
}

fn show(manager: &mut ConnectionManager) {
    while let Some(action) = manager.poll() {
        match action {
            Action::Close { connection, reason } => println!("  close {connection}: {reason}"),
            Action::Refuse { connection, reason } => println!("  refuse {connection}: {reason}"),
            Action::Event(Event::Trimmed { closed, of, protected, in_grace }) => {
                println!("  trimmed {closed} of {of}; {protected} protected, {in_grace} in their grace");
            }
            _ => {}
        }
    }
}

/// Lets time pass, from deadline to deadline.
fn pass(manager: &mut ConnectionManager, now: &mut Time, time: Duration) {
    let end = *now + time;
    while manager.deadline() <= end {
        *now = manager.deadline();
        manager.on_timeout(*now);
        show(manager);
    }
    *now = end;
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let mut config = Config::default();
    config.worth.low = 3;
    config.worth.high = 5;
    config.limits.established = 6;
    config.keep_alive.ping_interval = None;
    let mut manager = ConnectionManager::new(config, peer(0), &Seed::new([9; 32]));
    let mut now = Time::ZERO;

    println!("Five peers come in. The high watermark is 5, the low one 3, and each has a minute of grace.");
    for n in 1..=5 {
        open(&mut manager, now, n)?;
        manager.handle(now, Input::Tag { peer: peer(n), tag: "dht", change: TagChange::Set(10 * i32::from(n)) })?;
    }
    manager.handle(now, Input::Protect { peer: peer(1), reason: "relay" })?;
    show(&mut manager);

    println!("\nHalf a minute later, why would they stay or go?");
    pass(&mut manager, &mut now, Duration::from_secs(30));
    for n in 1..=2 {
        println!("  {}", manager.explain(&peer(n)));
    }

    println!("\nA minute later:");
    pass(&mut manager, &mut now, Duration::from_secs(35));

    println!("\nMore come, up to the hard cap of 6 and beyond:");
    for n in 6..=9 {
        println!("  peer {n} comes");
        open(&mut manager, now, n)?;
        show(&mut manager);
    }

    println!("\nA peer is dialed at three addresses, and none of them answers:");
    let addresses = ["/ip4/11.0.1.1/tcp/4001", "/ip6/2a00::1/udp/4001/quic-v1", "/ip4/192.168.1.7/tcp/4001"]
        .map(str::parse)
        .into_iter()
        .collect::<Result<Vec<Multiaddr>, _>>()?;
    let (request, options) = (RequestId(1), DialOptions::default());
    let start = now;
    manager.handle(now, Input::Dial { request, peer: peer(20), addresses: &addresses, options })?;
    loop {
        while let Some(action) = manager.poll() {
            match action {
                Action::Dial { dial, address, .. } => {
                    println!("  after {:>4} ms: dial {address}", now.since(start).as_millis());
                    let fault = DialFault::Transport("connection refused".into());
                    if address.is_private() {
                        manager.handle(now, Input::DialFailed { dial, fault })?;
                    }
                }
                Action::Event(Event::DialFailed { report, .. }) => {
                    println!("{report}");
                    return Ok(());
                }
                _ => {}
            }
        }
        now = manager.deadline();
        manager.on_timeout(now);
    }
}
