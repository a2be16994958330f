//! Two byte machines that talk to each other over a TCP connection.

use crate::fault::Fault;
use crate::link::Link;
use crate::node::{BrokenBy, ConnectFailure, HostId, Input, Node, SocketId, ipv4};
use crate::os::Os;
use crate::world::World;
use bytes::BytesMut;
use core::fmt;
use core::ops::ControlFlow;
use core::time::Duration;
use std::net::SocketAddr;
use tidewire_core::{Machine, Time};

/// How much is read from the socket before the machine has consumed what was read: what a driver's buffer holds. A record of
/// Noise, with its length, has up to 65,537 bytes, and must fit.
const MAX_RX: usize = 128 * 1024;
/// How long a [`talk`] may last, in its own time.
const MAX_TALK: Duration = Duration::from_secs(3_600);

/// Lets `a` dial `b` over `link`, and runs until both are done and silent, or an hour has passed.
///
/// Give a machine, or a [`Speaker`] if an output is to be acted upon. A machine that is never done hears the end of its input
/// when the other one failed.
///
/// ```
/// use core::time::Duration;
/// use tidewire_core::Time;
/// use tidewire_multistream::{Config, Dialer, Listener, Protocol, Protocols};
/// use tidewire_sim::{Link, Speaker, talk};
///
/// let served = Protocols::from(Protocol::from_static("/chat/1.0.0"));
/// let dialer = Speaker::new(Dialer::new(served.clone(), Config::default())).once();
/// let listener = Speaker::new(Listener::new(served, Config::default())).once();
/// let (dialer, listener) = talk(dialer, listener, Link::new(Duration::from_millis(25)), 1)?;
/// assert_eq!(listener.outputs[0].0, Time::from_millis(75)); // with the last of TCP's handshake
/// assert_eq!(dialer.outputs[0].0, Time::from_millis(100));
/// # Ok::<(), tidewire_sim::Fault>(())
/// ```
///
/// # Errors
/// A machine spins: its deadline stays in the past.
pub fn talk<A, B>(
    a: impl Into<Speaker<A>>,
    b: impl Into<Speaker<B>>,
    link: Link,
    seed: u64,
) -> Result<(Said<A>, Said<B>), Fault>
where
    A: Machine<Output: 'static, Error: 'static> + 'static,
    B: Machine<Output: 'static, Error: 'static> + 'static,
{
    let mut world = World::new(seed);
    world.default_link(link);
    let at = SocketAddr::new(ipv4(2), 4001);
    let listener = world.add(b.into().listening(at), [at.ip()]);
    let dialer = world.add(a.into().dialing(at), [ipv4(1)]);
    world.run_to_rest(MAX_TALK)?;
    Ok((said(&mut world, dialer), said(&mut world, listener)))
}

/// What became of a machine.
#[derive(Debug)]
#[non_exhaustive]
pub struct Said<M: Machine> {
    /// The machine.
    pub machine: M,
    /// What it gave, and when.
    pub outputs: Vec<(Time, M::Output)>,
    /// How it failed, if it did.
    pub error: Option<(Time, M::Error)>,
    /// The input has ended, and the machine had no objection.
    pub ended: bool,
    /// The connection broke, and the input ended by that.
    pub broken: Option<(Time, BrokenBy)>,
    /// What it left for the next stage.
    pub rx: BytesMut,
}

/// A [`Node`] that drives one [`Machine`] over one connection, dialed or accepted.
pub struct Speaker<M: Machine> {
    said: Said<M>,
    tx: BytesMut,
    on_output: OnOutput<M>,
    place: Place,
    socket: Option<SocketId>,
    /// The remote sends no more.
    last: bool,
    /// The machine is not called any more.
    done: bool,
    /// Why there never was a connection.
    failed: Option<ConnectFailure>,
}

type OnOutput<M> = Box<dyn FnMut(Time, &mut M, &<M as Machine>::Output, &mut BytesMut) -> ControlFlow<()>>;

#[derive(Clone, Copy, Debug)]
enum Place {
    Dial(SocketAddr),
    Listen(SocketAddr),
}

impl<M: Machine> Speaker<M> {
    /// Calls the machine for as long as the connection lasts, and keeps all its outputs.
    pub fn new(machine: M) -> Self {
        Speaker {
            said: Said { machine, outputs: Vec::new(), error: None, ended: false, broken: None, rx: BytesMut::new() },
            tx: BytesMut::new(),
            on_output: Box::new(|_, _, _, _| ControlFlow::Continue(())),
            place: Place::Listen(SocketAddr::new(ipv4(0), 0)),
            socket: None,
            last: false,
            done: false,
            failed: None,
        }
    }

    /// Calls the machine until its first output: a negotiation, a handshake.
    #[must_use]
    pub fn once(self) -> Self {
        self.on_output(|_, _, _, _| ControlFlow::Break(()))
    }

    /// Acts on each output: may call the machine, and write what the remote is to be told. `Break`: the machine is done, and
    /// is not called again.
    #[must_use]
    pub fn on_output(
        mut self,
        act: impl FnMut(Time, &mut M, &M::Output, &mut BytesMut) -> ControlFlow<()> + 'static,
    ) -> Self {
        self.on_output = Box::new(act);
        self
    }

    /// Dials this address when it is started.
    #[must_use]
    pub const fn dialing(mut self, remote: SocketAddr) -> Self {
        self.place = Place::Dial(remote);
        self
    }

    /// Listens on this address, and takes the first connection.
    #[must_use]
    pub const fn listening(mut self, at: SocketAddr) -> Self {
        self.place = Place::Listen(at);
        self
    }

    /// What became of the machine so far.
    pub const fn said(&self) -> &Said<M> {
        &self.said
    }

    /// What became of the machine, and the machine itself.
    pub fn into_said(self) -> Said<M> {
        self.said
    }

    /// Why there is no connection, if connecting failed.
    pub const fn failed(&self) -> Option<ConnectFailure> {
        self.failed
    }

    fn advance(&mut self, now: Time, os: &mut Os<'_>) {
        let Some(socket) = self.socket else { return };
        let Said { machine, outputs, error, ended, rx, .. } = &mut self.said;
        loop {
            while !self.done {
                if rx.len() < MAX_RX {
                    os.read_some(socket, rx, MAX_RX - rx.len());
                }
                let last = self.last && os.unread(socket) == 0;
                let result = machine.advance_or_end(now, rx, &mut self.tx, last);
                match result {
                    Ok(Some(output)) => {
                        self.done = (self.on_output)(now, machine, &output, &mut self.tx).is_break();
                        outputs.push((now, output));
                    }
                    Ok(None) if last => (self.done, *ended) = (true, true),
                    Ok(None) if os.unread(socket) > 0 && rx.len() < MAX_RX => {}
                    Ok(None) => break,
                    Err(why) => (self.done, *error) = (true, Some((now, why))),
                }
            }
            // A machine that had too much to send goes on when some of it is gone.
            if os.send(socket, &mut self.tx) == 0 || self.done {
                break;
            }
        }
        if self.tx.is_empty() && (error.is_some() || *ended) {
            os.finish(socket);
        }
    }
}

impl<M: Machine<Output: 'static, Error: 'static> + 'static> Node for Speaker<M> {
    fn handle(&mut self, now: Time, input: Input, os: &mut Os<'_>) {
        match input {
            Input::Started => match self.place {
                // The addresses are the test's; if they can't be had, nothing is ever said, which the test will see.
                Place::Dial(remote) => self.socket = os.connect(remote).ok(),
                Place::Listen(at) => drop(os.listen(at, false)),
            },
            Input::Accepted { socket, .. } if self.socket.is_none() => self.socket = Some(socket),
            Input::Accepted { socket, .. } => os.abort(socket),
            Input::ConnectFailed { error, .. } => {
                self.socket = None;
                self.failed = Some(error);
            }
            Input::Broken { error, .. } => {
                self.said.broken = Some((now, error));
                self.last = true;
            }
            Input::Ended { .. } => self.last = true,
            _ => {}
        }
        let connected = self.socket.is_some_and(|_| !matches!(input, Input::Started));
        if connected {
            self.advance(now, os);
        }
    }

    fn deadline(&self) -> Time {
        if self.done || self.socket.is_none() { Time::NEVER } else { self.said.machine.deadline() }
    }
}

impl<M: Machine> From<M> for Speaker<M> {
    fn from(machine: M) -> Self {
        Speaker::new(machine)
    }
}

impl<M: Machine + fmt::Debug> fmt::Debug for Speaker<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speaker").field("machine", &self.said.machine).field("done", &self.done).finish_non_exhaustive()
    }
}

fn said<M: Machine<Output: 'static, Error: 'static> + 'static>(world: &mut World, id: HostId) -> Said<M> {
    world.take::<Speaker<M>>(id).into_said()
}
