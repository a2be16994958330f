//! A host: its operating system, the node that runs on it, and one turn of both.

use crate::fault::Fault;
use crate::network::Names;
use crate::node::{HostId, Input, Node};
use crate::os::Os;
use crate::stack::Stack;
use crate::trace::Trace;
use tidewire_core::{Seed, Time};

/// Timeouts of one node at one instant, while it acts each time. More is a spin.
const MAX_TIMEOUTS: u32 = 1_000;
/// Calls of one node at one instant. 10,000 connections that arrive together are a few times that; a million are a loop.
const MAX_CALLS: u32 = 1_000_000;

pub(crate) struct Host {
    pub(crate) id: HostId,
    pub(crate) node: Option<Box<dyn Node>>,
    pub(crate) stack: Stack,
    /// Of the host.
    pub(crate) root: Seed,
    /// Of the node that runs: another one for each start.
    pub(crate) seed: Seed,
    pub(crate) starts: u64,
    pub(crate) powered: bool,
    /// When the world looks after it unasked: no later than its deadline.
    pub(crate) wake: Time,
    /// Of the instant in which it was last called.
    instant: Time,
    calls: u32,
    timeouts: u32,
    pub(crate) all_calls: u64,
}

impl Host {
    pub(crate) fn new(id: HostId, stack: Stack, root: Seed) -> Self {
        Host {
            id,
            node: None,
            stack,
            seed: root.clone(),
            root,
            starts: 0,
            powered: true,
            wake: Time::NEVER,
            instant: Time::ZERO,
            calls: 0,
            timeouts: 0,
            all_calls: 0,
        }
    }

    /// When there is something to do: exact once `now` has reached it.
    pub(crate) fn deadline(&mut self, now: Time) -> Time {
        let node = self.node.as_ref().map_or(Time::NEVER, |node| node.deadline());
        node.min(self.stack.deadline(now))
    }

    /// Nothing will happen unless something comes from outside.
    pub(crate) fn is_quiet(&self) -> bool {
        self.node.as_ref().is_none_or(|node| node.deadline().is_never()) && self.stack.is_quiet()
    }

    /// Tells the node all that there is to tell at this instant, until it is quiet.
    pub(crate) fn turn(&mut self, now: Time, names: &Names, trace: &mut Trace) -> Result<(), Fault> {
        if self.instant != now {
            (self.instant, self.calls, self.timeouts) = (now, 0, 0);
        }
        let Some(mut node) = self.node.take() else {
            self.stack.inbox.clear();
            self.stack.flush(now);
            return Ok(());
        };
        let result = self.turn_of(&mut *node, now, names, trace);
        self.node = Some(node);
        result
    }

    fn turn_of(&mut self, node: &mut dyn Node, now: Time, names: &Names, trace: &mut Trace) -> Result<(), Fault> {
        loop {
            while let Some(input) = self.stack.inbox.pop_front() {
                self.call(node, now, input, names, trace)?;
            }
            let deadline = node.deadline();
            if deadline <= now {
                self.stack.called = false;
                self.timeouts += 1;
                self.call(node, now, Input::Timeout, names, trace)?;
                let stuck = !self.stack.called && node.deadline() == deadline && self.stack.inbox.is_empty();
                if stuck || self.timeouts > MAX_TIMEOUTS {
                    return Err(Fault::Spin { host: self.id, now, deadline: node.deadline(), times: self.timeouts });
                }
                continue;
            }
            self.stack.flush(now);
            if self.stack.inbox.is_empty() {
                return Ok(());
            }
        }
    }

    fn call(
        &mut self,
        node: &mut dyn Node,
        now: Time,
        input: Input,
        names: &Names,
        trace: &mut Trace,
    ) -> Result<(), Fault> {
        self.all_calls += 1;
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(Fault::Endless { host: self.id, now, calls: self.calls });
        }
        let mut os = Os { now, host: self.id, seed: &self.seed, stack: &mut self.stack, names, trace };
        node.handle(now, input, &mut os);
        Ok(())
    }
}
