//! What we relay between two streams, and ends that are hard to see.

use super::*;
use crate::Splice;
use tidewire_relay::{CircuitId, Limit};

/// Node 1 relays between two streams of node 0, which may have finished before.
fn relayed(pair: &mut Pair) -> [(ConnectionId, StreamId); 2] {
    pair.connect();
    let [source, at_source] = pair.stream(1);
    let [destination, at_destination] = pair.stream(2);
    let splice =
        Splice { circuit: CircuitId(1), source: at_source, destination: at_destination, limit: Limit::UNLIMITED };
    pair.nodes[1].splice(splice);
    pair.nodes[1].settle();
    pair.run();
    [source, destination]
}

fn circuits(pair: &Pair) -> usize {
    pair.nodes[1].circuits.relayed()
}

#[test]
fn what_goes_in_at_one_end_comes_out_at_the_other() {
    let mut pair = Pair::new();
    let [source, destination] = relayed(&mut pair);
    pair.nodes[0].write(pair.now, source.0, source.1, b"there").unwrap();
    pair.run();
    let mut came = Vec::new();
    while let Ok(Some(piece)) = pair.nodes[0].read(pair.now, destination.0, destination.1) {
        came.extend_from_slice(&piece);
    }
    assert_eq!(came, b"?there");
    assert_eq!(circuits(&pair), 1);
}

#[test]
fn a_side_that_resets_is_noticed_while_the_other_takes_nothing() {
    for of_source in [true, false] {
        let mut pair = Pair::new();
        let ends = relayed(&mut pair);
        let (from, _silent) = if of_source { (ends[0], ends[1]) } else { (ends[1], ends[0]) };
        let much = vec![7; 1 << 20];
        for _ in 0..100 {
            let _ = pair.nodes[0].write(pair.now, from.0, from.1, &much);
            pair.run();
        }
        assert!(pair.nodes[0].write(pair.now, from.0, from.1, &much).is_err(), "the other end takes it all");
        assert_eq!(circuits(&pair), 1);
        pair.nodes[0].reset(pair.now, from.0, from.1, 0).unwrap();
        pair.run();
        assert_eq!(circuits(&pair), 0, "of the source: {of_source}");
    }
}

#[test]
fn a_side_that_finished_and_then_resets_is_noticed() {
    for of_source in [true, false] {
        let mut pair = Pair::new();
        let ends = relayed(&mut pair);
        let from = if of_source { ends[0] } else { ends[1] };
        pair.nodes[0].finish(pair.now, from.0, from.1).unwrap();
        pair.run();
        assert_eq!(circuits(&pair), 1, "half of it is still open");
        pair.nodes[0].reset(pair.now, from.0, from.1, 0).unwrap();
        pair.run();
        assert_eq!(circuits(&pair), 0, "of the source: {of_source}");
    }
}

/// A side is read to its end, and gone: that is no reset.
#[test]
fn a_circuit_that_ends_in_order_loses_nothing() {
    let mut pair = Pair::new();
    let [source, destination] = relayed(&mut pair);
    let much = vec![7; 300_000];
    let sent = pair.nodes[0].write(pair.now, source.0, source.1, &much).unwrap();
    pair.nodes[0].finish(pair.now, destination.0, destination.1).unwrap();
    pair.run();
    pair.nodes[0].finish(pair.now, source.0, source.1).unwrap();
    pair.run();
    let mut came = 0;
    while let Ok(Some(piece)) = pair.nodes[0].read(pair.now, destination.0, destination.1) {
        came += piece.len();
        pair.run();
    }
    assert_eq!((came, circuits(&pair)), (sent + 1, 0));
}
