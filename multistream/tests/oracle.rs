//! Side by side with rust-libp2p's multistream-select, in both roles, with any cut of the bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::std_instead_of_alloc, clippy::std_instead_of_core, clippy::cast_possible_truncation)]

mod common;

use common::*;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use futures::task::noop_waker_ref;
use multistream_select::{Version, dialer_select_proto, listener_select_proto};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tidewire_core::{Machine, Time};
use tidewire_multistream::{Config, Dialer, Listener};

/// The oracle's end of the wire.
#[derive(Clone, Default)]
struct Wire(Rc<RefCell<Ends>>);

#[derive(Default)]
struct Ends {
    to_oracle: VecDeque<u8>,
    from_oracle: VecDeque<u8>,
    ours_finished: bool,
    oracle_finished: bool,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.borrow_mut();
        if ends.to_oracle.is_empty() {
            return if ends.ours_finished { Poll::Ready(Ok(0)) } else { Poll::Pending };
        }
        let len = buf.len().min(ends.to_oracle.len());
        for (slot, byte) in buf.iter_mut().zip(ends.to_oracle.drain(..len)) {
            *slot = byte;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().from_oracle.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.borrow_mut().oracle_finished = true;
        Poll::Ready(Ok(()))
    }
}

/// What one end came to: the protocol and what it read, or nothing.
type Outcome = Option<(String, Vec<u8>)>;

async fn exchange<T: AsyncRead + AsyncWrite + Unpin>(mut io: T, data: &[u8]) -> io::Result<Vec<u8>> {
    io.write_all(data).await?;
    io.close().await?;
    let mut got = Vec::new();
    io.read_to_end(&mut got).await?;
    Ok(got)
}

async fn oracle_dials(wire: Wire, proposals: Vec<String>, version: Version, data: Vec<u8>) -> Outcome {
    let (name, io) = dialer_select_proto(wire, proposals, version).await.ok()?;
    Some((name, exchange(io, &data).await.ok()?))
}

async fn oracle_listens(wire: Wire, served: Vec<String>, data: Vec<u8>) -> Outcome {
    let (name, io) = listener_select_proto(wire, served).await.ok()?;
    Some((name, exchange(io, &data).await.ok()?))
}

/// Runs ours against the oracle until neither moves. `lazily`: ours sends its data as soon as it may.
fn run<M: Machine>(
    machine: M,
    may_write: impl Fn(&M) -> bool,
    oracle: impl Future<Output = Outcome>,
    wire: &Wire,
    data: &[u8],
    pieces: &[usize],
) -> (Side<M>, Outcome) {
    let mut side = Side::new(machine);
    let mut app = App::new(data, true);
    let mut oracle = Box::pin(oracle);
    let mut outcome = None;
    let mut pieces = pieces.iter().copied().cycle();
    let mut idle = 0;
    while idle < 3 {
        let mut moved = side.turn(Time::ZERO);
        let may = side.error.is_none() && (may_write(&side.machine) || !side.outputs.is_empty());
        app.act(&mut side, may);
        if outcome.is_none()
            && let Poll::Ready(result) = oracle.as_mut().poll(&mut Context::from_waker(noop_waker_ref()))
        {
            outcome = Some(result);
            wire.0.borrow_mut().oracle_finished = true;
            moved = true;
        }
        let mut ends = wire.0.borrow_mut();
        let piece = pieces.next().unwrap_or(1);
        let len = piece.min(side.tx.len());
        ends.to_oracle.extend(side.tx.split_to(len));
        moved |= len > 0;
        if side.tx.is_empty() && (side.finish || side.error.is_some()) {
            ends.ours_finished = true;
        }
        let len = piece.min(ends.from_oracle.len());
        let bytes: Vec<u8> = ends.from_oracle.drain(..len).collect();
        side.rx.extend_from_slice(&bytes);
        moved |= len > 0;
        if ends.from_oracle.is_empty() && ends.oracle_finished {
            side.heard_end = true;
        }
        idle = if moved { 0 } else { idle + 1 };
    }
    (side, outcome.flatten())
}

const POOL: [&str; 8] = [
    "/a",
    "/noise",
    "/yamux/1.0.0",
    "/a/name/of/more/than/twenty-three/bytes",
    "/ipfs/ping/1.0.0",
    "/a/1",
    "/multistream/2.0.0",
    "/a/name/of/128/bytes/or/more/----------------------------------------------------------------------------------------------------",
];

fn some_names(min: usize) -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence((0..POOL.len()).collect::<Vec<_>>(), min..=POOL.len())
        .prop_shuffle()
        .prop_map(|places| places.into_iter().map(|i| POOL[i].to_owned()).collect())
}

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![1..4usize, 1..64usize, Just(100_000)], 1..8)
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![Just(vec![]), proptest::collection::vec(any::<u8>(), 0..200)]
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn our_dialer_and_the_oracles_listener_agree_on_the_first_common_name(
        proposals in some_names(1), served in some_names(0), a in data(), b in data(), pieces in pieces(),
    ) {
        let expected = proposals.iter().find(|name| served.contains(name)).cloned();
        let wire = Wire::default();
        let oracle = oracle_listens(wire.clone(), served, b.clone());
        let ours = Dialer::new(names(&refs(&proposals)), Config::default());
        let (side, theirs) = run(ours, Dialer::may_write, oracle, &wire, &a, &pieces);
        let agreed = side.outputs.first().map(|agreed| (agreed.protocol.to_string(), agreed.index));
        prop_assert_eq!(agreed.as_ref().map(|(name, _)| name), expected.as_ref());
        if let Some((name, index)) = agreed {
            prop_assert_eq!(&proposals[index], &name);
            prop_assert_eq!(theirs, Some((name, a)));
            prop_assert_eq!(&side.rx[..], b);
        } else {
            prop_assert_eq!(theirs, None);
            prop_assert_eq!(side.error, Some(tidewire_multistream::Error::Refused { proposals: names(&refs(&proposals)) }));
        }
    }

    #[test]
    fn our_lazy_dialer_is_served_or_refused_by_the_oracles_listener(
        proposal in some_names(1), served in some_names(0), a in data(), b in data(), pieces in pieces(),
    ) {
        let wire = Wire::default();
        let is_served = served.contains(&proposal[0]);
        let oracle = oracle_listens(wire.clone(), served, b.clone());
        let ours = Dialer::lazy(name(&proposal[0]), Config::default());
        // Without data where it would be refused: the oracle takes data for frames, and ends in its own way.
        let a = if is_served { a } else { vec![] };
        let (side, theirs) = run(ours, Dialer::may_write, oracle, &wire, &a, &pieces);
        if is_served {
            prop_assert_eq!(side.error, None);
            prop_assert_eq!(theirs, Some((proposal[0].clone(), a)));
            prop_assert_eq!(&side.rx[..], b);
        } else {
            prop_assert_eq!(side.error, Some(tidewire_multistream::Error::Refused { proposals: name(&proposal[0]).into() }));
        }
    }

    #[test]
    fn the_oracles_dialer_and_our_listener_agree_on_the_first_common_name(
        proposals in some_names(1), served in some_names(0), a in data(), b in data(), pieces in pieces(), lazy: bool,
    ) {
        let expected = proposals.iter().find(|name| served.contains(name)).cloned();
        let wire = Wire::default();
        let version = if lazy { Version::V1Lazy } else { Version::V1 };
        // As above: data behind a lazy proposal that is refused has no meaning. The oracle is lazy with its last name.
        let a = if expected.is_some() { a } else { vec![] };
        let oracle = oracle_dials(wire.clone(), proposals, version, a.clone());
        let ours = Listener::new(names(&refs(&served)), Config::default());
        let (side, theirs) = run(ours, |_| false, oracle, &wire, &b, &pieces);
        let accepted = side.outputs.first().map(|accepted| accepted.protocol.to_string());
        prop_assert_eq!(&accepted, &expected);
        if let Some(name) = accepted {
            prop_assert_eq!(theirs, Some((name, b)));
            prop_assert_eq!(&side.rx[..], a);
        } else {
            prop_assert_eq!(theirs, None);
        }
    }

    /// The model in one line: the first proposal that is served. For both of our ends, and every way to finish.
    #[test]
    fn our_own_pair_agrees_as_the_model_says(
        proposals in some_names(1), served in some_names(0), a in data(), b in data(), piece in 1..64usize,
        lazy: bool, early: (bool, bool),
    ) {
        let proposals = if lazy { proposals[..1].to_vec() } else { proposals };
        let expected = proposals.iter().find(|name| served.contains(name));
        let a = if expected.is_some() { a } else { vec![] };
        let ours = if lazy { Dialer::lazy(name(&proposals[0]), Config::default()) } else { dialer(&refs(&proposals)) };
        let (mut x, mut y) = (Side::new(ours), Side::new(listener(&refs(&served))));
        converse(&mut x, &mut App::new(&a, early.0), &mut y, &mut App::new(&b, early.1), piece);
        prop_assert_eq!(x.outputs.first().map(|agreed| agreed.protocol.as_str()), expected.map(String::as_str));
        prop_assert_eq!(y.outputs.first().map(|accepted| accepted.protocol.as_str()), expected.map(String::as_str));
        if expected.is_some() {
            prop_assert_eq!((&x.rx[..], &y.rx[..]), (&b[..], &a[..]));
        }
    }
}
