//! Relays in words: questions and answers, reservations, circuits.

use super::words::{Kind, Whom, Words, at, list, short, span};
use crate::output::size;
use tidewire_core::PeerId;
use tidewire_host::link::AskFault;
use tidewire_host::{AskNumber, Carry, ConnectionId, RelayCommand, Splice, StreamId};
use tidewire_relay::autorelay;
use tidewire_relay::client;
use tidewire_relay::exchange::{Answer, Ask, Reply, Request};
use tidewire_relay::server::{self, Asked, CircuitEnd};
use tidewire_relay::{CircuitId, ConnectionId as Named, StreamKey};

/// What is asked, in a word, and the rest.
fn question(what: &Ask) -> (&'static str, String) {
    match what {
        Ask::Reserve => ("reserve", String::new()),
        Ask::Connect { destination } => ("connect", format!("to {}, ", short(destination))),
        Ask::Stop { source, limit } => ("accept", format!("from {}, {limit}, ", short(source))),
        Ask::DialMe { addresses } => ("dial me", format!("{}, ", list(addresses))),
        Ask::Probe { addresses, .. } => ("probe", format!("{}, ", list(addresses))),
        Ask::DialBack { .. } => ("nonce", String::new()),
        _ => ("something", format!("{what:?}, ")),
    }
}

pub(super) fn of_ask(connection: ConnectionId, ask: AskNumber, what: &Ask) -> (String, String) {
    let (word, rest) = question(what);
    (format!("ask {ask}: {word}"), format!("{rest}on {connection}"))
}

pub(super) fn of_answer(
    connection: ConnectionId,
    ask: AskNumber,
    stream: Option<StreamId>,
    answer: &Result<Box<Answer>, Box<AskFault>>,
) -> (String, String) {
    let on = stream.map_or_else(|| format!("on {connection}"), |stream| format!("stream {stream} on {connection}"));
    let (word, rest) = match answer.as_deref() {
        Ok(Answer::Reserved(given)) => {
            ("reserved", format!("until {} s since 1970, {}, ", given.expire.as_secs(), given.limit))
        }
        Ok(Answer::Connected { limit }) => ("connected", format!("{limit}, ")),
        Ok(Answer::Accepted) => ("accepted", String::new()),
        Ok(Answer::Refused { status }) => ("refused", format!("{status}, ")),
        Ok(other) => ("answered", format!("{other:?}, ")),
        Err(fault) => ("no answer", format!("{fault}, ")),
    };
    (format!("{ask}: {word}"), format!("{rest}{on}"))
}

pub(super) fn of_request(connection: ConnectionId, stream: StreamId, request: &Request) -> (String, String) {
    let (word, rest) = match request {
        Request::Reserve => ("reserve", String::new()),
        Request::Connect { destination } => ("connect", format!("to {}, ", short(destination))),
        Request::Stop { source, limit } => ("accept", format!("from {}, {limit}, ", short(source))),
        Request::DialMe { addresses } => ("dial me", format!("{}, ", list(addresses))),
        Request::Probe { addresses, .. } => ("probe", format!("{}, ", list(addresses))),
        Request::Paid { bytes } => ("paid", format!("{}, ", size(*bytes))),
        Request::DialBack { .. } => ("nonce", String::new()),
        _ => ("something", format!("{request:?}, ")),
    };
    (format!("asks: {word}"), format!("{rest}stream {stream} on {connection}"))
}

pub(super) fn of_reply(connection: ConnectionId, stream: StreamId, reply: &Reply) -> (String, String) {
    let (word, rest) = match reply {
        Reply::Reserved { expire, addresses, limit } => {
            ("reserved", format!("until {} s since 1970, {limit}, reached at {}, ", expire.as_secs(), list(addresses)))
        }
        Reply::Connected { limit } => ("connected", format!("{limit}, ")),
        Reply::Accepted => ("accepted", String::new()),
        Reply::Refused { status } => ("refused", format!("{status}, ")),
        other => ("answer", format!("{other:?}, ")),
    };
    (format!("reply: {word}"), format!("{rest}stream {stream} on {connection}"))
}

pub(super) fn of_spliced(circuit: CircuitId, end: Option<&CircuitEnd>, forward: u64, backward: u64) -> Words {
    let bytes = format!("{} forward, {} backward", size(forward), size(backward));
    match end {
        Some(end) => Words::new(Kind::Driver, Whom::Nobody, format!("{circuit} ended"), format!("{end}; {bytes}")),
        None => Words::new(Kind::Driver, Whom::Nobody, format!("{circuit} goes on"), bytes),
    }
}

pub(super) fn of_splice(splice: &Splice) -> Words {
    let Splice { circuit, source, destination, limit } = splice;
    let detail = format!("stream {} of {} and {} of {}, {limit}", source.1, source.0, destination.1, destination.0);
    Words::new(Kind::Driver, Whom::Connection(source.0), format!("driver, pump {circuit}"), detail)
}

pub(super) fn of_carry(carry: &Carry) -> Words {
    let Carry { over: (connection, stream), dial, remote, .. } = carry;
    let detail = format!("over stream {stream} of {connection}, with {}", at(remote));
    match dial {
        Some((dial, peer)) => Words::new(Kind::Out, Whom::Peer(*peer), format!("{dial} goes through a relay"), detail),
        None => {
            let whom = remote.peer_id().map_or(Whom::Nobody, Whom::Peer);
            Words::new(Kind::Driver, whom, "driver, make a connection", detail)
        }
    }
}

pub(super) fn of_command(command: &RelayCommand) -> Words {
    let wish = |label: &str, detail: String| Words::new(Kind::Wish, Whom::Nobody, label, detail);
    let about = |peer: &PeerId, label: String, detail: String| Words::new(Kind::Wish, Whom::Peer(*peer), label, detail);
    match command {
        RelayCommand::Reserve { relay, addresses } => {
            about(relay, format!("reserve at {}", short(relay)), list(addresses))
        }
        RelayCommand::Release { relay } => about(relay, format!("give back {}", short(relay)), String::new()),
        RelayCommand::Accept { stream, allow } => decision("a circuit", *stream, *allow),
        RelayCommand::Decide { stream, allow } => decision("a request", *stream, *allow),
        RelayCommand::Acl(acl) => wish("relay rules", format!("{} rules, else {:?}", acl.rules.len(), acl.otherwise)),
        RelayCommand::Candidates(all) => {
            let all: Vec<String> = all.iter().map(|one| short(&one.peer)).collect();
            wish("relays to choose from", list(&all))
        }
        RelayCommand::Advertised { ttl } => {
            wish("advertised", ttl.map_or_else(|| "for as long as asked".into(), |ttl| format!("for {}", span(ttl))))
        }
        RelayCommand::AdvertiseFailed => wish("not advertised", String::new()),
        RelayCommand::Drain { grace } => wish("relay, drain", format!("circuits may go on for {}", span(*grace))),
        other => wish("relay", format!("{other:?}")),
    }
}

fn decision(what: &str, stream: StreamKey, allow: bool) -> Words {
    let Named(connection) = stream.connection;
    let label = if allow { format!("allow {what}") } else { format!("deny {what}") };
    Words::new(Kind::Wish, Whom::Connection(ConnectionId(connection)), label, format!("stream {}", stream.stream))
}

/// What somebody asks of a relay.
pub(crate) fn asked(asked: &Asked) -> String {
    match asked {
        Asked::Reserve => "a reservation".into(),
        Asked::Connect { destination } => format!("a circuit to {}", short(destination)),
    }
}

pub(super) fn of_server(event: &server::Event) -> Words {
    use server::Event as E;
    let about =
        |peer: &PeerId, label: String, detail: String| Words::new(Kind::Event, Whom::Peer(*peer), label, detail);
    let ends = |source: &PeerId, destination: &PeerId| format!("{} to {}", short(source), short(destination));
    match event {
        E::Reserved { peer, expire, renewed } => {
            let verb = if *renewed { "renewed" } else { "reserved" };
            about(peer, format!("{} {verb}", short(peer)), format!("until {} s since 1970", expire.as_secs()))
        }
        E::ReservationEnded { peer, why } => about(peer, format!("{}: no reservation", short(peer)), why.to_string()),
        E::Refused { peer, asked: what, why, .. } => {
            about(peer, format!("{} gets none", short(peer)), format!("{}: {why}", asked(what)))
        }
        E::CircuitOpened { circuit, source, destination } => {
            about(source, format!("{circuit} is open"), ends(source, destination))
        }
        E::CircuitClosed { circuit, source, destination, why, forward, backward, lasted } => about(
            source,
            format!("{circuit} is over"),
            format!(
                "{why}; {}, {} there, {} back, after {}",
                ends(source, destination),
                size(*forward),
                size(*backward),
                span(*lasted)
            ),
        ),
        E::Drained => Words::new(Kind::Event, Whom::Nobody, "relay is drained", ""),
        other => Words::new(Kind::Event, Whom::Nobody, "relay", format!("{other:?}")),
    }
}

pub(super) fn of_auto(event: &autorelay::Event) -> Words {
    use autorelay::Event as E;
    let nobody = |label: &str| Words::new(Kind::Event, Whom::Nobody, label, "");
    match event {
        E::Started => nobody("relays are looked for"),
        E::Stopped => nobody("no relay is needed"),
        E::Held { relay } => Words::new(Kind::Event, Whom::Peer(*relay), format!("{} is held", short(relay)), ""),
        E::Dropped { relay, why, pause } => Words::new(
            Kind::Event,
            Whom::Peer(*relay),
            format!("{} is dropped", short(relay)),
            format!("{why}, left alone for {}", span(*pause)),
        ),
        other => Words::new(Kind::Event, Whom::Nobody, "auto relay", format!("{other:?}")),
    }
}

pub(super) fn of_client(event: &client::Event) -> Words {
    use client::Event as E;
    let about =
        |peer: &PeerId, label: String, detail: String| Words::new(Kind::Event, Whom::Peer(*peer), label, detail);
    let again = |retry: &Option<core::time::Duration>| match retry {
        Some(wait) => format!(", again in {}", span(*wait)),
        None => String::new(),
    };
    match event {
        E::Reserved { relay, ttl, limit } => {
            about(relay, format!("reserved at {}", short(relay)), format!("for {}, circuits have {limit}", span(*ttl)))
        }
        E::Renewed { relay, ttl } => {
            about(relay, format!("renewed at {}", short(relay)), format!("for {}", span(*ttl)))
        }
        E::Refused { relay, why, retry } => {
            about(relay, format!("{} refuses", short(relay)), format!("{why}{}", again(retry)))
        }
        E::Failed { relay, why, retry } => {
            about(relay, format!("{} is no relay for us", short(relay)), format!("{why}{}", again(&Some(*retry))))
        }
        E::Lost { relay, why } => about(relay, format!("{} lost", short(relay)), why.to_string()),
        E::CircuitRefused { relay, source, why, .. } => {
            about(source, format!("circuit of {} refused", short(source)), format!("{why}, through {}", short(relay)))
        }
        E::CircuitEnded { relay, peer, why, lasted, .. } => about(
            peer,
            format!("circuit with {} over", short(peer)),
            format!("{why}, through {}, after {}", short(relay), span(*lasted)),
        ),
        other => Words::new(Kind::Event, Whom::Nobody, "relay client", format!("{other:?}")),
    }
}
