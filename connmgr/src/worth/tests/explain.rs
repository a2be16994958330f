//! What a person is told, word for word.

use super::*;

fn says(worth: &Worth, now: Time, peer: u32) -> String {
    worth.explain(now, PeerIx(peer)).to_string()
}

#[test]
fn without_a_connection() {
    let mut worth = Worth::new(&WorthConfig::default());
    assert_eq!(says(&worth, at(0), 7), "not connected");
    set(&mut worth, at(0), 0, 5);
    assert_eq!(says(&worth, at(0), 0), "not connected; 1 tag waits for a connection");
    worth.tag(at(0), PeerIx(0), "w", TagChange::Set(5)).unwrap();
    worth.protect(at(0), PeerIx(0), "relay").unwrap();
    let text = "not connected; 2 tags wait for a connection; once it is, it is protected for \"relay\"";
    assert_eq!(says(&worth, at(0), 0), text);
}

#[test]
fn protected() {
    let mut worth = crowd(&watermarks(1, 3), 1);
    worth.protect(at(0), PeerIx(0), "relay").unwrap();
    assert_eq!(says(&worth, at(0), 0), "would not be closed: it is protected for \"relay\"");
    worth.protect(at(0), PeerIx(0), "friend").unwrap();
    assert_eq!(says(&worth, at(0), 0), "would not be closed: it is protected for \"relay\" and \"friend\"");
    worth.protect(at(0), PeerIx(0), "a \"b\"").unwrap();
    let text = r#"would not be closed: it is protected for "relay", "friend" and "a \"b\"""#;
    assert_eq!(says(&worth, at(0), 0), text);
}

#[test]
fn in_its_grace() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 3) }, 1);
    set(&mut worth, at(0), 0, -5);
    let grace = "would not be closed for another 45s: it is in its grace, and its value is -5; ";
    let text = "no trim comes below the high watermark of 3: there is 1 connection";
    assert_eq!(says(&worth, at(15), 0), [grace, text].concat());
    connect(&mut worth, at(15), 1);
    connect(&mut worth, at(15), 2);
    let text = "a trim is due now: there are 3 connections, and the high watermark is 3";
    assert_eq!(says(&worth, at(15), 0), [grace, text].concat());
    worth.trim(at(10)).unwrap();
    let text = "a trim comes in 5s: there are 3 connections, and the high watermark is 3";
    assert_eq!(says(&worth, at(15), 0), [grace, text].concat());
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..quiet() }, 1);
    let text = "would not be closed for another 45s: it is in its grace, and its value is 0; trimming is off";
    assert_eq!(says(&worth, at(15), 0), text);
    set(&mut worth, at(60), 0, 1);
    let text = "would not be closed: trimming is off; its value is 1 (1 tag), and it has no streams";
    assert_eq!(says(&worth, at(60), 0), text);
}

#[test]
fn a_candidate_below_the_watermarks() {
    let mut worth = crowd(&watermarks(3, 9), 1);
    worth.protect(at(0), PeerIx(5), "relay").unwrap();
    connect(&mut worth, at(0), 5);
    let text = "would be kept by a trim: nothing must go (1 connection may be closed, and the low watermark is 3), and it \
                is the only peer that may be closed: its value is 0 (no tags), and it has no streams; no trim comes below \
                the high watermark of 9: there are 2 connections";
    assert_eq!(says(&worth, at(0), 0), text);
}

#[test]
fn a_candidate_that_goes_and_one_that_stays() {
    let mut worth = crowd(&watermarks(4, 6), 5);
    worth.update(at(0), PeerIx(4), Standing { connections: 2, streams: 1, ..inbound(at(0)) });
    set(&mut worth, at(0), 4, -1);
    worth.update(at(0), PeerIx(0), Standing { streams: 2, ..inbound(at(0)) });
    set(&mut worth, at(0), 0, 12);
    worth.tag(at(0), PeerIx(0), "w", TagChange::Set(3)).unwrap();
    let must = "2 of the 6 connections that may be closed must go (the low watermark is 4), and it is ";
    let due = "; a trim is due now: there are 6 connections, and the high watermark is 6";
    let goes = "the first of 5 peers to go: its value is -1 (1 tag), and it has 1 stream";
    assert_eq!(says(&worth, at(0), 4), ["would be closed by the next trim: ", must, goes, due].concat());
    let stays = "number 5 of 5 peers to go, after 5 connections: its value is 15 (2 tags), and it has 2 streams";
    assert_eq!(says(&worth, at(0), 0), ["would be kept by a trim: ", must, stays, due].concat());
    // The next one stays, for two connections are gone with the first.
    assert!(says(&worth, at(0), 1).starts_with("would be kept by a trim: "));
    worth.trim(at(0)).unwrap();
    assert_eq!(says(&worth, at(0), 4), "being closed already");
}

#[test]
fn a_candidate_that_would_go_if_there_were_a_trim() {
    let worth = crowd(&watermarks(1, 9), 3);
    let text = "would be closed by a trim: 2 of the 3 connections that may be closed must go (the low watermark is 1), and \
                it is number 2 of 3 peers to go, after 1 connection: its value is 0 (no tags), and it has no streams; no \
                trim comes below the high watermark of 9: there are 3 connections";
    assert_eq!(says(&worth, at(0), 1), text);
}

#[test]
fn a_grace_that_ended_makes_a_candidate_though_nobody_looked_yet() {
    let mut worth = crowd(&WorthConfig { grace: MINUTE, ..watermarks(1, 2) }, 2);
    let before = worth.explain(at(60), PeerIx(0));
    assert!(matches!(before.fate, Fate::WouldClose { rank: Rank { place: 1, of: 2, must_go: 1, .. } }), "{before}");
    assert_eq!(victims(&worth.trim(at(60)).unwrap()), [0]);
}
