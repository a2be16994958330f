//! Breadth first through all the states of a model. What fails comes with the shortest way to it.
//!
//! A state is remembered by its 128-bit hash; the state itself lives until its successors are known. A way is found again by
//! walking it from the start.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt::{self, Debug};
use core::hash::{BuildHasherDefault, Hash, Hasher};
use core::time::Duration;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashMap;
use std::time::Instant;

/// States, and what leads from one to the next.
pub(super) trait Model {
    type State: Clone + Hash;
    type Step: Copy + Debug;

    fn start(&self) -> Self::State;

    /// What may happen.
    fn steps(&self, state: &Self::State, into: &mut Vec<Self::Step>);

    /// What comes of it; `log` is told how, in words. An error: a property is broken.
    fn apply(&self, state: &mut Self::State, step: Self::Step, log: &mut dyn FnMut(String)) -> Result<(), String>;

    /// Whether `state`, from which `steps` lead on, keeps the properties.
    fn check(&self, state: &Self::State, steps: &[Self::Step]) -> Result<(), String>;

    /// Whether a way that takes such steps again and again may be endless.
    fn may_recur(&self, step: Self::Step) -> bool;
}

/// All is well: how much there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) transitions: usize,
    pub(super) depth: usize,
    pub(super) time: Duration,
}

/// A way to a state, or around a circle, that should not be.
pub(super) struct Counterexample {
    pub(super) why: String,
    pub(super) steps: Vec<String>,
}

impl Debug for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:3}. {step}", at + 1)?;
        }
        write!(f, "  => {}", self.why)
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, key: u64) {
        self.0 ^= key;
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// How a state was reached first: from which one, by the how-manieth of its steps.
struct Origin {
    from: u32,
    step: u16,
}

/// Visits every state. Every way ends, but for the steps that may recur.
pub(super) fn explore<M: Model>(model: &M) -> Result<Explored, Counterexample> {
    let began = Instant::now();
    let mut known: HashMap<(u64, u64), u32, BuildHasherDefault<AsItIs>> = HashMap::default();
    let (mut origins, mut edges, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let (mut transitions, mut depth, mut last_of_depth) = (0, 0, 0);
    let (mut queue, mut steps) = (VecDeque::new(), Vec::new());
    known.insert(fingerprint(&model.start()), 0);
    origins.push(Origin { from: 0, step: 0 });
    queue.push_back(model.start());
    let mut id = 0_usize;
    while let Some(state) = queue.pop_front() {
        if id > last_of_depth {
            (depth, last_of_depth) = (depth + 1, origins.len() - 1);
        }
        steps.clear();
        model.steps(&state, &mut steps);
        model.check(&state, &steps).map_err(|why| retrace(model, &origins, id, None, why))?;
        for (at, step) in steps.iter().enumerate() {
            let mut next = state.clone();
            let done = model.apply(&mut next, *step, &mut |_| ());
            done.map_err(|why| retrace(model, &origins, id, Some(at), why))?;
            let fresh = u32::try_from(origins.len()).unwrap();
            let to = *known.entry(fingerprint(&next)).or_insert(fresh);
            if to == fresh {
                origins.push(Origin { from: u32::try_from(id).unwrap(), step: u16::try_from(at).unwrap() });
                queue.push_back(next);
            }
            if !model.may_recur(*step) {
                edges.push(to);
            }
            transitions += 1;
        }
        ends.push(edges.len());
        id += 1;
    }
    if let Some(on_circle) = circle(&edges, &ends) {
        return Err(retrace(model, &origins, on_circle, None, "from here on it may go on for ever".into()));
    }
    Ok(Explored { states: origins.len(), transitions, depth, time: began.elapsed() })
}

fn fingerprint(state: &impl Hash) -> (u64, u64) {
    let mut hasher = SipHasher13::new();
    state.hash(&mut hasher);
    let hash = hasher.finish128();
    (hash.h1, hash.h2)
}

/// Kahn's algorithm: takes away what nothing leads to, again and again. What is left is on a circle, or behind one.
fn circle(edges: &[u32], ends: &[usize]) -> Option<usize> {
    let mut into = vec![0_u32; ends.len()];
    edges.iter().for_each(|to| into[*to as usize] += 1);
    let mut free: Vec<usize> = (0..ends.len()).filter(|id| into[*id] == 0).collect();
    while let Some(id) = free.pop() {
        let begin = if id == 0 { 0 } else { ends[id - 1] };
        for to in &edges[begin..ends[id]] {
            into[*to as usize] -= 1;
            if into[*to as usize] == 0 {
                free.push(*to as usize);
            }
        }
    }
    into.iter().position(|left| *left > 0)
}

/// Walks again to the state `id`, and one step further.
fn retrace<M: Model>(model: &M, origins: &[Origin], id: usize, last: Option<usize>, why: String) -> Counterexample {
    let mut way: Vec<usize> = last.into_iter().collect();
    let mut at = id;
    while at != 0 {
        way.push(origins[at].step.into());
        at = origins[at].from as usize;
    }
    let (mut state, mut told) = (model.start(), Vec::new());
    while let Some(at) = way.pop() {
        let mut steps = Vec::new();
        model.steps(&state, &mut steps);
        let mut line = format!("{:?}", steps[at]);
        // The last step may be the one that fails.
        let _ = model.apply(&mut state, steps[at], &mut |words| line += &format!("; {words}"));
        told.push(line);
    }
    Counterexample { why, steps: told }
}

/// Numbers below ten, from one to another.
struct Toy {
    steps: fn(u8) -> &'static [u8],
    recurs: u8,
}

impl Model for Toy {
    type State = u8;
    type Step = u8;

    fn start(&self) -> u8 {
        0
    }

    fn steps(&self, state: &u8, into: &mut Vec<u8>) {
        into.extend((self.steps)(*state));
    }

    fn apply(&self, state: &mut u8, step: u8, _: &mut dyn FnMut(String)) -> Result<(), String> {
        *state = step;
        if step < 10 { Ok(()) } else { Err("too large".into()) }
    }

    fn check(&self, state: &u8, steps: &[u8]) -> Result<(), String> {
        if *state != 7 || !steps.is_empty() { Ok(()) } else { Err("seven is no end".into()) }
    }

    fn may_recur(&self, step: u8) -> bool {
        step == self.recurs
    }
}

#[test]
fn all_states_are_visited_once() {
    let steps = |state| [&[1, 2][..], &[3], &[3, 4], &[4], &[]].get(usize::from(state)).copied().unwrap_or(&[]);
    let explored = explore(&Toy { steps, recurs: 99 }).unwrap();
    assert_eq!((explored.states, explored.transitions, explored.depth), (5, 6, 2));
}

#[test]
fn what_fails_comes_with_the_shortest_way() {
    let to_seven = |state| [&[1, 2][..], &[2], &[3], &[7], &[]].get(usize::from(state)).copied().unwrap_or(&[]);
    let way = explore(&Toy { steps: to_seven, recurs: 99 }).unwrap_err();
    assert_eq!((way.why.as_str(), way.steps), ("seven is no end", vec!["2".into(), "3".into(), "7".into()]));
    let too_far = |state| [&[1][..], &[2, 11]].get(usize::from(state)).copied().unwrap_or(&[]);
    let way = explore(&Toy { steps: too_far, recurs: 99 }).unwrap_err();
    assert_eq!((way.why.as_str(), way.steps), ("too large", vec!["1".into(), "11".into()]));
}

#[test]
fn a_circle_is_found_unless_it_may_recur() {
    let steps = |state| [&[1][..], &[2], &[3], &[1]].get(usize::from(state)).copied().unwrap_or(&[]);
    let way = explore(&Toy { steps, recurs: 99 }).unwrap_err();
    assert!(way.why.contains("for ever"), "{way:?}");
    explore(&Toy { steps, recurs: 1 }).unwrap();
}
