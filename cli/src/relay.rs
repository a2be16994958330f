//! `tidewire relay`: reservations and circuits for others.
//!
//! ```text
//!  on a terminal    Screen, once a second: who has a reservation, who talks to whom, how many bytes
//!  elsewhere        the lines of tidewire listen, and one for each reservation and circuit
//!  SIGINT           no new circuits; ends when the last one is over --SIGINT, SIGTERM--> ends at once
//! ```

use crate::args::{self, Unusable};
use crate::listen;
use crate::node::{Setup, Signals};
use crate::output::{Output, note, span};
use crate::screen::Screen;
use crate::serving::Service;
use crate::watch::Told;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tidewire_core::Multiaddr;
use tidewire_host::RelayCommand;
use tidewire_relay::server::{self, Offer};
use tidewire_tokio::{Event, Input, Node, Notice};
use tokio::time::{MissedTickBehavior, interval};

/// From one look of the screen to the next.
const REFRESH: Duration = Duration::from_secs(1);
/// How long circuits without a limit in time may go on when we end.
const DRAIN: Duration = Duration::from_secs(120);

/// Whether all went well.
pub(crate) async fn run(args: args::Relay, output: &Output) -> Result<bool, Unusable> {
    let private = !is_public(&args.serving);
    let setup = Setup::with(&args.serving.node, |given, now| {
        let server = now.server.insert(given.server.unwrap_or_default());
        // Whoever starts one wants one.
        server.offer = Offer::Always;
        server.announce_private |= private;
        if let Some(bytes) = args.data_limit {
            server.limit.data = Some(bytes).filter(|bytes| *bytes > 0);
        }
        if let Some(time) = args.duration {
            server.limit.duration = Some(time).filter(|time| !time.is_zero());
        }
        server.reservations = args.reservations.unwrap_or(server.reservations);
        server.reservation_ttl = args.ttl.unwrap_or(server.reservation_ttl);
    })?;
    match serve(&args.serving, setup, output).await {
        Ok(()) => Ok(true),
        Err(error) => {
            note(&error);
            Ok(false)
        }
    }
}

/// Whether anybody outside could reach one of our addresses, as far as they say so themselves.
pub(crate) fn is_public(serving: &args::Serving) -> bool {
    let of_machine = |address: &Multiaddr| {
        let Some(at) = address.socket_addr().filter(|at| at.ip().is_unspecified()) else {
            return vec![address.clone()];
        };
        let interfaces = tidewire_adapter::interfaces().unwrap_or_default();
        tidewire_adapter::expand(at, &interfaces)
    };
    serving.announce.iter().chain(&serving.addresses).flat_map(of_machine).any(|address| address.is_public())
}

async fn serve(args: &args::Serving, setup: Setup, output: &Output) -> Result<(), String> {
    let mut signals = Signals::install()?;
    let grace = setup.config.host.relay.server.as_ref().and_then(|server| server.limit.time()).unwrap_or(DRAIN);
    let screen = Screen::wanted(output).then(|| Arc::new(Mutex::new(Screen::new(output))));
    let (shown, onto) = (output.clone(), screen.clone());
    let show = move |told: &Told<'_>| match &onto {
        None => listen::show(&shown, told),
        Some(screen) => {
            if let Some(line) = listen::for_people(&shown, told) {
                screen.lock().unwrap_or_else(PoisonError::into_inner).happened(line);
            }
        }
    };
    // That it listens is told first; unless it takes a relay to do so, which may be long in coming.
    if screen.is_none() && !args.addresses.iter().any(Multiaddr::is_relayed) {
        output.hold();
    }
    // Its clock begins with it.
    let began = Instant::now();
    let starting = Service::start(args, setup, output, show);
    let service = tokio::select! {
        service = starting => service?,
        _ = signals.next() => return Ok(()),
    };
    if screen.is_none() {
        service.announce(output, Some("reserve"));
    }
    output.release();
    let mut events = service.node.events();
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut draining = false;
    loop {
        tokio::select! {
            signal = signals.next() => {
                if draining || signal == "SIGTERM" {
                    break;
                }
                draining = true;
                say(output, screen.as_deref(), &format!("{signal}: {}", drain(&service.node, grace)?));
            }
            notice = events.next() => match notice {
                Some(Notice::Event(Event::Relay(server::Event::Drained))) | None => break,
                _ => {}
            },
            _ = ticks.tick(), if screen.is_some() => {
                if let Some(screen) = &screen {
                    let looked = service.node.host(|host| host.relay_server().map(|server| (server.view(), server.explain())));
                    if let Some((view, explained)) = looked {
                        let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
                        screen.draw(&service, began.elapsed(), &view, &explained);
                    }
                }
            }
        }
    }
    if let Some(screen) = &screen {
        screen.lock().unwrap_or_else(PoisonError::into_inner).close();
    }
    service.close().await;
    Ok(())
}

/// Takes nothing new from here on. What that means, in words.
fn drain(node: &Node, grace: Duration) -> Result<String, String> {
    node.tell(Input::Relay(RelayCommand::Drain { grace })).map_err(|error| error.to_string())?;
    let circuits = node.host(|host| host.relay_server().map_or(0, |server| server.counts().circuits));
    Ok(match circuits {
        0 => "closing".into(),
        circuits => format!(
            "nothing new is taken; {circuits} {} may go on for {} at most. Again to end at once",
            if circuits == 1 { "circuit" } else { "circuits" },
            span(grace)
        ),
    })
}

fn say(output: &Output, screen: Option<&Mutex<Screen>>, line: &str) {
    match screen {
        Some(screen) => screen.lock().unwrap_or_else(PoisonError::into_inner).happened(line.to_owned()),
        None if output.json => {}
        None => note(line),
    }
}
