//! What the caller can do wrong with dials and with the gate.

use crate::{DialId, RequestId};
use core::net::IpAddr;

/// What the caller did wrong with a dial. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DialMisuse {
    /// No such dial: it never was, ended, or was aborted.
    #[error("there is no dial {0}: it never was, ended, or was aborted")]
    UnknownDial(DialId),
    /// The dial's transport was reported as connected already.
    #[error("dial {0} was reported as connected already")]
    AlreadyConnected(DialId),
    /// No such request: it was never made, or was answered or cancelled.
    #[error("there is no request {0}: it was never made, or was answered or cancelled")]
    UnknownRequest(RequestId),
    /// The id is in use.
    #[error("there is a request {0} already")]
    RequestExists(RequestId),
    /// Too many actions wait to be polled; poll them first.
    #[error("{0} actions wait to be polled, which is the most before another request")]
    Unpolled(u32),
    /// The gate is full.
    #[error("the gate has {0} rules already, which is the most")]
    TooManyRules(u32),
    /// No network has such a prefix.
    #[error("{0} has no prefix of {1} bits")]
    Prefix(IpAddr, u8),
}
