//! Remotes that fall silent, hang up, or send what they should not, at every byte of an upgrade.

use crate::support::{Upgrading, deliver, node, start};
use core::time::Duration;
use tidewire_core::{Machine, Time};
use tidewire_upgrade::connection::Selection;
use tidewire_upgrade::pipeline::{Plan, SecurityKind, Stage, Upgrade, UpgradeError, Upgrader};
use tidewire_upgrade::security::psk::PreSharedKey;

/// One way to set both ends up, and which end is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) security: SecurityKind,
    pub(crate) early: bool,
    pub(crate) selection: Selection,
    pub(crate) psk: bool,
    pub(crate) initiator: bool,
}

impl Case {
    pub(crate) fn all() -> Vec<Case> {
        let mut cases = Vec::new();
        for way in 0..32 {
            let bit = |n: u32| way >> n & 1 == 1;
            cases.push(Case {
                security: if bit(0) { SecurityKind::Plaintext } else { SecurityKind::Noise },
                early: bit(1),
                selection: if bit(2) { Selection::Plain } else { Selection::Lazy },
                psk: bit(3),
                initiator: bit(4),
            });
        }
        cases
    }

    fn node(&self, n: u8) -> Upgrader {
        node(n, |config| {
            config.securities = vec![self.security];
            config.early_muxer = self.early;
            config.selection = self.selection;
            config.psk = self.psk.then(|| PreSharedKey::new([8; 32]));
        })
    }

    /// Makes the end that is looked at, as often as asked.
    pub(crate) fn subject(&self) -> impl Fn() -> Upgrade + use<> {
        let (us, them) = (self.node(1), self.node(2));
        let plan = if self.initiator { Plan::Initiate } else { Plan::Respond };
        move || start(&us, plan, Some(them.peer()), 3)
    }

    /// What the other end sends to it, until it is ready.
    pub(crate) fn recorded(&self) -> Vec<u8> {
        let plan = if self.initiator { Plan::Respond } else { Plan::Initiate };
        let mut subject = Upgrading::new(self.subject()());
        let mut other = Upgrading::new(start(&self.node(2), plan, None, 4));
        let mut recorded = Vec::new();
        while !subject.ready {
            subject.turn(Time::ZERO);
            deliver(&mut subject.tx, &mut other.rx);
            other.turn(Time::ZERO);
            if !subject.ready {
                recorded.extend_from_slice(&other.tx);
            }
            deliver(&mut other.tx, &mut subject.rx);
        }
        recorded.truncate(recorded.len() - subject.rx.len());
        recorded
    }
}

#[test]
fn silence_at_any_byte_times_out_and_names_the_stage() {
    let timeout = Duration::from_secs(10);
    for case in Case::all() {
        let (subject, recorded) = (case.subject(), case.recorded());
        let mut stages = Vec::new();
        for len in 0..recorded.len() {
            let mut end = Upgrading::new(subject());
            end.rx.extend_from_slice(&recorded[..len]);
            end.turn(Time::from_millis(1));
            assert_eq!(end.machine.deadline(), Time::from_millis(1) + timeout, "{case:?}");
            end.turn(Time::from_millis(10_000));
            assert_eq!(end.error, None);
            end.turn(Time::from_millis(10_001));
            let Some(UpgradeError::TimedOut { timeout: limit, stage }) = end.error else {
                panic!("{case:?} at {len}: {:?}", end.error)
            };
            assert_eq!(limit, timeout);
            if stages.last() != Some(&stage) {
                stages.push(stage);
            }
        }
        let mut expected = vec![Stage::Security, Stage::Handshake];
        if case.psk {
            expected.insert(0, Stage::PrivateNetwork);
        }
        let early = case.early && case.security == SecurityKind::Noise;
        let assumed = case.initiator && case.selection == Selection::Lazy;
        if !early && !assumed {
            expected.push(Stage::Muxer);
        }
        assert_eq!(stages, expected, "{case:?}");
    }
}

#[test]
fn an_end_at_any_byte_is_a_typed_error() {
    for case in Case::all() {
        let (subject, recorded) = (case.subject(), case.recorded());
        for len in 0..recorded.len() {
            let mut end = Upgrading::new(subject());
            end.rx.extend_from_slice(&recorded[..len]);
            end.end(Time::ZERO);
            assert!(end.error.is_some() && !end.ready, "{case:?} at {len}");
        }
    }
}

/// Plaintext can't notice a byte that changes nothing but the peer's own words; then the peer is another one, or the
/// message is malformed.
#[test]
fn a_changed_byte_never_gets_through() {
    for case in Case::all() {
        let (subject, recorded) = (case.subject(), case.recorded());
        for at in 0..recorded.len() {
            let mut end = Upgrading::new(subject());
            end.rx.extend_from_slice(&recorded);
            end.rx[at] ^= 1 << (at % 8);
            end.turn(Time::ZERO);
            end.turn(Time::ZERO + Duration::from_secs(10));
            assert!(end.error.is_some() && !end.ready, "{case:?} at {at}: {:?}", end.told);
        }
    }
}

#[test]
fn a_private_networks_remote_that_hangs_up_is_suspected_of_not_being_a_member() {
    let case =
        Case { security: SecurityKind::Noise, early: true, selection: Selection::Lazy, psk: true, initiator: true };
    let mut end = Upgrading::new(case.subject()());
    end.end(Time::ZERO);
    let error = end.error.unwrap();
    assert_eq!(error, UpgradeError::EndedEarly { stage: Stage::PrivateNetwork });
    assert!(error.to_string().contains("private network"));
}

#[test]
fn silence_or_a_hang_up_at_the_first_bytes_hints_at_a_private_network_and_later_ones_do_not() {
    let hinted = |error: UpgradeError| error.to_string().contains("is one end in a private network");
    for initiator in [true, false] {
        let case =
            Case { security: SecurityKind::Noise, early: true, selection: Selection::Lazy, psk: false, initiator };
        let (subject, recorded) = (case.subject(), case.recorded());
        let first = recorded.len().min(5);
        for (len, expected) in [(0, true), (first, true), (recorded.len() - 1, false)] {
            let new = || {
                let mut end = Upgrading::new(subject());
                end.rx.extend_from_slice(&recorded[..len]);
                end.turn(Time::ZERO);
                end
            };
            let (mut silent, mut gone) = (new(), new());
            silent.turn(Time::from_millis(10_000));
            gone.end(Time::ZERO);
            let (silent, gone) = (silent.error.unwrap(), gone.error.unwrap());
            assert!(matches!(silent, UpgradeError::TimedOut { .. }), "{silent}");
            assert_eq!((hinted(silent), hinted(gone)), (expected, expected), "{case:?} at {len}");
        }
    }
}
