//! What the machines that find the roles have in common: what they tell, and how they go on once the roles are known.

use crate::dialer::Dialer;
use crate::error::Error;
use crate::listener::Listener;
use crate::protocol::Protocol;
use bytes::BytesMut;
use tidewire_core::{Machine, Role, Time};

/// What [`SimultaneousOpen`](crate::SimultaneousOpen) and [`ListenFirst`](crate::ListenFirst) tell: first the role, then the
/// protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoleEvent {
    /// The role is settled. The negotiation goes on: call again.
    Role(Role),
    /// Both ends agreed. This is the last event.
    Agreed {
        /// Our role, as told before.
        role: Role,
        /// The protocol that both ends speak from here on.
        protocol: Protocol,
        /// Its place in the list that the machine was given.
        index: usize,
    },
}

/// The negotiation once the role is known.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    Dialer(Dialer),
    Listener(Listener),
}

impl Settled {
    pub(crate) fn step(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<RoleEvent>, Error> {
        match self {
            Settled::Dialer(dialer) => {
                let agreed = dialer.advance_or_end(now, rx, tx, ended)?;
                Ok(agreed.map(|agreed| RoleEvent::Agreed {
                    role: Role::Initiator,
                    protocol: agreed.protocol,
                    index: agreed.index,
                }))
            }
            Settled::Listener(listener) => {
                let accepted = listener.advance_or_end(now, rx, tx, ended)?;
                Ok(accepted.map(|accepted| RoleEvent::Agreed {
                    role: Role::Responder,
                    protocol: accepted.protocol,
                    // Over a fixed set the route is the place in it, a usize before.
                    index: usize::try_from(accepted.route.get()).unwrap_or(usize::MAX),
                }))
            }
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        match self {
            Settled::Dialer(dialer) => dialer.deadline(),
            Settled::Listener(listener) => listener.deadline(),
        }
    }
}
