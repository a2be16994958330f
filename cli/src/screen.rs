//! What `tidewire relay` shows on a terminal, drawn anew each second.
//!
//! It takes the terminal's other screen, without wrapping of lines, and gives it back at the end with a last look at the
//! counters.

use crate::listen::short;
use crate::output::{Output, Style, size, wants_screen};
use crate::serving::Service;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};
use tidewire_core::{PeerId, Time};
use tidewire_relay::server::{CircuitState, Counters, Explanation, View};

/// Lines of each table, and of what happened last.
const ROWS: usize = 12;
const HAPPENED: usize = 6;
/// The other screen, no wrapping, no cursor; and back.
const TAKE: &str = "\x1b[?1049h\x1b[?7l\x1b[?25l";
const GIVE_BACK: &str = "\x1b[?25h\x1b[?7h\x1b[?1049l";
/// To the upper left corner; each line clears what stood behind it, the last one what stood below.
const HOME: &str = "\x1b[H";
const TO_END: &str = "\x1b[K";
const BELOW: &str = "\x1b[J";

pub(crate) struct Screen {
    output: Output,
    happened: VecDeque<String>,
    taken: bool,
    /// The counters when it was drawn last.
    counters: Counters,
}

impl Screen {
    /// Whether there is a terminal that shows it.
    pub(crate) fn wanted(output: &Output) -> bool {
        !output.json && wants_screen()
    }

    pub(crate) fn new(output: &Output) -> Self {
        let (output, happened) = (output.clone(), VecDeque::new());
        Screen { output, happened, taken: false, counters: Counters::default() }
    }

    /// A line for those at the bottom.
    pub(crate) fn happened(&mut self, line: String) {
        if self.happened.len() == HAPPENED {
            self.happened.pop_front();
        }
        self.happened.push_back(line);
    }

    /// `up`: how long the node has been there.
    pub(crate) fn draw(&mut self, service: &Service, up: Duration, view: &View, explained: &Explanation) {
        let mut lines = vec![self.output.paint(
            Style::Bold,
            &format!("tidewire relay {}  {}, for {}", service.node.peer(), explained.standing, clock(up)),
        )];
        lines.extend(service.addresses().iter().map(|address| format!("  {address}")));
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        lines.extend(tables(&self.output, &Shown::of(view, explained, Time::ZERO + up, unix)));
        lines.push(String::new());
        lines.extend(self.happened.iter().cloned());
        lines.push(self.output.paint(Style::Dim, "Ctrl-C ends it when the last circuit is over, twice at once"));
        self.counters = view.counters;
        if !self.taken {
            self.taken = true;
            self.output.raw(TAKE.into());
        }
        let mut text = String::from(HOME);
        text += &lines.join(&format!("{TO_END}\n"));
        text += TO_END;
        text += BELOW;
        self.output.frame(text);
    }

    /// Gives the terminal back.
    pub(crate) fn close(&mut self) {
        if self.taken {
            self.taken = false;
            self.output.raw(GIVE_BACK.into());
            self.output.line(summary(&self.counters));
        }
    }
}

/// What the tables are made of.
struct Shown {
    reservations: Vec<(PeerId, String, Duration)>,
    circuits: Vec<Circuit>,
    caps: (u32, u32),
    counters: Counters,
}

struct Circuit {
    number: u64,
    ends: (PeerId, PeerId),
    bytes: (u64, u64),
    since: Duration,
    state: CircuitState,
}

impl Shown {
    fn of(view: &View, explained: &Explanation, now: Time, unix: Duration) -> Self {
        let reservations = view.reservations.iter();
        let circuits = view.circuits.iter();
        Shown {
            reservations: reservations
                .map(|held| {
                    let left = Duration::from_secs(held.expire.as_secs()).saturating_sub(unix);
                    (held.peer, held.address.to_string(), left)
                })
                .collect(),
            circuits: circuits
                .map(|circuit| Circuit {
                    number: circuit.circuit.0,
                    ends: (circuit.source, circuit.destination),
                    bytes: (circuit.forward, circuit.backward),
                    since: now.since(circuit.since),
                    state: circuit.state,
                })
                .collect(),
            caps: (explained.reservations_cap, explained.circuits_cap),
            counters: view.counters,
        }
    }
}

fn tables(output: &Output, shown: &Shown) -> Vec<String> {
    let head = |what: &str, count: usize, cap: u32| {
        let of = if cap == u32::MAX { String::new() } else { format!(" of {cap}") };
        output.paint(Style::Bold, &format!("{what}: {count}{of}"))
    };
    let more = |all: usize| (all > ROWS).then(|| output.paint(Style::Dim, &format!("  and {} more", all - ROWS)));
    let dim = |text: String| output.paint(Style::Dim, &text);
    let mut lines = vec![String::new(), head("reservations", shown.reservations.len(), shown.caps.0)];
    if !shown.reservations.is_empty() {
        lines.push(dim(format!("  {:>9}  {:52}  from", "ends in", "peer")));
    }
    for (peer, address, left) in shown.reservations.iter().take(ROWS) {
        let peer = output.paint(Style::Cyan, &format!("{:52}", peer.to_string()));
        lines.push(format!("  {:>9}  {peer}  {address}", clock(*left)));
    }
    lines.extend(more(shown.reservations.len()));
    lines.extend([String::new(), head("circuits", shown.circuits.len(), shown.caps.1)]);
    if !shown.circuits.is_empty() {
        lines.push(dim(format!("  {:>9}  {:10}  {:10}  {:>10}  {:>10}", "for", "from", "to", "there", "back")));
    }
    for circuit in shown.circuits.iter().take(ROWS) {
        let state = match circuit.state {
            CircuitState::Opening => "  opening",
            CircuitState::Open => "",
            CircuitState::Closing => "  closing",
        };
        lines.push(format!(
            "  {:>9}  {}  {}  {:>10}  {:>10}  k{}{state}",
            clock(circuit.since),
            short(output, circuit.ends.0),
            short(output, circuit.ends.1),
            size(circuit.bytes.0),
            size(circuit.bytes.1),
            circuit.number
        ));
    }
    lines.extend(more(shown.circuits.len()));
    lines.extend([String::new(), summary(&shown.counters)]);
    lines
}

/// All that there was.
fn summary(counters: &Counters) -> String {
    let Counters { reservations, renewals, reservations_refused, circuits, circuits_refused, .. } = counters;
    format!(
        "reservations {reservations}, renewals {renewals}, refused {reservations_refused}; circuits {circuits}, refused \
         {circuits_refused}; {} there, {} back",
        size(counters.forward),
        size(counters.backward)
    )
}

/// `59:07`, `1:00:00`: always to the second.
fn clock(time: Duration) -> String {
    let (hours, minutes, seconds) = (time.as_secs() / 3600, time.as_secs() / 60 % 60, time.as_secs() % 60);
    if hours == 0 { format!("{minutes}:{seconds:02}") } else { format!("{hours}:{minutes:02}:{seconds:02}") }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY";

    fn shown(reservations: usize, circuits: usize) -> Shown {
        let peer: PeerId = PEER.parse().unwrap();
        let held = (peer, "/ip4/192.0.2.1/tcp/4001".to_owned(), Duration::from_secs(3547));
        let circuit = |number| Circuit {
            number,
            ends: (peer, peer),
            bytes: (1536, 5),
            since: Duration::from_secs(61),
            state: CircuitState::Open,
        };
        let mut counters = Counters::default();
        (counters.reservations, counters.forward) = (7, 1 << 20);
        Shown {
            reservations: vec![held; reservations],
            circuits: (0..circuits as u64).map(circuit).collect(),
            caps: (128, u32::MAX),
            counters,
        }
    }

    #[test]
    fn reservations_and_circuits_stand_in_tables_with_their_times_and_bytes() {
        let lines = tables(&Output::new(true), &shown(1, 1));
        let expected = [
            "",
            "reservations: 1 of 128",
            "    ends in  peer                                                  from",
            "      59:07  12D3KooWETJFK6QvpZyZe6xT47VCyau57ucKL36dCCovkzLjNuSY  /ip4/192.0.2.1/tcp/4001",
            "",
            "circuits: 1",
            "        for  from        to               there        back",
            "       1:01  ..kzLjNuSY  ..kzLjNuSY     1.5 KiB         5 B  k0",
            "",
            "reservations 7, renewals 0, refused 0; circuits 0, refused 0; 1 MiB there, 0 B back",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn long_tables_are_cut_and_say_so() {
        let lines = tables(&Output::new(true), &shown(ROWS + 3, ROWS + 1));
        assert!(lines.contains(&"  and 3 more".to_owned()) && lines.contains(&"  and 1 more".to_owned()), "{lines:?}");
        assert!(lines.len() < 2 * ROWS + 12, "{}", lines.len());
    }

    #[test]
    fn empty_tables_have_no_heads() {
        let lines = tables(&Output::new(true), &shown(0, 0));
        assert_eq!(lines.len(), 6, "{lines:?}");
    }
}
