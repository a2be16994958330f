//! QUIC: A dials, B sends datagrams.

use super::*;
use crate::report::Outcome;
use alloc::collections::BTreeSet;
use core::net::SocketAddr;

fn quic() -> Multiaddr {
    at("/ip4/11.0.0.3/udp/4001/quic-v1")
}

/// B, which sends.
fn sending() -> (Lab, Vec<Action>) {
    let mut lab = Lab::on_circuit(true);
    let own =
        Candidate { address: at("/ip4/11.0.0.2/udp/4001/quic-v1"), source: Source::Observed, local: Some(inner()) };
    lab.tell(Input::Own(&[own]));
    lab.identify(&[]);
    lab.tell(Input::Connects { ask: AskId(0), addresses: &[quic()], skipped: 0, rtt: RTT });
    let first = lab.wait(RTT / 2);
    (lab, first)
}

fn inner() -> Multiaddr {
    at("/ip4/10.0.0.2/udp/4001/quic-v1")
}

#[test]
fn b_sends_at_random_intervals_for_five_seconds() {
    let (mut lab, first) = sending();
    let to: SocketAddr = "11.0.0.3:4001".parse().unwrap();
    let [Action::Datagram { peer: of, to: sent_to, from, payload }] = &first[..] else { panic!("{first:?}") };
    assert_eq!((*of, *sent_to, from), (peer(THEM), to, &Local::Reuse(inner())));
    let mut payloads = BTreeSet::from([payload.clone()]);
    let (mut last, mut gaps) = (lab.now, BTreeSet::new());
    let end = lab.now + secs(5);
    while lab.machine.deadline() <= end {
        lab.now = lab.machine.deadline();
        lab.machine.on_timeout(lab.now);
        let actions = lab.poll();
        let [Action::Datagram { payload, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert!(payloads.insert(payload.clone()), "a payload comes twice");
        let gap = lab.now.since(last);
        assert!((millis(10)..=millis(200)).contains(&gap), "{gap:?}");
        gaps.insert(gap);
        last = lab.now;
    }
    assert!(gaps.len() > 20, "{gaps:?}");
    assert!(gaps.first().unwrap() < &millis(30) && gaps.last().unwrap() > &millis(180), "{gaps:?}");
    assert_eq!(lab.wait(millis(4999)), [], "the try goes on, for the other's packets may be late");
    assert_eq!(
        lab.wait(secs(1))[0],
        Action::Open {
            ask: AskId(1),
            connection: CIRCUIT,
            addresses: Vec::from([at("/ip4/11.0.0.2/udp/4001/quic-v1")])
        }
    );
    lab.tell(Input::Cancel { peer: peer(THEM) });
    let sent = u32::try_from(payloads.len()).unwrap();
    assert_eq!(lab.report().tries[0].dials[0].outcome, Outcome::Datagrams { sent });
}

#[test]
fn a_connection_silences_them() {
    let (mut lab, _) = sending();
    lab.connect(DIRECT, false, true);
    assert_eq!(lab.wait(secs(5)), []);
}

#[test]
fn a_dials_quic_as_the_client_on_every_try() {
    let mut lab = Lab::on_circuit(false);
    let own =
        Candidate { address: at("/ip4/11.0.0.2/udp/4001/quic-v1"), source: Source::Observed, local: Some(inner()) };
    lab.tell(Input::Own(&[own]));
    for stream in 1..3 {
        lab.tell(Input::Asked { stream: on(stream), addresses: &[quic()], skipped: 0 });
        let actions = lab.synced(stream);
        let [Action::Dial { address, plan, local, .. }] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!((address, *plan, local), (&quic(), Plan::Initiate, &Local::Reuse(inner())));
    }
}
