//! What the application says about peers, for the manager.

use super::{Host, Misuse};
use crate::input::Command;
use crate::{Event, OpenFailure, OpenId};
use alloc::vec::Vec;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::metadata::Source;
use tidewire_core::EventMachine;

impl Host {
    pub(super) fn command(&mut self, command: &Command) -> Result<(), Misuse> {
        let input = match command {
            Command::Addresses { peer, addresses, ttl } => {
                connmgr::Input::Addresses { peer: *peer, addresses, source: Source::Application, ttl: *ttl }
            }
            Command::Protect { peer, reason } => connmgr::Input::Protect { peer: *peer, reason },
            Command::Unprotect { peer, reason } => connmgr::Input::Unprotect { peer: *peer, reason },
            Command::Tag { peer, tag, change } => connmgr::Input::Tag { peer: *peer, tag, change: *change },
            Command::DefineDecaying { tag, decay } => connmgr::Input::DefineDecaying { tag, decay: *decay },
            Command::RemoveDecaying { tag } => connmgr::Input::RemoveDecaying { tag },
            Command::Bump { peer, tag, bump } => connmgr::Input::Bump { peer: *peer, tag, bump: *bump },
            Command::Unbump { peer, tag } => connmgr::Input::Unbump { peer: *peer, tag },
            Command::KeepAlive { peer, on } => connmgr::Input::KeepAlive { peer: *peer, on: *on },
            Command::Deny { rule, why } => connmgr::Input::Deny { rule: rule.clone(), why },
            Command::Allow { rule } => connmgr::Input::Allow { rule: rule.clone() },
            Command::Close { connection, why } => connmgr::Input::Close { connection: *connection, why },
            Command::Disconnect { peer, why } => connmgr::Input::Disconnect { peer: *peer, why },
            Command::TrimNow => connmgr::Input::TrimNow,
            Command::Emergency => connmgr::Input::Emergency,
        };
        Ok(self.manager.handle(self.now, input)?)
    }

    pub(super) fn shutdown(&mut self) {
        if core::mem::replace(&mut self.shut_down, true) {
            return;
        }
        let waiting: Vec<OpenId> = self.openings.iter().map(|(open, _)| open).collect();
        for open in waiting {
            if let Some(opening) = self.end_opening(open) {
                self.tell(Event::OpenFailed { open, peer: opening.peer, why: OpenFailure::Shutdown });
            }
        }
        self.close_listeners();
        self.punching_shutdown();
        self.relaying_shutdown();
        self.manage(connmgr::Input::Shutdown);
    }
}
