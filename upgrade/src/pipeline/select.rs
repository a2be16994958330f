//! The first selection on a connection: who leads, and which security protocol.

use super::{How, Plan, Progress, Stage};
use crate::connection::Selection;
use bytes::BytesMut;
use tidewire_core::{Machine, Role, Seed, Time};
use tidewire_multistream::{
    Config, Dialer, Error, ListenFirst, Listener, Protocol, Protocols, RoleEvent, SimultaneousOpen,
};

/// Whichever machine the plan asks for.
#[derive(Debug)]
pub(super) struct Select {
    machine: Kind,
    names: Protocols,
    /// What we propose first, until it was told.
    proposing: Option<Protocol>,
}

#[derive(Debug)]
enum Kind {
    Lead(Leader),
    /// We go ahead with the only proposal; `None` once the dialer was handed over.
    Lazy(Option<Dialer>),
    ListenFirst(ListenFirst),
    SimultaneousOpen(SimultaneousOpen),
}

/// A negotiation where it is known who leads.
#[derive(Debug)]
pub(super) enum Leader {
    Us(Dialer),
    Remote(Listener),
}

/// What a step came to.
pub(super) enum Step {
    Starved,
    Told(Progress),
    Agreed(Agreed),
}

/// What was agreed on.
pub(super) struct Agreed {
    /// Its place in our list.
    pub(super) index: usize,
    pub(super) role: Role,
    /// We went ahead: this one still waits for the answer.
    pub(super) confirm: Option<Dialer>,
    /// To be told to the caller.
    pub(super) told: Option<Progress>,
}

impl Leader {
    /// The place in our list that was agreed on.
    pub(super) fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<usize>, Error> {
        Ok(match self {
            Leader::Us(dialer) => dialer.advance_or_end(now, rx, tx, ended)?.map(|agreed| agreed.index),
            Leader::Remote(listener) => {
                listener.advance_or_end(now, rx, tx, ended)?.map(|accepted| place(accepted.route.get()))
            }
        })
    }

    fn role(&self) -> Role {
        match self {
            Leader::Us(_) => Role::Initiator,
            Leader::Remote(_) => Role::Responder,
        }
    }
}

/// Over a fixed list the route is the place in it.
fn place(route: u64) -> usize {
    usize::try_from(route).unwrap_or(usize::MAX)
}

impl Select {
    pub(super) fn new(plan: Plan, names: &Protocols, selection: Selection, seed: &Seed, config: Config) -> Self {
        let machine = match (plan, selection, names.as_slice()) {
            (Plan::Initiate, Selection::Lazy, [only]) => Kind::Lazy(Some(Dialer::lazy(only.clone(), config))),
            (Plan::Initiate, ..) => Kind::Lead(Leader::Us(Dialer::new(names.clone(), config))),
            (Plan::Respond, ..) => Kind::Lead(Leader::Remote(Listener::new(names.clone(), config))),
            (Plan::ListenFirst { until }, ..) => {
                Kind::ListenFirst(ListenFirst::with_tie_break(names.clone(), until, seed, config))
            }
            (Plan::SimultaneousOpen, ..) => Kind::SimultaneousOpen(SimultaneousOpen::new(names.clone(), seed, config)),
        };
        let proposing = names.first().filter(|_| matches!(plan, Plan::Initiate)).cloned();
        Select { machine, names: names.clone(), proposing }
    }

    pub(super) fn deadline(&self) -> Time {
        match &self.machine {
            Kind::ListenFirst(machine) => machine.deadline(),
            Kind::SimultaneousOpen(machine) => machine.deadline(),
            Kind::Lead(_) | Kind::Lazy(_) => Time::NEVER,
        }
    }

    pub(super) fn step(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> Result<Step, Error> {
        let event = match &mut self.machine {
            Kind::Lazy(dialer) => {
                let Some(mut dialer) = dialer.take() else { return Ok(Step::Starved) };
                dialer.advance(now, &mut BytesMut::new(), tx)?;
                let told = self.proposing.take().map(proposed);
                return Ok(Step::Agreed(Agreed { index: 0, role: Role::Initiator, confirm: Some(dialer), told }));
            }
            Kind::Lead(leader) => {
                if let Some(protocol) = self.proposing.take() {
                    return Ok(Step::Told(proposed(protocol)));
                }
                let role = leader.role();
                let Some(index) = leader.step(now, rx, tx, ended)? else { return Ok(Step::Starved) };
                let told = self.names.get(index).cloned().map(selected);
                return Ok(Step::Agreed(Agreed { index, role, confirm: None, told }));
            }
            Kind::ListenFirst(machine) => machine.advance_or_end(now, rx, tx, ended)?,
            Kind::SimultaneousOpen(machine) => machine.advance_or_end(now, rx, tx, ended)?,
        };
        Ok(match event {
            None => Step::Starved,
            Some(RoleEvent::Role(role)) => Step::Told(Progress::Role(role)),
            Some(RoleEvent::Agreed { role, protocol, index }) => {
                Step::Agreed(Agreed { index, role, confirm: None, told: Some(selected(protocol)) })
            }
            Some(_) => Step::Starved,
        })
    }
}

fn proposed(protocol: Protocol) -> Progress {
    Progress::Proposed { stage: Stage::Security, protocol }
}

fn selected(protocol: Protocol) -> Progress {
    Progress::Agreed { stage: Stage::Security, protocol, how: How::Selected }
}
