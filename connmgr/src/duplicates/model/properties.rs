//! What holds in every world, and what a broken rule breaks.

use super::world::{End, LINES, State, World};
use alloc::format;
use alloc::string::String;

/// Side `side` is about to close `line` in favour of `kept`.
pub(super) fn on_close(world: &World, state: &State, side: usize, line: usize, kept: usize) -> Result<(), String> {
    if world.is_foreign(side) {
        return Ok(());
    }
    if state.wires[line].ends[side] != End::Up || state.wires[kept].ends[side] != End::Up {
        return Err(format!("c{line} is closed for c{kept}, and one of them is not open"));
    }
    if state.wires[line].is_whole() && state.wires[line].past & 1 << kept != 0 {
        return Err(format!("c{line} is closed for c{kept}, which was dead before c{line} was established"));
    }
    if state.wires[kept].dead {
        return Err(format!("c{line} is closed for c{kept}, which is dead"));
    }
    if state.sides[side].closes.len() > usize::try_from(world.budget).unwrap() {
        return Err(format!("more closes than the budget of {} within one window", world.budget));
    }
    // What died since then, and what a foreign peer closes, is beyond any rule.
    if state.harm || !world.is_equal() {
        return Ok(());
    }
    let others = (0..LINES).filter(|i| *i != line && state.wires[*i].is_whole()).count();
    if state.wires[line].is_whole() && others < usize::try_from(world.per_peer).unwrap() {
        return Err(format!("c{line} is closed for c{kept}, and {others} others are working"));
    }
    Ok(())
}

/// No side sees none because of the rule, and each knows where to open a stream.
pub(super) fn always(world: &World, state: &State) -> Result<(), String> {
    for (side, name) in ["P", "Q"].into_iter().enumerate() {
        let up = |i: usize| state.wires[i].ends[side] == End::Up;
        let none = !(0..LINES).any(up);
        if none && state.given_up & state.was_up[side] != 0 && !state.harm && world.is_equal() {
            return Err(format!("{name} has no connection left, because of the rule"));
        }
        if let Some(preferred) = state.sides[side].machine.preferred()
            && (preferred.is_none() != none || preferred.is_some_and(|c| !up(usize::try_from(c.0).unwrap())))
        {
            return Err(format!("{name} prefers {preferred:?}"));
        }
    }
    Ok(())
}

/// Nothing happens any more, unless somebody dials, uses a stream, or something breaks.
pub(super) fn at_rest(world: &World, state: &State) -> Result<(), String> {
    let whole = (0..LINES).filter(|i| state.wires[*i].is_whole());
    let (left, wanted) = (whole.clone().count(), usize::try_from(world.per_peer).unwrap());
    if state.wires.iter().any(|wire| wire.ends.contains(&End::Up) && !wire.is_whole()) {
        return Err("one side sees a connection that the other does not".into());
    }
    if !world.is_equal() {
        return Ok(());
    }
    let possible = state.was_whole.count_ones() as usize;
    if left > wanted && world.budget == u32::MAX {
        return Err(format!("{left} connections remain, and {wanted} are wanted"));
    }
    if left < wanted.min(possible) && !state.harm {
        return Err(format!("{left} connections remain of {possible} that worked"));
    }
    let preferred = [0, 1].map(|side: usize| state.sides[side].machine.preferred().flatten());
    if wanted == 1 && left == 1 && preferred[0] != preferred[1] {
        return Err(format!("the two sides prefer different ones: {preferred:?}"));
    }
    Ok(())
}
