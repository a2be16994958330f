//! Lazy selection, half-closes and streams without a byte: nothing is lost, and nobody waits for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use common::*;
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Awaited, Config, Dialer, Error};

fn lazy(protocol: &str) -> Dialer {
    Dialer::lazy(name(protocol), Config::default())
}

#[test]
fn header_proposal_and_data_share_the_first_flight() {
    let mut side = Side::new(lazy("/echo"));
    assert!(!side.machine.may_write(), "nothing may stand before the header");
    side.turn(Time::ZERO);
    assert!(side.machine.may_write());
    side.tx.extend_from_slice(b"data");
    assert_eq!(&side.tx[..], [flight(&["/echo"]), b"data".to_vec()].concat());
}

#[test]
fn a_dialer_that_is_not_lazy_may_write_once_agreed() {
    let mut side = Side::new(dialer(&["/echo"]));
    side.turn(Time::ZERO);
    assert!(!side.machine.may_write());
    side.feed(&flight(&["/echo"]), 3);
    assert!(side.machine.may_write());
}

#[test]
fn nothing_can_be_read_before_the_answer_is_confirmed() {
    let mut side = Side::new(lazy("/echo"));
    side.turn(Time::ZERO);
    side.feed(&[flight(&["/echo"]), b"answer".to_vec()].concat(), 1);
    assert_eq!(side.outputs.len(), 1);
    assert_eq!(&side.rx[..], b"answer");
}

#[test]
fn a_late_refusal_is_the_error_of_the_first_read() {
    let (mut a, mut b) = (Side::new(lazy("/echo")), Side::new(listener(&["/other"])));
    converse(&mut a, &mut App::new(b"", true), &mut b, &mut App::new(b"", false), 5);
    assert_eq!(a.error, Some(Error::Refused { proposals: name("/echo").into() }));
    assert!(!a.machine.may_write());
    assert_eq!(b.error, Some(Error::EndedEarly { awaited: Awaited::Proposal }));
}

#[test]
fn data_behind_a_refused_proposal_is_no_protocol_of_the_listener() {
    let (mut a, mut b) = (Side::new(lazy("/echo")), Side::new(listener(&["/other"])));
    converse(&mut a, &mut App::new(b"\x05hello", true), &mut b, &mut App::new(b"", false), 5);
    assert_eq!(a.error, Some(Error::Refused { proposals: name("/echo").into() }));
    assert!(b.outputs.is_empty());
    assert!(b.error.is_some());
}

/// go-multistream#20 and #115, libp2p/specs#643, litep2p#60: each way to close early, with and without data, on both sides.
#[test]
fn every_way_to_finish_early_ends_with_an_agreement_and_all_the_data() {
    let datas: [&[u8]; 3] = [b"", b"x", &[7; 3000]];
    for is_lazy in [true, false] {
        for from_a in datas {
            for from_b in datas {
                for (early_a, early_b) in [(true, true), (true, false), (false, true), (false, false)] {
                    for piece in [1, 2, 19, 20, 21, 100_000] {
                        let mut a = Side::new(if is_lazy { lazy("/echo") } else { dialer(&["/echo"]) });
                        let mut b = Side::new(listener(&["/echo"]));
                        let (mut on_a, mut on_b) = (App::new(from_a, early_a), App::new(from_b, early_b));
                        converse(&mut a, &mut on_a, &mut b, &mut on_b, piece);
                        let how =
                            format!("lazy {is_lazy}, {} and {} bytes, {early_a} {early_b}", from_a.len(), from_b.len());
                        assert_eq!((&a.error, &b.error), (&None, &None), "{how}");
                        assert_eq!((a.outputs.len(), b.outputs.len()), (1, 1), "{how}");
                        assert_eq!((&a.rx[..], &b.rx[..]), (from_b, from_a), "{how}");
                        assert!(a.heard_end && b.heard_end, "{how}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_dialer_that_finishes_right_behind_its_proposal_gets_its_answer() {
    let (mut a, mut b) = (Side::new(dialer(&["/echo"])), Side::new(listener(&["/echo"])));
    a.turn(Time::ZERO);
    a.finish = true; // a half-close before any answer, and no data at all
    converse(&mut a, &mut App::new(b"", true), &mut b, &mut App::new(b"bye", true), 4);
    assert_eq!((a.error, b.error), (None, None));
    assert_eq!(&a.rx[..], b"bye");
}

#[test]
fn the_answer_does_not_wait_for_more_input_or_for_the_application() {
    // A handler that never reads or writes must not keep its remote waiting (go-multistream#20).
    let mut b = Side::new(listener(&["/echo"]));
    b.turn(Time::ZERO);
    b.rx.extend_from_slice(&flight(&["/echo"]));
    b.turn(Time::ZERO);
    assert_eq!(&b.tx[..], flight(&["/echo"]));
}

#[test]
fn a_stream_that_ends_without_an_answer_tells_the_lazy_dialer_so() {
    let mut a = Side::new(lazy("/echo"));
    a.turn(Time::ZERO);
    a.heard_end = true;
    a.turn(Time::ZERO);
    assert_eq!(a.error, Some(Error::EndedEarly { awaited: Awaited::Header }));
}

#[test]
fn much_data_behind_the_proposal_does_not_keep_the_confirmation_from_being_read() {
    let mut a = Side::new(lazy("/echo"));
    a.turn(Time::ZERO);
    a.tx.extend_from_slice(&vec![0; 1 << 20]); // far over max_tx, and not sent
    a.rx.extend_from_slice(&flight(&["/echo"]));
    a.turn(Time::ZERO);
    assert_eq!(a.outputs.len(), 1);
    assert_eq!(a.machine.deadline(), Time::NEVER);
}
