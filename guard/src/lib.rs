//! A program without std that uses each machine crate a little, so that all of them, with all they depend on, are linked.
#![no_std]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use bytes::BytesMut;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use tidewire_connmgr::{ConnectionId, ConnectionManager};
use tidewire_core::{EventMachine, Keypair, Machine, Multiaddr, PublicKey, Role, Seed, Time, UnixTime};
use tidewire_dcutr::candidate::{self, Candidate, Path, Source};
use tidewire_dcutr::{coordinator, exchange, nat};
use tidewire_host::solo::{Solo, SoloConfig};
use tidewire_multistream::{Config, Dialer, Protocol};
use tidewire_upgrade::crypto::Crypto;
use tidewire_upgrade::muxer::{Muxer, mplex::Mplex, yamux::Yamux};
use tidewire_upgrade::security::noise::{self, Handshake, Noise};
use tidewire_upgrade::security::psk::PreSharedKey;

/// Hands out its arena from front to back, and takes nothing back.
struct Bump {
    arena: UnsafeCell<[u8; 1 << 20]>,
    used: AtomicUsize,
}

// SAFETY: each byte of the arena is handed out once, to one caller.
unsafe impl Sync for Bump {}

// SAFETY: what is handed out lies in the arena, has the layout's size and alignment, and overlaps nothing handed out before.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.arena.get().cast::<u8>();
        let mut at = 0;
        let claimed = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let free = base.wrapping_add(used);
            at = used.checked_add(free.align_offset(layout.align()))?;
            at.checked_add(layout.size()).filter(|end| *end <= 1 << 20)
        });
        if claimed.is_ok() { base.wrapping_add(at) } else { core::ptr::null_mut() }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { arena: UnsafeCell::new([0; 1 << 20]), used: AtomicUsize::new(0) };

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses something of each crate. Not 0: it worked.
#[unsafe(no_mangle)]
pub extern "C" fn tidewire_guard() -> u32 {
    run().map_or(0, |bytes| u32::try_from(bytes).unwrap_or(u32::MAX))
}

fn run() -> Option<usize> {
    let (mut rx, mut tx) = (BytesMut::new(), BytesMut::new());

    let seed = Seed::new([7; 32]);
    let identity = Keypair::from_seed(&seed);
    let signature = identity.sign(b"hello");
    // Which types verify is decided at run time, so the code of each is linked.
    let key = PublicKey::from_protobuf(&identity.public().to_protobuf()).ok()?;
    key.verify(b"hello", &signature).ok()?;
    let address: Multiaddr = "/ip4/192.0.2.1/tcp/4001".parse().ok()?;

    let mut dialer = Dialer::new(Protocol::new("/noise").ok()?.into(), Config::default());
    dialer.advance(Time::ZERO, &mut rx, &mut tx).ok()?;

    let noise = Noise::new(&identity, &seed.derive("noise", 0), Crypto::default(), noise::Config::default()).ok()?;
    let mut handshake = Handshake::new(&noise, Role::Initiator, None, &seed.derive("ephemeral", 0));
    handshake.advance(Time::ZERO, &mut rx, &mut tx).ok()?;

    let mut yamux = Yamux::new(Role::Initiator, tidewire_upgrade::muxer::yamux::Config::default());
    yamux.open(&mut tx).ok()?;
    let mut mplex = Mplex::new(Role::Initiator, tidewire_upgrade::muxer::mplex::Config::default());
    mplex.open(&mut tx).ok()?;
    let mut manager =
        ConnectionManager::new(tidewire_connmgr::Config::default(), identity.peer_id(), &seed.derive("manager", 0));
    manager
        .handle(Time::ZERO, tidewire_connmgr::Input::Incoming { connection: ConnectionId(1), remote: &address })
        .ok()?;
    manager.on_timeout(Time::from_millis(1));
    manager.poll()?;
    let mut punches =
        coordinator::Coordinator::new(coordinator::Config::default(), identity.peer_id(), &seed.derive("punches", 0));
    let own = [Candidate::new(address.clone(), Source::Observed)];
    punches.handle(Time::ZERO, coordinator::Input::Own(&own)).ok()?;
    let guess = nat::guess(&[], Path::of(&address)?);
    nat::predict(&guess);
    let offered = candidate::offer(&own, &candidate::Config::default());
    exchange::Opener::new(Time::ZERO, &[address.clone()], &exchange::Config::default(), &mut tx);
    tx.len().checked_add(offered.dropped.len())?;
    let epoch = UnixTime::from_secs(1);
    let mut solo = Solo::new(SoloConfig::default(), identity.clone(), &seed.derive("solo", 0), epoch).ok()?;
    let connection = solo.accepted(Time::from_millis(1), &address, &address).ok()?;
    solo.rx(connection)?.extend_from_slice(&tx);
    solo.received(Time::from_millis(2), connection);
    solo.poll()?;
    let psk = PreSharedKey::new([1; 32]);

    Some(tx.len() + address.as_bytes().len() + psk.fingerprint().len())
}
