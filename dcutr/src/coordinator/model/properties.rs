//! What holds in every world, and what a broken rule breaks.

use super::world::{End, NAMES, P, Q, State, Tuple, Wire, World};
use crate::Plan;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Of two ends with these plans, which one initiates. An error: both do, or nobody.
pub(super) fn initiator(plans: [Plan; 2]) -> Result<usize, String> {
    // The gaps between the waits are longer than the path's delay: the shorter one's proposal comes in time.
    let wait = plans.map(|plan| match plan {
        Plan::Initiate => Some(core::time::Duration::ZERO),
        Plan::ListenFirst { wait } => Some(wait),
        Plan::Respond => None,
    });
    match wait {
        [None, None] => Err("the roles are not complementary: both respond".into()),
        [Some(_), None] => Ok(P),
        [None, Some(_)] => Ok(Q),
        [Some(p), Some(q)] if p == q => Err(format!("the roles are not complementary: both propose after {p:?}")),
        [Some(p), Some(q)] => Ok(if p < q { P } else { Q }),
    }
}

/// Side `side` is about to close a connection by rule A, in favour of another one.
pub(super) fn on_close(state: &State, side: usize, at: usize, kept: Option<usize>) -> Result<(), String> {
    let Some(wire) = state.wires[at].as_ref() else { return Err("what is closed isn't there".into()) };
    let others = state.wires.iter().enumerate().filter(|(other, _)| *other != at).filter_map(|(_, wire)| wire.as_ref());
    // That one was lost, and nobody knows yet, is beyond any rule.
    let works = |wire: &&Wire| wire.is_whole() || (wire.lost && wire.ends == [End::Up; 2]);
    let whole: Vec<Tuple> = others.filter(works).map(|wire| wire.tuple).collect();
    // Two circuits are one too many: the other one goes on then. That it died since it answered is beyond any rule.
    let for_a_circuit =
        kept.and_then(|kept| state.wires[kept].as_ref()).is_some_and(|kept| kept.tuple == Tuple::Circuit);
    if for_a_circuit && state.relay_lost {
        return Ok(());
    }
    if wire.tuple == Tuple::Circuit && whole.is_empty() {
        return Err(format!("{} drops the relay, and no direct connection works at both ends", NAMES[side]));
    }
    if wire.tuple != Tuple::Circuit && wire.is_whole() && !whole.iter().any(|tuple| *tuple != Tuple::Circuit) {
        return Err(format!("{} closes the last direct connection", NAMES[side]));
    }
    Ok(())
}

/// Nothing happens any more.
pub(super) fn at_rest(world: &World, state: &State) -> Result<(), String> {
    for (side, name) in NAMES.into_iter().enumerate() {
        let counts = state.sides[side].machine.counts();
        let left = counts.attempts + counts.queued + counts.dials + counts.asks + counts.windows;
        if left > 0 {
            return Err(format!("{name} is not done: {counts:?}"));
        }
        let up = state.wires.iter().flatten().filter(|wire| wire.ends[side].is_up()).count();
        if let Some(known) = state.sides[side].keeper.at_rest()?
            && usize::try_from(known) != Ok(up)
        {
            return Err(format!("{name}'s manager knows of {known} connections of {up}"));
        }
        if !state.sides[side].dials.is_empty() {
            return Err(format!("{name} has a dial left running"));
        }
    }
    if !state.streams.is_empty() {
        return Err("a stream is left".into());
    }
    let wires = || state.wires.iter().flatten();
    if wires().any(|wire| wire.ends.iter().any(|end| end.is_up()) && !wire.is_whole()) {
        return Err("one side sees a connection that the other does not".into());
    }
    if wires().any(|wire| wire.ends.iter().any(|end| matches!(end, End::Waiting { .. } | End::Upgrading { .. }))) {
        return Err("a handshake never ends".into());
    }
    let direct = wires().filter(|wire| wire.tuple != Tuple::Circuit).count();
    let relayed = wires().filter(|wire| wire.tuple == Tuple::Circuit).count();
    if direct > 1 {
        return Err(format!("{direct} direct connections are kept"));
    }
    if direct == 1 && relayed > 0 {
        return Err("the relayed connection is kept beside a direct one".into());
    }
    world.saw(direct == 1);
    if direct == 1 {
        return if state.opened.iter().max() <= Some(&world.within) {
            Ok(())
        } else {
            Err("it took too many tries".into())
        };
    }
    let lost = state.relay_lost;
    if relayed == 0 && !lost && !state.broken {
        return Err("the relayed connection is gone, and there is no direct one".into());
    }
    if world.clean {
        return Err("nothing went wrong, and there is no direct connection".into());
    }
    // What worked, and was lost later, was a try, whoever dialed. If no circuit is left either, there is nobody to ask.
    let tries = |side: usize| state.opened[side] + state.plain[side] + u8::from(state.broken);
    if !lost && relayed > 0 && [P, Q].into_iter().all(|side| u32::from(tries(side)) < world.tries) {
        return Err(format!("nobody tried again after {:?} tries", state.opened));
    }
    Ok(())
}
