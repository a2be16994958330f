//! Any message, cut anywhere, against a decoder written by hand; and both ends against each other.

use super::wire::by_hand;
use super::*;
use proptest::collection::vec as many;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;

fn entry() -> impl Strategy<Value = Vec<u8>> {
    let good = any::<u16>().prop_map(|port| at_port(port).as_bytes().to_vec());
    prop_oneof![3 => good, 1 => many(any::<u8>(), 0..20)]
}

fn punch() -> impl Strategy<Value = Punch> {
    let kind = prop_oneof![8 => Just(100), 8 => Just(300), 1 => Just(0), 1 => any::<i32>()];
    (option::weighted(0.95, kind), many(entry(), 0..40)).prop_map(|(kind, addrs)| Punch { kind, addrs })
}

/// Messages one after the other, and something behind them, maybe.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let messages = many(punch(), 0..4).prop_map(|messages| messages.iter().flat_map(framed).collect::<Vec<u8>>());
    (messages, many(any::<u8>(), 0..3)).prop_map(|(mut wire, rest)| {
        wire.extend_from_slice(&rest);
        wire
    })
}

/// All that one end tells: outputs, then the fault. It is carried on as soon as it may be.
fn run<M: Machine<Output = Heard, Error = Fault>>(
    machine: &mut M,
    bytes: &[u8],
    cuts: &[Index],
    carry_on: impl Fn(&mut M, &Heard, &mut BytesMut),
) -> (Vec<Heard>, Result<(), Fault>, BytesMut) {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let (mut rx, mut tx, mut told, mut from) = (BytesMut::new(), BytesMut::new(), Vec::new(), 0);
    for (at, to) in cuts.iter().enumerate() {
        rx.extend_from_slice(&bytes[from..*to]);
        from = *to;
        loop {
            let ended = at + 1 == cuts.len();
            match machine.advance_or_end(Time::ZERO, &mut rx, &mut tx, ended) {
                Ok(Some(heard)) => {
                    carry_on(machine, &heard, &mut tx);
                    told.push(heard);
                }
                Ok(None) => break,
                Err(fault) => return (told, Err(fault), tx),
            }
        }
    }
    (told, Ok(()), tx)
}

fn opener() -> Opener {
    Opener::new(Time::ZERO, &[], &Config::default(), &mut BytesMut::new())
}

fn run_opener(bytes: &[u8], cuts: &[Index]) -> (Vec<Heard>, Result<(), Fault>, BytesMut) {
    run(&mut opener(), bytes, cuts, |opener, _, tx| opener.sync(Time::ZERO, tx).unwrap())
}

fn run_answerer(bytes: &[u8], cuts: &[Index]) -> (Vec<Heard>, Result<(), Fault>, BytesMut) {
    run(&mut Answerer::new(Time::ZERO, &Config::default()), bytes, cuts, |answerer, heard, tx| {
        if matches!(heard, Heard::Connect { .. }) {
            answerer.connect(Time::ZERO, &[], tx).unwrap();
        }
    })
}

/// What an end that hears these slots one after the other tells, by the decoder written by hand; and whether all is well.
fn expected(bytes: &[u8], slots: &[i32]) -> (Vec<Heard>, bool) {
    let (mut told, mut rest) = (Vec::new(), bytes);
    for slot in slots {
        let Ok(Some((message, after))) = by_hand(rest) else { return (told, false) };
        rest = after;
        if message.kind != Some(*slot) {
            return (told, false);
        }
        told.push(if *slot == 300 {
            Heard::Sync { rtt: Duration::ZERO }
        } else {
            let read: Vec<_> = message.addrs.iter().map(|bytes| Multiaddr::from_bytes(bytes)).collect();
            let mut addresses: Vec<_> = read.into_iter().flatten().filter(|address| !address.is_empty()).collect();
            let skipped = message.addrs.len() - addresses.len();
            let dropped = addresses.len().saturating_sub(32);
            addresses.truncate(32);
            let rtt = (slots.len() == 1).then_some(Duration::ZERO);
            Heard::Connect { addresses, skipped, dropped, rtt }
        });
    }
    (told, rest.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn an_opener_hears_what_a_decoder_written_by_hand_does(bytes in wire(), cuts in many(any::<Index>(), 0..5)) {
        let (told, result, written) = run_opener(&bytes, &cuts);
        let (expected, well) = expected(&bytes, &[100]);
        prop_assert_eq!((&told, result.is_ok()), (&expected, well), "{:?}", result);
        prop_assert_eq!(written.is_empty(), told.is_empty());
    }

    #[test]
    fn an_answerer_hears_what_a_decoder_written_by_hand_does(bytes in wire(), cuts in many(any::<Index>(), 0..5)) {
        let (told, result, _) = run_answerer(&bytes, &cuts);
        let (expected, well) = expected(&bytes, &[100, 300]);
        prop_assert_eq!((told, result.is_ok()), (expected, well), "{:?}", result);
    }

    /// Splitting changes nothing: outputs, the fault, and what is written.
    #[test]
    fn any_bytes_are_heard_the_same_however_cut(
        bytes in prop_oneof![wire(), many(any::<u8>(), 0..64)],
        cuts in many(any::<Index>(), 0..6),
    ) {
        prop_assert_eq!(run_opener(&bytes, &[]), run_opener(&bytes, &cuts));
        prop_assert_eq!(run_answerer(&bytes, &[]), run_answerer(&bytes, &cuts));
    }

    /// Each end reads what the other writes, and both measure the same path.
    #[test]
    fn both_ends_understand_each_other(
        of_b in many(any::<u16>(), 0..500),
        of_a in many(any::<u16>(), 0..500),
        one_way in 0..5_000u64,
    ) {
        let config = Config { max_addresses: 1_000, ..Config::default() };
        let ports = |ports: &[u16]| ports.iter().map(|port| at_port(*port)).collect::<Vec<_>>();
        let (of_b, of_a, step) = (ports(&of_b), ports(&of_a), Duration::from_millis(one_way));
        let (mut there, mut back) = (BytesMut::new(), BytesMut::new());
        let mut now = Time::ZERO;

        let mut b = Opener::new(now, &of_b, &config, &mut there);
        prop_assert!(there.len() <= MAX_MESSAGE + 2);
        now = now + step;
        let mut a = Answerer::new(now, &config);
        let heard = a.advance(now, &mut there, &mut back).unwrap().unwrap();
        let expected = Heard::Connect { addresses: of_b[..b.told()].to_vec(), skipped: 0, dropped: 0, rtt: None };
        prop_assert_eq!(heard, expected);
        let told = a.connect(now, &of_a, &mut back).unwrap();

        now = now + step;
        let heard = b.advance(now, &mut back, &mut there).unwrap().unwrap();
        let rtt = Some(step * 2);
        prop_assert_eq!(heard, Heard::Connect { addresses: of_a[..told].to_vec(), skipped: 0, dropped: 0, rtt });
        b.sync(now, &mut there).unwrap();

        now = now + step;
        prop_assert_eq!(a.end(now, &mut there, &mut back), Ok(Some(Heard::Sync { rtt: step * 2 })));
        prop_assert!(a.is_over() && b.is_over());
    }
}
