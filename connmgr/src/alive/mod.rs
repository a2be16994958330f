//! Who still answers, who is idle, and who is dialed again.
//!
//! [`ping`] asks every connection now and then whether it still lives; [`reconnect`] brings back peers that the application
//! wants to stay connected to.

mod config;
mod ping;
mod reconnect;
#[cfg(test)]
mod tests;

pub use config::{KeepAliveConfig, ReconnectConfig};
pub(crate) use ping::{AliveAction, KeepAlive};
pub(crate) use reconnect::{Reconnect, ReconnectAction};
