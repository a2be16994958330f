//! What a host is told and what it does, in words, and who is at the other end of it.

use super::{punches, relays};
use crate::output::{one_line, size};
use std::time::Duration;
use tidewire_connmgr as connmgr;
use tidewire_connmgr::dial::GateRule;
use tidewire_core::{Multiaddr, PeerId};
use tidewire_host::identify::Identity;
use tidewire_host::link::{Order, Report};
use tidewire_host::{Action, Command, ConnectionId, DialId, Event, Input};

/// A line of a picture, before it is known where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) kind: Kind,
    /// Whom it is about.
    pub(crate) whom: Whom,
    /// A word or three.
    pub(crate) label: String,
    /// The rest: what is in it, and why.
    pub(crate) detail: String,
}

/// What it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// From a peer, or from the link to it.
    In,
    /// To a peer, or to the link to it.
    Out,
    /// From the application.
    Wish,
    /// From the driver: listeners, the network.
    Driver,
    /// Time passed.
    Timer,
    /// A decision, told to the application.
    Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom {
    Nobody,
    Peer(PeerId),
    Connection(ConnectionId),
    Dial(DialId),
}

impl Words {
    pub(super) fn new(kind: Kind, whom: Whom, label: impl Into<String>, detail: impl Into<String>) -> Self {
        Words { kind, whom, label: label.into(), detail: detail.into() }
    }

    pub(crate) fn timer() -> Self {
        Words::new(Kind::Timer, Whom::Nobody, "timer", "")
    }

    /// What a host is told.
    pub(crate) fn of_input(input: &Input) -> Self {
        let driver = |label: &str, detail: String| Words::new(Kind::Driver, Whom::Nobody, label, detail);
        let wish = |label: String, detail: String| Words::new(Kind::Wish, Whom::Nobody, label, detail);
        match input {
            Input::Listening { listener, address } => driver("listening", format!("{listener} at {address}")),
            Input::NotListening { listener, address } => {
                driver("no more listening", format!("{listener} at {address}"))
            }
            Input::ListenerClosed { listener, why } => driver("listener closed", format!("{listener}: {why}")),
            Input::NetworkChanged => driver("network changed", String::new()),
            Input::Incoming { connection, local, remote, over, asn } => {
                let over = over.map_or(String::new(), |(below, stream)| format!(", over stream {stream} of {below}"));
                let asn = asn.map_or(String::new(), |asn| format!(", of AS{asn}"));
                Words::new(
                    Kind::In,
                    Whom::Connection(*connection),
                    format!("connects {connection}"),
                    format!("from {} to {}{over}{asn}", at(remote), at(local)),
                )
            }
            Input::Dialed { dial, connection, local, remote } => Words::new(
                Kind::In,
                Whom::Connection(*connection),
                format!("{} connected as {connection}", punches::dial_name(*dial)),
                format!("{} to {}", at(local), at(remote)),
            ),
            Input::DialFailed { dial, fault } => {
                let label = format!("{} failed", punches::dial_name(*dial));
                Words::new(Kind::In, Whom::Dial(*dial), label, fault.to_string())
            }
            Input::Report { connection, report } => of_report(*connection, report),
            Input::Listen { listener, address } => wish("listen".into(), format!("{listener} at {address}")),
            Input::Unlisten { listener } => wish("listen no more".into(), listener.to_string()),
            Input::Connect { request, peer, addresses, options } => {
                let mut detail = format!("{request}, {}", list(&addresses.iter().map(at).collect::<Vec<_>>()));
                for (on, word) in
                    [(options.direct_only, "direct only"), (options.forced, "forced"), (options.new, "a new one")]
                {
                    if on {
                        detail = format!("{detail}, {word}");
                    }
                }
                Words::new(Kind::Wish, Whom::Peer(*peer), format!("connect to {}", short(peer)), detail)
            }
            Input::CancelConnect { request } => wish("connect no more".into(), request.to_string()),
            Input::Open { open, peer, protocols, options } => {
                let names: Vec<&str> = protocols.as_slice().iter().map(AsRef::as_ref).collect();
                let limited = if options.limited { ", relayed will do" } else { "" };
                let dial = if options.dial { "" } else { ", without dialing" };
                let detail = format!("{} within {}{limited}{dial}", names.join(", "), span(options.timeout));
                Words::new(Kind::Wish, Whom::Peer(*peer), format!("open {open} to {}", short(peer)), detail)
            }
            Input::CancelOpen { open } => wish("open no more".into(), open.to_string()),
            Input::Protocols(names) => wish("serve".into(), list(names)),
            Input::AddExternal { address } => wish("external address".into(), address.to_string()),
            Input::RemoveExternal { address } => wish("no more external".into(), address.to_string()),
            Input::NatStatus(status) => driver("NAT", format!("{status:?}").to_lowercase()),
            Input::Relayed(addresses) => driver("relayed at", list(addresses)),
            Input::Manage(command) => of_command(command),
            Input::Spliced { circuit, end, forward, backward } => {
                relays::of_spliced(*circuit, end.as_ref(), *forward, *backward)
            }
            Input::Relay(command) => relays::of_command(command),
            Input::Punch(command) => punches::of_command(command),
            Input::PortMapping(mapping) => driver("port mapping", mapping.to_string()),
            Input::WallClock(unix) => driver("wall clock", format!("{} s since 1970", unix.as_secs())),
            Input::Shutdown => wish("shut down".into(), String::new()),
            other => wish("input".into(), format!("{other:?}")),
        }
    }

    /// What a host does.
    pub(crate) fn of_action(action: &Action) -> Self {
        match action {
            Action::Listen { listener, address } => {
                Words::new(Kind::Driver, Whom::Nobody, "driver, listen", format!("{listener} at {address}"))
            }
            Action::Unlisten { listener } => {
                Words::new(Kind::Driver, Whom::Nobody, "driver, listen no more", listener.to_string())
            }
            Action::Accept { connection } => {
                Words::new(Kind::Out, Whom::Connection(*connection), format!("accept {connection}"), "")
            }
            Action::Refuse { connection, reason } => {
                Words::new(Kind::Out, Whom::Connection(*connection), format!("refuse {connection}"), reason.to_string())
            }
            Action::Dial { dial, peer, address, from, timeout } => {
                let from = from.as_ref().map_or(String::new(), |from| format!(" from {}", from.address));
                let detail = format!("{address}{from} within {}", span(*timeout));
                Words::new(Kind::Out, Whom::Peer(*peer), format!("dial {}", punches::dial_name(*dial)), detail)
            }
            Action::Abort { dial } => {
                Words::new(Kind::Out, Whom::Dial(*dial), format!("abort {}", punches::dial_name(*dial)), "")
            }
            Action::Order { connection, order } => of_order(*connection, order),
            Action::Carry(carry) => relays::of_carry(carry),
            Action::Splice(splice) => relays::of_splice(splice),
            Action::Unsplice { circuit, why } => {
                Words::new(Kind::Driver, Whom::Nobody, format!("driver, end {circuit}"), why.to_string())
            }
            Action::Serve(services) => {
                let names: Vec<&str> = services.iter().map(|service| service.name()).collect();
                Words::new(Kind::Driver, Whom::Nobody, "driver, serve", list(&names))
            }
            Action::Profile(profile) => {
                let (protocols, addresses) = (profile.protocols.len() as u64, profile.addresses.len() as u64);
                let detail = format!(
                    "{}, {}, record {}",
                    count(addresses, "address", "addresses"),
                    count(protocols, "protocol", "protocols"),
                    profile.seq
                );
                Words::new(Kind::Event, Whom::Nobody, "our profile changed", detail)
            }
            Action::Event(event) => of_event(event),
            other => Words::new(Kind::Event, Whom::Nobody, "action", format!("{other:?}")),
        }
    }
}

fn of_report(connection: ConnectionId, report: &Report) -> Words {
    let (label, detail) = match report {
        Report::Established { peer, role, security, muxer } => {
            (format!("{connection} upgraded"), format!("{}, we are the {role:?}, {security}, {muxer}", short(peer)))
        }
        Report::StreamOpened { stream, direction, protocol, open } => {
            let wish = open.map_or(String::new(), |open| format!(" for {open}"));
            (format!("stream {stream}{wish}"), format!("{protocol}, {direction} on {connection}"))
        }
        Report::StreamClosed { stream } => (format!("stream {stream} over"), format!("on {connection}")),
        Report::OpenFailed { open, why } => (format!("{open} failed"), why.to_string()),
        Report::Identified(identity) => ("identified".into(), of_identity(identity)),
        Report::IdentifyFailed { why } => ("not identified".into(), why.to_string()),
        Report::Pushed(identity) => ("pushed".into(), of_identity(identity)),
        Report::Answered { ask, stream, answer } => relays::of_answer(connection, *ask, *stream, answer),
        Report::Heard { ask, stream, heard } => punches::of_heard(connection, *ask, *stream, heard),
        Report::Asked { stream, request } => relays::of_request(connection, *stream, request),
        Report::CircuitEnded { stream, sent, received, ending } => (
            format!("circuit {stream} over"),
            format!("{ending:?}, {} sent, {} received, on {connection}", size(*sent), size(*received)),
        ),
        Report::Pong { rtt } => ("pong".into(), format!("{} on {connection}", span(*rtt))),
        Report::PingUnsupported => ("no ping".into(), "it doesn't speak ping".into()),
        Report::Used => ("used".into(), format!("data passed on {connection}")),
        Report::Holds { bytes } => ("holds".into(), format!("{} for its remote, on {connection}", size(*bytes))),
        Report::Ended { by, why, .. } => (format!("{connection} ended"), format!("by {by}: {why}")),
        other => ("report".into(), format!("{other:?}")),
    };
    Words::new(Kind::In, Whom::Connection(connection), label, detail)
}

fn of_order(connection: ConnectionId, order: &Order) -> Words {
    let (label, detail) = match order {
        Order::Admit { stream } => (format!("admit stream {stream}"), format!("on {connection}")),
        Order::Refuse { stream, reason } => (format!("refuse stream {stream}"), reason.to_string()),
        Order::Open { open, protocols, .. } => (format!("open {open}"), list(protocols.as_slice())),
        Order::Forget { open } => (format!("forget {open}"), String::new()),
        Order::Identify => ("identify".into(), format!("who are you? on {connection}")),
        Order::Push => ("push".into(), "this is who we are now".into()),
        Order::Ask { ask, what } => relays::of_ask(connection, *ask, what),
        Order::Punch { ask, addresses } => punches::of_open(connection, *ask, addresses),
        Order::Sync { ask } => punches::of_sync(connection, *ask),
        Order::Connect { stream, addresses } => punches::of_connect(connection, *stream, addresses),
        Order::Pay { ask } => (format!("pay for {ask}"), format!("on {connection}")),
        Order::Unask { ask } => (format!("ask {ask} no more"), format!("on {connection}")),
        Order::Reply { stream, reply } => relays::of_reply(connection, *stream, reply),
        Order::Reset { stream } => {
            (format!("reset stream {stream}"), format!("nobody wants it any more, on {connection}"))
        }
        Order::Ping => ("ping".into(), format!("on {connection}")),
        Order::Close { reason } => (format!("close {connection}"), reason.to_string()),
        other => ("order".into(), format!("{other:?}")),
    };
    Words::new(Kind::Out, Whom::Connection(connection), label, detail)
}

fn of_identity(identity: &Identity) -> String {
    let agent = identity.agent.as_deref().unwrap_or("no name");
    let mut detail = format!("{agent}, {}", count(identity.protocols.len() as u64, "protocol", "protocols"));
    let addresses = match identity.listen_addresses() {
        [] => "no address".into(),
        addresses => list(addresses),
    };
    let signed = if identity.record.is_some() { ", signed" } else { "" };
    detail.push_str(&format!(", {addresses}{signed}"));
    if let Some(observed) = &identity.observed {
        detail.push_str(&format!("; sees us at {observed}"));
    }
    if let Some(refused) = &identity.refused {
        detail.push_str(&format!("; its record was refused: {refused}"));
    }
    detail
}

fn of_command(command: &Command) -> Words {
    let peer = |peer: &PeerId, label: &str, detail: String| {
        Words::new(Kind::Wish, Whom::Peer(*peer), format!("{label} {}", short(peer)), detail)
    };
    let wish = |label: &str, detail: String| Words::new(Kind::Wish, Whom::Nobody, label, detail);
    match command {
        Command::Addresses { peer: who, addresses, ttl } => {
            peer(who, "addresses of", format!("{} for {}", list(addresses), span(*ttl)))
        }
        Command::Protect { peer: who, reason } => peer(who, "protect", reason.to_string()),
        Command::Unprotect { peer: who, reason } => peer(who, "protect no more", reason.to_string()),
        Command::Tag { peer: who, tag, change } => peer(who, "tag", format!("{tag}: {change:?}")),
        Command::DefineDecaying { tag, decay } => wish("decaying tag", format!("{tag}: {decay:?}")),
        Command::RemoveDecaying { tag } => wish("no more decaying tag", tag.to_string()),
        Command::Bump { peer: who, tag, bump } => peer(who, "bump", format!("{tag}: {bump:?}")),
        Command::Unbump { peer: who, tag } => peer(who, "bump no more", tag.to_string()),
        Command::KeepAlive { peer: who, on: true } => peer(who, "keep alive", String::new()),
        Command::KeepAlive { peer: who, on: false } => peer(who, "keep alive no more", String::new()),
        Command::Deny { rule, why } => {
            Words::new(Kind::Wish, of_rule(rule).0, "deny", format!("{}: {why}", of_rule(rule).1))
        }
        Command::Allow { rule } => Words::new(Kind::Wish, of_rule(rule).0, "allow", of_rule(rule).1),
        Command::Close { connection, why } => {
            Words::new(Kind::Wish, Whom::Connection(*connection), format!("close {connection}"), why.to_string())
        }
        Command::Disconnect { peer: who, why } => peer(who, "disconnect", why.to_string()),
        Command::TrimNow => wish("trim now", String::new()),
        Command::Emergency => wish("emergency", String::new()),
        other => wish("command", format!("{other:?}")),
    }
}

fn of_rule(rule: &GateRule) -> (Whom, String) {
    match rule {
        GateRule::Peer(peer) => (Whom::Peer(*peer), short(peer)),
        GateRule::Subnet(ip, prefix) => (Whom::Nobody, format!("{ip}/{prefix}")),
        GateRule::Address(address) => (Whom::Nobody, address.to_string()),
        other => (Whom::Nobody, format!("{other:?}")),
    }
}

fn of_event(event: &Event) -> Words {
    let nobody = |label: &str, detail: String| Words::new(Kind::Event, Whom::Nobody, label, detail);
    let about =
        |peer: &PeerId, label: String, detail: String| Words::new(Kind::Event, Whom::Peer(*peer), label, detail);
    match event {
        Event::Manager(event) => of_manager(event),
        Event::Upgraded { connection, peer, security, muxer, took, .. } => about(
            peer,
            format!("{connection} is upgraded"),
            format!("{security}, {muxer}, {} after its transport was there", span(*took)),
        ),
        Event::StreamsRefused { connection, peer, protocol, reason, count: n } => about(
            peer,
            format!("{} of {} refused", count(*n, "stream", "streams"), short(peer)),
            format!("{reason}; {protocol} on {connection}"),
        ),
        Event::ConnectionsRefused { connection, remote, peer, reason, count: n } => {
            let (whom, who) = match peer {
                Some(peer) => (Whom::Peer(*peer), short(peer)),
                None => (Whom::Connection(*connection), place(remote)),
            };
            let label = format!("{} refused", count(*n, "connection", "connections"));
            Words::new(Kind::Event, whom, label, format!("{reason}; {connection} from {who}"))
        }
        Event::Listening { listener, address } => nobody("listening", format!("{listener} at {address}")),
        Event::NotListening { listener, address } => nobody("no more listening", format!("{listener} at {address}")),
        Event::ListenerClosed { listener, why } => nobody("listener closed", format!("{listener}: {why}")),
        Event::Identified { peer, identity, pushed, .. } => {
            let verb = if *pushed { "said who it is" } else { "identified" };
            about(peer, format!("{} {verb}", short(peer)), of_identity(identity))
        }
        Event::IdentifyFailed { peer, why, .. } => {
            about(peer, format!("{} not identified", short(peer)), why.to_string())
        }
        Event::OpenFailed { open, peer, why } => about(peer, format!("{open} failed"), why.to_string()),
        Event::Announced { addresses } => nobody("announced", list(addresses)),
        Event::Relay(event) => relays::of_server(event),
        Event::AutoRelay(event) => relays::of_auto(event),
        Event::RelaysWanted { count } => nobody("relays wanted", format!("there is room for {count}")),
        Event::Advertise { key, ttl } => nobody("advertise", format!("{key} for {}", span(*ttl))),
        Event::Withdraw { key } => nobody("advertise no more", key.to_string()),
        Event::RelayClient(event) => relays::of_client(event),
        Event::Punch(event) => punches::of_event(event),
        Event::CircuitAsks { relay, source, limit, .. } => {
            about(source, format!("may {} come?", short(source)), format!("through {}, {limit}", short(relay)))
        }
        Event::RelayAsks { peer, asked, .. } => about(peer, format!("may {}?", short(peer)), relays::asked(asked)),
        Event::PortMapping(mapping) => nobody("port mapping", mapping.to_string()),
        Event::NatStatus(status) => nobody("NAT", format!("{status:?}").to_lowercase()),
        other => nobody("event", format!("{other:?}")),
    }
}

fn of_manager(event: &connmgr::Event) -> Words {
    use connmgr::Event as E;
    let about =
        |peer: &PeerId, label: String, detail: String| Words::new(Kind::Event, Whom::Peer(*peer), label, detail);
    match event {
        E::Connected { peer } => about(peer, format!("{} is connected", short(peer)), String::new()),
        E::Disconnected { peer } => about(peer, format!("{} is disconnected", short(peer)), String::new()),
        E::ConnectionOpened { connection, peer, direction, remote, limited } => {
            let limited = if *limited { ", limited by a relay" } else { "" };
            about(peer, format!("{connection} opened"), format!("{direction}, {}{limited}", at(remote)))
        }
        E::ConnectionClosed { connection, peer, by, reason, lived } => {
            about(peer, format!("{connection} closed"), format!("by {by} after {}: {reason}", span(*lived)))
        }
        E::StreamOpened { connection, stream, peer, direction } => {
            about(peer, format!("stream {stream} opened"), format!("{direction} on {connection}"))
        }
        E::StreamClosed { connection, stream, peer } => {
            about(peer, format!("stream {stream} closed"), format!("on {connection}"))
        }
        E::Dialed { request, peer, connection } => {
            about(peer, format!("{request} is fulfilled"), format!("by {connection}"))
        }
        E::DialFailed { request, peer, report } => about(peer, format!("{request} failed"), report.to_string()),
        E::Trimmed { closed, of, protected, in_grace } => Words::new(
            Kind::Event,
            Whom::Nobody,
            "trimmed",
            format!("{closed} of {of} connections closed, {protected} protected, {in_grace} in their grace"),
        ),
        E::DuplicatesTolerated { peer, why } => about(peer, "duplicates tolerated".into(), why.to_string()),
        E::ReconnectFailed { peer, tries, why } => {
            about(peer, format!("{} is given up", short(peer)), format!("after {tries} tries: {why}"))
        }
        other => Words::new(Kind::Event, Whom::Nobody, "manager", format!("{other:?}")),
    }
}

impl Words {
    /// All of it on one line, fit for a terminal whatever peers called themselves.
    pub(crate) fn line(&self) -> String {
        if self.detail.is_empty() {
            flat(&self.label)
        } else {
            format!("{}: {}", flat(&self.label), flat(&self.detail))
        }
    }
}

/// Lists on lines of their own become one line.
pub(crate) fn flat(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    one_line(&lines.join("; "))
}

/// The end of a peer id: all of them begin alike.
pub(crate) fn short(peer: &PeerId) -> String {
    let name = peer.to_string();
    let from = name.len().saturating_sub(8);
    format!("..{}", name.get(from..).unwrap_or(&name))
}

/// For people: `12 ms`, `1.5 s`, `2 h`.
pub(crate) fn span(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match duration.as_secs() {
        0 if nanos < 1000 => format!("{nanos} ns"),
        0 if nanos < 1_000_000 => format!("{} us", nanos / 1000),
        0 => format!("{} ms", nanos / 1_000_000),
        s @ 1..60 if duration.subsec_millis() / 100 > 0 => format!("{s}.{} s", duration.subsec_millis() / 100),
        s @ 1..600 => format!("{s} s"),
        s @ 600..7200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}

pub(super) fn list<T: ToString>(all: &[T]) -> String {
    match all {
        [] => "nothing".into(),
        all => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// An address as it is; one that leads through a relay without its two long names.
pub(super) fn at(address: &Multiaddr) -> String {
    let Some(relay) = address.relay_peer_id() else { return address.to_string() };
    let through = format!("{} at {}", short(&relay), place(address));
    address.peer_id().map_or_else(|| through.clone(), |peer| format!("{} through {through}", short(&peer)))
}

/// Where nothing better is known, an address says who it is.
pub(crate) fn place(address: &Multiaddr) -> String {
    address.socket_addr().map_or_else(|| address.to_string(), |at| at.to_string())
}
