//! What peers are worth, and who goes.

mod decay;
mod early;
mod explain;
mod memory;
mod model;
mod order;
mod protection;
mod random;
mod tags;
mod trims;

use super::*;
use alloc::string::{String, ToString};
use alloc::{format, vec};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

/// No trims, no grace.
pub(super) fn quiet() -> WorthConfig {
    WorthConfig { low: 0, high: 0, grace: Duration::ZERO, ..WorthConfig::default() }
}

/// No grace.
pub(super) fn watermarks(low: u32, high: u32) -> WorthConfig {
    WorthConfig { low, high, ..quiet() }
}

/// One inbound connection of this age, without streams.
pub(super) fn inbound(since: Time) -> Standing {
    Standing { connections: 1, streams: 0, outbound: false, newest: since }
}

pub(super) const GONE: Standing = Standing { connections: 0, streams: 0, outbound: false, newest: Time::ZERO };

pub(super) fn connect(worth: &mut Worth, now: Time, peer: u32) {
    worth.update(now, PeerIx(peer), inbound(now));
}

/// With these many inbound peers, one connection each, from peer 0 on.
pub(super) fn crowd(config: &WorthConfig, peers: u32) -> Worth {
    let mut worth = Worth::new(config);
    for peer in 0..peers {
        connect(&mut worth, Time::ZERO, peer);
    }
    worth
}

pub(super) fn set(worth: &mut Worth, now: Time, peer: u32, value: i32) {
    worth.tag(now, PeerIx(peer), "v", TagChange::Set(value)).unwrap();
}

pub(super) fn victims(trim: &Trim) -> Vec<u32> {
    trim.victims.iter().map(|(peer, _)| peer.0).collect()
}

pub(super) fn blank(worth: &mut Worth) -> Vec<u32> {
    let mut all: Vec<u32> = core::iter::from_fn(|| worth.poll_blank()).map(|peer| peer.0).collect();
    all.sort_unstable();
    all
}

pub(super) fn tags(worth: &Worth, peer: u32) -> Vec<(String, i32, bool)> {
    worth.tags(PeerIx(peer)).map(|(name, value, decays)| (name.to_string(), value, decays)).collect()
}
