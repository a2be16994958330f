//! Whether a TCP hole punch can work, derived from how both sides behave.
//!
//! The setting is that of DCUtR and of everyone else who punches TCP: both hosts listen on a port, have spoken from that same
//! port with a third host outside, and know each other's address as that one saw it. Then both dial the other's address from
//! that port at about the same time. [`punchable`] says what comes of it if the two SYNs *cross*: each leaves its NAT before
//! the other's reaches it.
//!
//! ```text
//!  a --[ NAT A ]-- SYN --->   <--- SYN --[ NAT B ]-- b      oA, oB: what the third host saw
//!        oA -> oB                 oB -> oA                  eA, eB: what they dial each other from
//! ```
//!
//! A side is *stable* if it dials from the address that the third host saw: eA = oA. It is with endpoint-independent mapping,
//! and with a mapping for each remote if ports are overloaded and nothing clashes. Then:
//!
//! | | the SYNs cross | why |
//! |---|---|---|
//! | both stable | yes, always | each filter has seen a packet to just the endpoint that now comes: one simultaneous open |
//! | A stable, B not | if A filters by address at most, and B filters at all | B's SYN comes from another port: past A's filter it finds A's listener. A's SYN goes to a mapping of B that is for the third host: if B let it in, the two attempts would meet in one socket of B's and break each other |
//! | neither | if one of them doesn't filter, and its mapping is not address-dependent | the SYN to the old mapping finds a listener, and its answer leaves the same way; address-dependent, it would leave by the mapping of the dial to the same address |
//!
//! Where they don't get through though one of them doesn't filter, it is its own dial that breaks the other's: they meet in one
//! socket. So who knows that it is not stable does better to dial from another port than the one it listens on. Its SYN comes
//! from an unforeseen port in either case, and the other's finds the listener: then there is a connection wherever there is a
//! way at all ([`Verdict::possible`]).
//!
//! The tests run every pair through the simulator, and find just this. Whole hosts that follow DCUtR find it too:
//! `docs/punch-matrix.txt`, made by `tidewire-lab`.

use super::config::{Filtering, Firewall, Mapping, Nat, Pooling, Ports, Unsolicited};
use core::time::Duration;

/// As much of one side as matters for a punch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Behaviour {
    /// All remotes see the same outer endpoint.
    pub stable: bool,
    /// All remotes see the same outer address, if not the same port.
    pub same_address: bool,
    /// Who comes in by an endpoint that is for another remote is answered from there, even if its address was dialed too: not
    /// so with address-dependent mapping.
    pub answers_as_asked: bool,
    /// Whose packets come in.
    pub filtering: Filtering,
    /// What the others' get.
    pub unsolicited: Unsolicited,
}

/// What can come of a punch between `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Both dial, and the SYNs cross: there is a connection in the end.
    pub crossing: bool,
    /// `a` can simply be dialed, if it doesn't dial as well from the port that it listens on.
    pub a_is_open: bool,
    /// `b` can simply be dialed, if it doesn't dial as well from the port that it listens on.
    pub b_is_open: bool,
    /// `a`'s dial fails at once if its SYN arrives before `b` has dialed: the far side answers with a reset or with ICMP.
    pub a_dies_early: bool,
    /// `b`'s dial fails at once if its SYN arrives before `a` has dialed.
    pub b_dies_early: bool,
}

/// Whether TCP can be punched between hosts behind these. The module says in which setting, and why.
///
/// ```
/// use tidewire_sim::nat::theory::{Behaviour, punchable};
/// use tidewire_sim::nat::{Firewall, Nat};
///
/// let (home, symmetric) = (Behaviour::from(&Nat::home_router()), Behaviour::from(&Nat::symmetric()));
/// assert!(punchable(&home, &home).crossing);
/// assert!(!punchable(&home, &symmetric).crossing);
/// assert!(punchable(&Nat::restricted_cone().into(), &symmetric).crossing);
/// assert!(punchable(&home, &Behaviour::OPEN).b_is_open);
/// assert!(punchable(&home, &Firewall::corporate().into()).a_dies_early);
/// ```
pub fn punchable(a: &Behaviour, b: &Behaviour) -> Verdict {
    let crossing = match (a.stable, b.stable) {
        (true, true) => true,
        (true, false) => reaches_listener(b, a),
        (false, true) => reaches_listener(a, b),
        (false, false) => [a, b].iter().any(|side| !side.filters() && side.answers_as_asked),
    };
    Verdict {
        crossing,
        a_is_open: !a.filters(),
        b_is_open: !b.filters(),
        a_dies_early: b.filters() && b.answers_at_once(),
        b_dies_early: a.filters() && a.answers_at_once(),
    }
}

impl Verdict {
    /// There is a way: both dial, or one of them does. Just then there is a connection if both dial, and who is not
    /// [stable](Behaviour::stable) does so from another port than it listens on.
    pub const fn possible(&self) -> bool {
        self.crossing || self.a_is_open || self.b_is_open
    }
}

impl Behaviour {
    /// No NAT and no firewall.
    pub const OPEN: Behaviour = Behaviour {
        stable: true,
        same_address: true,
        answers_as_asked: true,
        filtering: Filtering::EndpointIndependent,
        unsolicited: Unsolicited::Drop,
    };

    /// Both together, the other one farther out: what a host behind a home router behind a carrier's NAT has.
    #[must_use]
    pub fn behind(self, outer: &Behaviour) -> Behaviour {
        Behaviour {
            stable: self.stable && outer.stable,
            same_address: self.same_address && outer.same_address,
            answers_as_asked: self.answers_as_asked && outer.answers_as_asked,
            filtering: self.filtering.max(outer.filtering),
            // Who comes first answers.
            unsolicited: if outer.filters() { outer.unsolicited } else { self.unsolicited },
        }
    }

    /// Whether it keeps anybody out.
    pub fn filters(&self) -> bool {
        self.filtering != Filtering::EndpointIndependent
    }

    /// Whether a SYN that it keeps out fails its sender's dial at once.
    pub const fn answers_at_once(&self) -> bool {
        match self.unsolicited {
            Unsolicited::Drop => false,
            Unsolicited::Reset => true,
            Unsolicited::Unreachable { after, .. } => after.as_nanos() == Duration::ZERO.as_nanos(),
        }
    }
}

/// The SYN of the one that is not stable comes from an unforeseen port, and the stable one accepts it.
fn reaches_listener(unstable: &Behaviour, stable: &Behaviour) -> bool {
    let let_in = match stable.filtering {
        Filtering::EndpointIndependent => true,
        Filtering::AddressDependent => unstable.same_address,
        Filtering::AddressAndPortDependent => false,
    };
    let_in && unstable.filters()
}

impl From<&Nat> for Behaviour {
    /// With several outer addresses if they are [`Pooling::Arbitrary`].
    fn from(nat: &Nat) -> Self {
        let same_address = nat.pooling == Pooling::Paired || nat.mapping == Mapping::EndpointIndependent;
        let same_port = nat.mapping == Mapping::EndpointIndependent || nat.ports == Ports::Overloading;
        // Whoever is exposed hears all.
        let filtering = if nat.exposed.is_some() { Filtering::EndpointIndependent } else { nat.filtering };
        let stable = same_address && same_port;
        let answers_as_asked = stable || nat.mapping != Mapping::AddressDependent;
        Behaviour { stable, same_address, answers_as_asked, filtering, unsolicited: nat.unsolicited }
    }
}

impl From<Nat> for Behaviour {
    fn from(nat: Nat) -> Self {
        Behaviour::from(&nat)
    }
}

impl From<&Firewall> for Behaviour {
    fn from(firewall: &Firewall) -> Self {
        Behaviour { filtering: firewall.filtering, unsolicited: firewall.unsolicited, ..Behaviour::OPEN }
    }
}

impl From<Firewall> for Behaviour {
    fn from(firewall: Firewall) -> Self {
        Behaviour::from(&firewall)
    }
}
