//! The commands of AutoNAT.

use super::address::{Purpose, address};
use super::relays::Serving;
use super::words::{Word, fail, is_help, next, text};
use super::{ADDRESS, Command, Unusable, given, only_one};
use crate::help;
use lexopt::Parser;
use tidewire_core::Multiaddr;

#[derive(Debug)]
pub(crate) struct AutonatServer {
    pub(crate) serving: Serving,
}

#[derive(Debug)]
pub(crate) struct AutonatClient {
    /// Whom to ask.
    pub(crate) server: Multiaddr,
    /// Where we listen, and what we ask about beside it.
    pub(crate) serving: Serving,
}

pub(super) fn server(parser: &mut Parser) -> Result<Command, Unusable> {
    let mut serving = Serving::default();
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::AUTONAT_SERVER)),
            Word::Value(word) => {
                return fail(format!("{word:?} is in the way; addresses to listen on come behind --listen"));
            }
            Word::Option(option) => serving.option(&option, parser, "tidewire autonat-server --help")?,
        }
    }
    serving.check(Some(super::LISTEN_ADDRESS))?;
    Ok(Command::AutonatServer(AutonatServer { serving }))
}

pub(super) fn client(parser: &mut Parser) -> Result<Command, Unusable> {
    let (mut serving, mut to) = (Serving::default(), None);
    while let Some(arg) = next(parser)? {
        match arg {
            Word::Option(o) if is_help(&o) => return Ok(Command::Print(help::AUTONAT_CLIENT)),
            Word::Option(o) if o == "--listen" => {
                let listen = address(&o, &text(parser, &o)?, Purpose::Listen)?;
                if listen.is_relayed() {
                    return fail(format!("{o}: {listen}: nobody is asked about an address at a relay"));
                }
                serving.addresses.push(listen);
            }
            Word::Value(word) => only_one(&mut to, word, "autonat-client", Purpose::Dial)?,
            Word::Option(option) => serving.option(&option, parser, "tidewire autonat-client --help")?,
        }
    }
    // Who asks about another address need not listen at all.
    serving.check(serving.announce.is_empty().then_some(super::LISTEN_ADDRESS))?;
    Ok(Command::AutonatClient(AutonatClient { server: given(to, ADDRESS)?, serving }))
}
