//! What is told of relays: of the one that we are, and of those that serve us.

use crate::listen::short;
use crate::output::{Output, Style, millis, one_line, size, span};
use serde::Serialize;
use std::time::Duration;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_relay::client::{self, Refusal};
use tidewire_relay::server::{self, Asked};
use tidewire_tokio::{Input, Node};

/// A line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    /// A peer has a reservation with us.
    Reservation {
        peer: String,
        expire: u64,
        renewed: bool,
    },
    ReservationEnded {
        peer: String,
        reason: String,
    },
    RelayRefused {
        peer: String,
        asked: &'static str,
        to: Option<String>,
        status: String,
        reason: String,
        count: u64,
    },
    CircuitOpened {
        circuit: u64,
        from: String,
        to: String,
    },
    CircuitClosed {
        circuit: u64,
        from: String,
        to: String,
        reason: String,
        forward: u64,
        backward: u64,
        ms: f64,
    },
    Drained,
    /// We have a reservation with a relay.
    RelayHeld {
        relay: String,
        renewed: bool,
        seconds: u64,
    },
    RelayFailed {
        relay: String,
        error: String,
        retry_seconds: Option<f64>,
    },
    RelayLost {
        relay: String,
        reason: String,
    },
    CircuitRefused {
        relay: String,
        from: String,
        reason: String,
        count: u64,
    },
    CircuitEnded {
        /// The connection that was made of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        connection: Option<u64>,
        relay: String,
        peer: String,
        reason: String,
        ms: f64,
    },
}

/// Wants a reservation with a relay, for as long as the node lives.
///
/// # Errors
/// There are as many as may be.
pub(crate) fn hold(node: &Node, relay: PeerId, address: Multiaddr) -> Result<(), String> {
    let command = tidewire_host::RelayCommand::Reserve { relay, addresses: vec![address] };
    node.tell(Input::Relay(command)).map_err(|error| format!("no reservation at {relay}: {error}"))
}

/// Our addresses through this relay, with our peer id.
pub(crate) fn circuits(node: &Node, relay: PeerId) -> Vec<Multiaddr> {
    let relayed = node.host(|host| host.advertise_inputs().relayed);
    let through = relayed.into_iter().filter(|address| address.relay_peer_id() == Some(relay));
    through.map(|address| address.with_peer_id(node.peer()).unwrap_or(address)).collect()
}

/// Why a relay gave no reservation, and what to do about it.
pub(crate) fn refusal(why: &Refusal) -> String {
    one_line(&format!("the relay gives no reservation: {why}; {}", why.advice()))
}

pub(crate) fn server_object(output: &Output, event: &server::Event) {
    use server::Event as E;
    output.event_object(&match event {
        E::Reserved { peer, expire, renewed } => {
            Event::Reservation { peer: peer.to_string(), expire: expire.as_secs(), renewed: *renewed }
        }
        E::ReservationEnded { peer, why } => {
            Event::ReservationEnded { peer: peer.to_string(), reason: why.to_string() }
        }
        E::Refused { peer, asked, why, count, .. } => {
            let (word, to) = match asked {
                Asked::Reserve => ("reservation", None),
                Asked::Connect { destination } => ("circuit", Some(destination.to_string())),
            };
            let status = why.status(*asked).to_string();
            let reason = one_line(&why.to_string());
            Event::RelayRefused { peer: peer.to_string(), asked: word, to, status, reason, count: *count }
        }
        E::CircuitOpened { circuit, source, destination } => {
            Event::CircuitOpened { circuit: circuit.0, from: source.to_string(), to: destination.to_string() }
        }
        E::CircuitClosed { circuit, source, destination, why, forward, backward, lasted } => Event::CircuitClosed {
            circuit: circuit.0,
            from: source.to_string(),
            to: destination.to_string(),
            reason: one_line(&why.to_string()),
            forward: *forward,
            backward: *backward,
            ms: millis(*lasted),
        },
        E::Drained => Event::Drained,
        _ => return,
    });
}

pub(crate) fn server_line(output: &Output, event: &server::Event) -> Option<String> {
    use server::Event as E;
    let ends = |from: &PeerId, to: &PeerId| format!("{} to {}", short(output, *from), short(output, *to));
    Some(match event {
        E::Reserved { peer, renewed, .. } => {
            let verb = if *renewed { "renewed its reservation" } else { "has a reservation" };
            format!("{} {verb}", short(output, *peer))
        }
        E::ReservationEnded { peer, why } => format!("{} has no reservation any more: {why}", short(output, *peer)),
        E::Refused { peer, asked, why, count, .. } => format!(
            "{} {} gets no {}: {}{}",
            output.paint(Style::Yellow, "refused:"),
            short(output, *peer),
            match asked {
                Asked::Reserve => "reservation".to_owned(),
                Asked::Connect { destination } => format!("circuit to {}", short(output, *destination)),
            },
            one_line(&why.to_string()),
            times(*count)
        ),
        E::CircuitOpened { circuit, source, destination } => {
            format!("circuit {circuit}: {}", ends(source, destination))
        }
        E::CircuitClosed { circuit, source, destination, why, forward, backward, lasted } => format!(
            "circuit {circuit} over after {}: {}; {}, {} there, {} back",
            span(*lasted),
            one_line(&why.to_string()),
            ends(source, destination),
            size(*forward),
            size(*backward)
        ),
        E::Drained => "drained: no circuit and no reservation is left".into(),
        _ => return None,
    })
}

pub(crate) fn client_object(output: &Output, event: &client::Event) {
    use client::Event as E;
    let seconds = |retry: &Option<Duration>| retry.map(|wait| wait.as_secs_f64());
    output.event_object(&match event {
        E::Reserved { relay, ttl, .. } => {
            Event::RelayHeld { relay: relay.to_string(), renewed: false, seconds: ttl.as_secs() }
        }
        E::Renewed { relay, ttl } => {
            Event::RelayHeld { relay: relay.to_string(), renewed: true, seconds: ttl.as_secs() }
        }
        E::Refused { relay, why, retry } => {
            Event::RelayFailed { relay: relay.to_string(), error: refusal(why), retry_seconds: seconds(retry) }
        }
        E::Failed { relay, why, retry } => {
            Event::RelayFailed { relay: relay.to_string(), error: one_line(why), retry_seconds: seconds(&Some(*retry)) }
        }
        E::Lost { relay, why } => Event::RelayLost { relay: relay.to_string(), reason: why.to_string() },
        E::CircuitRefused { relay, source, why, count, .. } => Event::CircuitRefused {
            relay: relay.to_string(),
            from: source.to_string(),
            reason: why.to_string(),
            count: *count,
        },
        E::CircuitEnded { connection, relay, peer, why, lasted, .. } => Event::CircuitEnded {
            connection: connection.map(|connection| connection.0),
            relay: relay.to_string(),
            peer: peer.to_string(),
            reason: why.to_string(),
            ms: millis(*lasted),
        },
        _ => return,
    });
}

pub(crate) fn client_line(output: &Output, event: &client::Event) -> Option<String> {
    use client::Event as E;
    let again = |retry: &Option<Duration>| match retry {
        Some(wait) => format!("; again in {}", span(*wait)),
        None => "; that was the last try".into(),
    };
    Some(match event {
        E::Reserved { relay, ttl, limit } => {
            format!("a reservation at {} for {}; circuits have {limit}", short(output, *relay), span(*ttl))
        }
        E::Renewed { relay, ttl } => format!("renewed at {} for {}", short(output, *relay), span(*ttl)),
        E::Refused { relay, why, retry } => format!(
            "{} {} {}{}",
            output.paint(Style::Yellow, "refused:"),
            short(output, *relay),
            refusal(why),
            again(retry)
        ),
        E::Failed { relay, why, retry } => format!(
            "{} no reservation at {}: {}{}",
            output.paint(Style::Yellow, "failed:"),
            short(output, *relay),
            one_line(why),
            again(&Some(*retry))
        ),
        E::Lost { relay, why } => {
            format!("{} the reservation at {}: {why}", output.paint(Style::Yellow, "lost:"), short(output, *relay))
        }
        E::CircuitRefused { relay, source, why, count, .. } => format!(
            "{} the circuit of {} through {}: {why}{}",
            output.paint(Style::Yellow, "refused:"),
            short(output, *source),
            short(output, *relay),
            times(*count)
        ),
        E::CircuitEnded { relay, peer, why, lasted, .. } => format!(
            "the circuit with {} through {} is over after {}: {why}",
            short(output, *peer),
            short(output, *relay),
            span(*lasted)
        ),
        _ => return None,
    })
}

/// How many are told of at once, where it is more than one.
fn times(count: u64) -> String {
    if count > 1 { format!(" (the last of {count})") } else { String::new() }
}
