//! Who still answers, who is idle, and who is dialed again.
//!
//! Every connection is asked now and then whether it still lives (`keep_alive`), and peers that the application wants to stay
//! connected to are brought back (`reconnect`).
//!
//! ```
//! use core::time::Duration;
//! use tidewire_connmgr::{Action, Config, ConnectionManager, Event, Input};
//! use tidewire_core::{EventMachine, Keypair, Seed, Time};
//!
//! let [us, peer] = [1, 2].map(|n| Keypair::from_seed(&Seed::new([n; 32])).peer_id());
//! let mut config = Config::default();
//! config.keep_alive.idle = Some(Duration::from_secs(300)); // what carries nothing for five minutes is closed
//! config.reconnect.tries = 2;
//! let mut manager = ConnectionManager::new(config, us, &Seed::new([3; 32]));
//!
//! // A peer that is wanted, and of which no address is known: two tries, then the event at the end.
//! manager.handle(Time::ZERO, Input::KeepAlive { peer, on: true })?;
//! while !manager.deadline().is_never() {
//!     manager.on_timeout(manager.deadline());
//! }
//! let Some(Action::Event(Event::ReconnectFailed { tries, .. })) = manager.poll() else { panic!("no event") };
//! assert_eq!(tries, 2);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod config;
mod keep_alive;
mod reconnect;
#[cfg(test)]
mod tests;

pub use config::{KeepAliveConfig, ReconnectConfig};
pub(crate) use keep_alive::{AliveAction, KeepAlive};
pub(crate) use reconnect::{Reconnect, ReconnectAction};
