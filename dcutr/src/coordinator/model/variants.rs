//! The rule as it is, simpler ones that are broken, and the roles that other implementations take.

use crate::Plan;
use crate::report::Side;

/// What a side follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// The coordinator, as it is.
    Ours,
    /// The roles of the spec alone: nobody listens first.
    NoListening,
    /// A window is closed with its stream.
    ShortWindow,
    /// An own earlier dial is left running when the next try begins.
    DialsLeft,
    /// A's dial is always initiator at once.
    AlwaysInitiate,
    /// An attempt is done when a connection is established, proven or not.
    DoneAtOnce,
    /// The relayed connection is closed by us as soon as a direct one is established.
    RelayDropped,
    /// Every ping counts as answered, at once: nothing is proven.
    Unproven,
    /// The manager is told that who dialed is the initiator. Both did, in a simultaneous open.
    ClassByDialer,
    /// Duplicates are kept (`per_peer` of the manager's configuration).
    KeepsAll,
    /// Another implementation: what a socket is, depends on the side and the try.
    Foreign(Roles),
}

/// Which roles another implementation takes; what it accepts, it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Roles {
    /// A initiates, B responds (relay/DCUtR.md).
    Spec,
    /// The other way round (go-libp2p before 0.41).
    Inverted,
    /// As the spec has it, but B initiates on its third try (go-libp2p of 2026).
    Flips,
}

impl Rule {
    /// The plan of a dial of the punch: at which side, in which try.
    pub(super) fn dial(self, side: Side, number: u32, plan: Plan) -> Plan {
        let initiate = |yes| if yes { Plan::Initiate } else { Plan::Respond };
        match self {
            Rule::NoListening => initiate(side == Side::A),
            Rule::AlwaysInitiate if side == Side::A => Plan::Initiate,
            Rule::Foreign(Roles::Spec) => initiate(side == Side::A),
            Rule::Foreign(Roles::Inverted) => initiate(side == Side::B),
            Rule::Foreign(Roles::Flips) => initiate(side == Side::A || number >= 3),
            _ => plan,
        }
    }

    /// The plan of a socket that was accepted; `in_stream`: while the exchange goes on.
    pub(super) fn accepted(self, plan: Option<Plan>, in_stream: bool) -> Plan {
        match self {
            Rule::NoListening | Rule::Foreign(_) => Plan::Respond,
            Rule::ShortWindow if !in_stream => Plan::Respond,
            _ => plan.unwrap_or(Plan::Respond),
        }
    }
}
