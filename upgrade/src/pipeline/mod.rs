//! The connection upgrade: from a pair of raw byte sequences to a [`Connection`].
//!
//! ```text
//!            [psk nonces]
//!  Selecting ------------> Securing --> Known --> Choosing --> Ready
//!   who leads,              Noise, or    the      multistream,   |
//!   which security          plaintext    peer     if it was not  into_connection
//!                                                 settled early
//! ```
//! In the fewest flights that the peer allows. With one security protocol and one multiplexer on both ends:
//!
//! ```text
//!  1  -> SYN                                          <- SYN, ACK
//!  2  -> header, /noise, Noise 1                      <- header, /noise, Noise 2
//!  3  -> Noise 3, [header, /yamux/1.0.0,] data        <- [header, /yamux/1.0.0,] the answer
//! ```
//! Spec: libp2p/specs connections/README.md, "Upgrading Connections"; connections/inlined-muxer-negotiation.md.

mod config;
mod error;
mod select;

pub use config::{Config, ConfigError, SecurityKind, Upgrader};
pub use error::{Stage, UpgradeError};

use crate::channel::Channel;
use crate::connection::{Connection, Parts, Selection};
use crate::muxer::{AnyMuxer, MuxerKind};
use crate::security::psk::Psk;
use crate::security::{Handshake, Secured};
use alloc::boxed::Box;
use bytes::BytesMut;
use config::Shared;
use core::time::Duration;
use select::{Leader, Select};
use smol_str::SmolStr;
use tidewire_core::{Machine, PeerId, Role, Seed, Time};
use tidewire_multistream::{self as multistream, Dialer, Listener, Protocol};

/// Who speaks first on a connection. Always said, never inferred from who dialed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plan {
    /// We propose: what a dialer does, unless a hole punch says otherwise.
    Initiate,
    /// We answer: what a listener does, and the dialer of a hole punch that was told so.
    Respond,
    /// We say our header, and wait until then for a proposal; without one we propose. For sockets of a hole punch.
    ListenFirst {
        /// The end of the wait.
        until: Time,
    },
    /// We say that we may both have dialed, and draw lots if so. Deprecated by libp2p; never used unless asked for.
    /// libp2p/specs connections/simopen.md.
    SimultaneousOpen,
}

/// How both ends came to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// One proposed, the other answered, and the proposer waited for it.
    Selected,
    /// We proposed and went ahead. For a security protocol this is told with the answer, for a multiplexer as we go ahead.
    Assumed,
    /// In the security handshake.
    Early,
}

/// What an upgrade tells on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// We proposed this first.
    Proposed {
        /// For what.
        stage: Stage,
        /// What.
        protocol: Protocol,
    },
    /// Who leads was not given, and is known now.
    Role(Role),
    /// Both ends agreed. (On a multiplexer that we [assumed](How::Assumed): we go ahead; the connection says when the answer
    /// comes.)
    Agreed {
        /// On what.
        stage: Stage,
        /// The choice.
        protocol: Protocol,
        /// In which way.
        how: How,
    },
    /// The remote proved who it is. [`Upgrade::refuse`] now, if it is not welcome.
    Peer(PeerId),
    /// All is done: [`Upgrade::into_connection`].
    Ready,
}

/// The upgrade of one connection: a [`Machine`] that becomes a [`Connection`].
///
/// ```
/// use bytes::BytesMut;
/// use tidewire_core::{Keypair, Machine, Seed, Time};
/// use tidewire_upgrade::pipeline::{Config, Plan, Progress, Upgrade, Upgrader};
///
/// // Two nodes, each made once.
/// let [alice, bob] = [1, 2].map(|n| {
///     let seed = Seed::new([n; 32]);
///     Upgrader::new(&Keypair::from_seed(&seed), &seed, Config::default()).unwrap()
/// });
/// // One connection between them; its seeds come from the operating system.
/// let mut a = Upgrade::new(&alice, Plan::Initiate, Some(bob.peer()), &Seed::new([3; 32]));
/// let mut b = Upgrade::new(&bob, Plan::Respond, None, &Seed::new([4; 32]));
///
/// let (mut to_a, mut to_b) = (BytesMut::new(), BytesMut::new());
/// let (mut a_ready, mut b_ready) = (false, false);
/// while !(a_ready && b_ready) {
///     while let Some(progress) = a.advance(Time::ZERO, &mut to_a, &mut to_b)? {
///         a_ready |= progress == Progress::Ready;
///     }
///     while let Some(progress) = b.advance(Time::ZERO, &mut to_b, &mut to_a)? {
///         b_ready |= progress == Progress::Ready;
///     }
/// }
/// let connection = b.into_connection().unwrap();
/// assert_eq!(connection.peer(), alice.peer());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Upgrade {
    shared: Upgrader,
    expected: Option<PeerId>,
    seed: Seed,
    /// Until it goes to the channel.
    psk: Option<Box<Psk>>,
    state: State,
    deadline: Option<Time>,
}

#[derive(Debug)]
enum State {
    Selecting(Select),
    Securing(Securing),
    /// The peer was told to the caller, who may refuse it.
    Known(Box<Secured>, Role),
    Choosing(Box<Choosing>),
    /// The multiplexer was told; that all is ready was not.
    Settled(Box<Connection>),
    Ready(Box<Connection>),
    Failed(Box<UpgradeError>),
    /// Never seen from outside: while one state is made from another.
    Between,
}

#[derive(Debug)]
struct Securing {
    /// We went ahead; the answer is still to come.
    confirm: Option<Dialer>,
    handshake: Handshake,
    role: Role,
}

#[derive(Debug)]
struct Choosing {
    channel: Channel,
    leader: Leader,
    secured: Known,
    role: Role,
}

/// What the handshake showed, without the session.
#[derive(Debug)]
struct Known {
    peer: PeerId,
    key: tidewire_core::PublicKey,
    security: &'static str,
}

impl Upgrade {
    /// `expected`: anyone else is refused before the multiplexer starts. `seed` must not be used for another connection.
    pub fn new(upgrader: &Upgrader, plan: Plan, expected: Option<PeerId>, seed: &Seed) -> Self {
        let Shared { config, security_names, .. } = &*upgrader.0;
        let negotiation = unhurried(config.multistream);
        let select = Select::new(plan, security_names, config.selection, seed, negotiation);
        Upgrade {
            psk: config.psk.as_ref().map(|key| Box::new(Psk::new(key, seed))),
            shared: upgrader.clone(),
            expected,
            seed: seed.clone(),
            state: State::Selecting(select),
            deadline: None,
        }
    }

    /// Refuses the remote, for the reason given: the upgrade has failed with that, and never sends anything again. What is
    /// in `tx` need not be sent.
    pub fn refuse(&mut self, reason: &str) {
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Failed(Box::new(UpgradeError::Refused { reason: SmolStr::new(reason) }));
        }
    }

    /// The connection, once [`Progress::Ready`] was told; before that, or after a failure, there is none.
    pub fn into_connection(self) -> Option<Connection> {
        match self.state {
            State::Ready(connection) => Some(*connection),
            _ => None,
        }
    }

    /// What is going on.
    pub fn stage(&self) -> Stage {
        match &self.state {
            _ if self.psk.as_ref().is_some_and(|psk| !psk.is_open()) => Stage::PrivateNetwork,
            State::Selecting(_) => Stage::Security,
            State::Securing(Securing { confirm: Some(_), .. }) => Stage::Security,
            State::Securing(_) => Stage::Handshake,
            _ => Stage::Muxer,
        }
    }

    /// One call from outside: the layers under the steps, and what fails them all.
    fn run(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Progress>, UpgradeError> {
        if let State::Failed(error) = &self.state {
            return Err((**error).clone());
        }
        let timeout = self.shared.0.config.timeout;
        let deadline = *self.deadline.get_or_insert(now + timeout);
        let result = match self.steps(now, rx, tx, ended) {
            Ok(None) if self.is_ready() => Ok(None),
            Ok(None) if ended => Err(UpgradeError::EndedEarly { stage: self.stage() }),
            Ok(None) if now >= deadline && !deadline.is_never() => {
                Err(UpgradeError::TimedOut { timeout, stage: self.stage() })
            }
            other => other,
        };
        if let Err(error) = &result {
            self.state = State::Failed(Box::new(error.clone()));
        }
        result
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    fn steps(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Progress>, UpgradeError> {
        loop {
            match &self.state {
                State::Selecting(_) | State::Securing(_) => match self.raw_step(now, rx, tx, ended)? {
                    Step::Starved => return Ok(None),
                    Step::Told(progress) => return Ok(Some(progress)),
                    Step::Again => {}
                },
                State::Known(..) => {
                    if let Some(progress) = self.choose_muxer(now) {
                        return Ok(Some(progress));
                    }
                }
                State::Choosing(_) => return self.select_muxer(now, rx, tx, ended),
                State::Settled(_) => {
                    let State::Settled(mut connection) = core::mem::replace(&mut self.state, State::Between) else {
                        return Ok(None);
                    };
                    // A lazy proposal of the multiplexer goes out with what is in `tx` already.
                    connection.start(now, tx);
                    self.state = State::Ready(connection);
                    return Ok(Some(Progress::Ready));
                }
                State::Ready(_) | State::Between => return Ok(None),
                State::Failed(error) => return Err((**error).clone()),
            }
        }
    }

    /// A step below the cipher, where the bytes of the wire are the machine's, but for the private network under both.
    fn raw_step(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> Result<Step, UpgradeError> {
        let Some(mut psk) = self.psk.take() else { return self.step(now, rx, tx, ended) };
        psk.start(tx);
        psk.open(rx)?;
        let from = tx.len();
        let step = if psk.is_open() {
            let step = self.step(now, rx, tx, ended);
            psk.consumed(rx.len());
            step
        } else {
            // Not one byte is ours to read yet; but we may have something to say.
            self.step(now, &mut BytesMut::new(), tx, false)
        };
        let sealed = if tx.len() > from { psk.seal(tx, from) } else { Ok(()) };
        self.psk = Some(psk);
        let step = step?;
        sealed?;
        Ok(step)
    }

    fn step(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut, ended: bool) -> Result<Step, UpgradeError> {
        match &mut self.state {
            State::Selecting(select) => {
                let selected = match select.step(now, rx, tx, ended).map_err(UpgradeError::SelectSecurity)? {
                    select::Step::Starved => return Ok(Step::Starved),
                    select::Step::Told(progress) => return Ok(Step::Told(progress)),
                    select::Step::Agreed(selected) => selected,
                };
                let handshake = self.handshake(selected.index, selected.role);
                let Some(handshake) = handshake else { return Ok(Step::Starved) };
                self.state = State::Securing(Securing { confirm: selected.confirm, handshake, role: selected.role });
                Ok(match selected.told {
                    Some(progress) => Step::Told(progress),
                    None => Step::Again,
                })
            }
            State::Securing(securing) => {
                if let Some(dialer) = &mut securing.confirm {
                    // The first message is written behind the proposal. It reads nothing: what comes is the answer first.
                    securing.handshake.advance(now, &mut BytesMut::new(), tx)?;
                    let answer = dialer.advance_or_end(now, rx, tx, ended);
                    let Some(agreed) = answer.map_err(UpgradeError::SelectSecurity)? else {
                        return Ok(Step::Starved);
                    };
                    securing.confirm = None;
                    let (stage, protocol) = (Stage::Security, agreed.protocol);
                    return Ok(Step::Told(Progress::Agreed { stage, protocol, how: How::Assumed }));
                }
                let Some(secured) = securing.handshake.advance_or_end(now, rx, tx, ended)? else {
                    return Ok(Step::Starved);
                };
                let peer = secured.peer;
                self.state = State::Known(Box::new(secured), securing.role);
                Ok(Step::Told(Progress::Peer(peer)))
            }
            _ => Ok(Step::Again),
        }
    }

    fn handshake(&self, index: usize, role: Role) -> Option<Handshake> {
        let security = self.shared.0.securities.get(index)?;
        Some(security.handshake(role, self.expected, &self.seed))
    }

    /// The peer is known and welcome: is the multiplexer settled already, or can we go ahead with ours?
    fn choose_muxer(&mut self, now: Time) -> Option<Progress> {
        let State::Known(secured, role) = core::mem::replace(&mut self.state, State::Between) else { return None };
        let Secured { peer, key, session, muxer, .. } = *secured;
        let shared = &*self.shared.0;
        let security = match &session {
            crate::security::Cipher::Noise(_) => SecurityKind::Noise,
            crate::security::Cipher::Plaintext(_) => SecurityKind::Plaintext,
        };
        let secured = Known { peer, key, security: security.protocol() };
        let longest = shared.config.multistream.max_frame.saturating_add(16);
        let channel = Channel::new(session, self.psk.take(), longest);
        if let Some(name) = muxer {
            let offered = |kind: &MuxerKind| shared.config.muxers.contains(kind);
            let Some(kind) = MuxerKind::from_name(&name).filter(offered) else {
                self.state = State::Failed(Box::new(UpgradeError::UnknownMuxer { name }));
                return None;
            };
            return Some(self.settle(channel, kind, None, secured, role, How::Early));
        }
        let mut negotiation = shared.config.multistream;
        negotiation.timeout = self.deadline().since(now);
        match (shared.config.selection, shared.config.muxers.as_slice(), role) {
            (Selection::Lazy, [only], Role::Initiator) => {
                let dialer = Dialer::lazy(only.protocol(), negotiation);
                Some(self.settle(channel, *only, Some(Box::new(dialer)), secured, role, How::Assumed))
            }
            _ => {
                let leader = match role {
                    Role::Initiator => Leader::Us(Dialer::new(shared.muxer_names.clone(), unhurried(negotiation))),
                    Role::Responder => {
                        Leader::Remote(Listener::new(shared.muxer_names.clone(), unhurried(negotiation)))
                    }
                };
                let first = shared.muxer_names.first().cloned();
                self.state = State::Choosing(Box::new(Choosing { channel, leader, secured, role }));
                let protocol = first.filter(|_| role.is_initiator())?;
                Some(Progress::Proposed { stage: Stage::Muxer, protocol })
            }
        }
    }

    /// Agrees on the multiplexer under the cipher.
    fn select_muxer(
        &mut self,
        now: Time,
        rx: &mut BytesMut,
        tx: &mut BytesMut,
        ended: bool,
    ) -> Result<Option<Progress>, UpgradeError> {
        let State::Choosing(choosing) = &mut self.state else { return Ok(None) };
        let Choosing { channel, leader, .. } = &mut **choosing;
        let mut agreed = channel
            .advance(rx, tx, |plain, tx| leader.step(now, plain, tx, false).map_err(UpgradeError::SelectMuxer))?;
        if agreed.is_none() && ended {
            agreed = channel
                .end(rx, tx, |plain, tx| leader.step(now, plain, tx, true).map_err(UpgradeError::SelectMuxer))?;
        }
        let Some(index) = agreed else { return Ok(None) };
        let Some(kind) = self.shared.0.config.muxers.get(index).copied() else { return Ok(None) };
        let State::Choosing(choosing) = core::mem::replace(&mut self.state, State::Between) else { return Ok(None) };
        let Choosing { channel, secured, role, .. } = *choosing;
        Ok(Some(self.settle(channel, kind, None, secured, role, How::Selected)))
    }

    fn settle(
        &mut self,
        channel: Channel,
        kind: MuxerKind,
        confirm: Option<Box<Dialer>>,
        secured: Known,
        role: Role,
        how: How,
    ) -> Progress {
        let shared = &*self.shared.0;
        let Known { peer, key, security } = secured;
        let muxer = AnyMuxer::new(kind, role, &shared.muxer);
        let config = shared.connection.clone();
        let parts = Parts { channel, muxer, confirm, config, peer, key, role, security };
        self.state = State::Settled(Box::new(Connection::new(parts)));
        Progress::Agreed { stage: Stage::Muxer, protocol: kind.protocol(), how }
    }
}

/// What a step came to.
enum Step {
    Starved,
    Told(Progress),
    Again,
}

/// The whole upgrade has one deadline; its parts have none of their own.
fn unhurried(mut config: multistream::Config) -> multistream::Config {
    config.timeout = Duration::MAX;
    config
}

impl Machine for Upgrade {
    type Output = Progress;
    type Error = UpgradeError;

    fn advance(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Progress>, UpgradeError> {
        self.run(now, rx, tx, false)
    }

    fn end(&mut self, now: Time, rx: &mut BytesMut, tx: &mut BytesMut) -> Result<Option<Progress>, UpgradeError> {
        self.run(now, rx, tx, true)
    }

    fn deadline(&self) -> Time {
        match &self.state {
            State::Ready(_) | State::Failed(_) => Time::NEVER,
            State::Selecting(select) => self.deadline.unwrap_or(Time::ZERO).min(select.deadline()),
            _ => self.deadline.unwrap_or(Time::ZERO),
        }
    }

    fn memory_used(&self) -> usize {
        let psk = if self.psk.is_some() { size_of::<Psk>() } else { 0 };
        psk + match &self.state {
            State::Securing(securing) => securing.handshake.memory_used(),
            State::Known(..) => size_of::<Secured>(),
            State::Choosing(choosing) => size_of::<Choosing>() + choosing.channel.memory_used(),
            State::Settled(connection) | State::Ready(connection) => size_of::<Connection>() + connection.memory_used(),
            State::Failed(_) => size_of::<UpgradeError>(),
            State::Selecting(_) | State::Between => 0,
        }
    }
}
