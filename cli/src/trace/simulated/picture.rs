//! Columns and arrows of a simulated world.

use super::super::text::{clock, wrap};
use super::super::words::flat;
use super::{End, Place, Record, World};
use crate::output::{Output, Style};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Before the first column.
const GUTTER: usize = 13;
/// What the words beside the columns should have.
const WORDS: usize = 52;
/// From one column to the next.
const MIN_LANE: usize = 5;
const MAX_LANE: usize = 12;
/// The least that they get: as many columns are drawn, and further places share the last one.
const MIN_WORDS: usize = 30;

/// Lines for people.
pub(in super::super) fn lines(world: &World, width: usize, output: &Output) -> Vec<String> {
    let lanes = (width.saturating_sub(GUTTER + MIN_WORDS) / MIN_LANE).max(2);
    let map = Map::new(world, lanes);
    let room = width.saturating_sub(GUTTER + WORDS);
    let lane = (room / map.lanes.max(1)).clamp(MIN_LANE, MAX_LANE);
    let canvas = Canvas { map: &map, lane, width, output };
    let header = &world.header;
    let mut lines = vec![format!("a simulated world, seed {}, after {}", header.seed, clock(header.now_ns))];
    if let Some(why) = &header.why {
        lines.push(output.paint(Style::Yellow, &cut(&format!("it failed: {}", flat(why)), width)));
    }
    if header.left_out > 0 {
        lines.push(format!("{} earlier records are left out", header.left_out));
    }
    lines.extend(map.places.iter().map(|place| output.paint(Style::Dim, &legend(place))));
    lines.push(String::new());
    lines.push(canvas.head());
    let mut last = None;
    for (n, record) in world.records.iter().enumerate() {
        let time = if last == Some(record.at_ns) { String::new() } else { clock(record.at_ns) };
        last = Some(record.at_ns);
        lines.extend(canvas.row(&time, &map.drawn(n, record), record));
    }
    lines.push(String::new());
    lines.push(output.paint(Style::Dim, "├▶ on its way   ● arrived   ✕ lost   ◆ of a host"));
    lines.push(format!("{} records", world.records.len()));
    lines
}

/// A failed assertion may show a whole report: of that its beginning.
fn cut(text: &str, width: usize) -> String {
    const MORE: &str = " ..";
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let head: String = text.chars().take(width.saturating_sub(MORE.len())).collect();
    format!("{}{MORE}", head.trim_end())
}

fn legend(place: &Place) -> String {
    let addresses: Vec<String> = place.addresses.iter().map(ToString::to_string).collect();
    let behind = place.behind.as_ref().map_or(String::new(), |gateway| format!(", behind {gateway}"));
    flat(&format!("  {:4} {}{behind}", place.name, addresses.join(", ")))
}

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    /// From one place to another.
    Arrow(usize, usize),
    /// At a place.
    Mark(usize, char),
    /// Only words.
    Nowhere,
}

/// Who is where.
struct Map<'a> {
    world: &'a World,
    /// From left to right.
    places: Vec<&'a Place>,
    /// Columns that are drawn.
    lanes: usize,
}

impl<'a> Map<'a> {
    fn new(world: &'a World, lanes: usize) -> Self {
        let header = &world.header;
        let all: Vec<&Place> = header.hosts.iter().chain(&header.gateways).collect();
        let is_gateway = |place: &Place| header.gateways.iter().any(|gateway| gateway.name == place.name);
        // The first network that is behind a gateway stands left of the internet, the others right of it.
        let mut places = Vec::new();
        let outer: Vec<&Place> = all.iter().copied().filter(|one| one.behind.is_none() && is_gateway(one)).collect();
        let public = all.iter().copied().filter(|one| one.behind.is_none() && !is_gateway(one));
        let mut seen = BTreeSet::new();
        if let Some(first) = outer.first() {
            behind(&all, first, &mut places, &mut seen);
        }
        places.extend(public.filter(|one| seen.insert(&one.name)));
        for gateway in outer.iter().skip(1) {
            let mut inside = Vec::new();
            behind(&all, gateway, &mut inside, &mut seen);
            places.extend(inside.into_iter().rev());
        }
        // Those behind a gateway that is not named.
        places.extend(all.iter().copied().filter(|one| seen.insert(&one.name)));
        let lanes = places.len().min(lanes);
        Map { world, places, lanes }
    }

    fn of_name(&self, name: Option<&String>) -> Option<usize> {
        self.places.iter().position(|place| Some(&place.name) == name)
    }

    /// Places in one network that have this address. `None`: in any.
    fn owners(&self, ip: IpAddr, network: Option<Option<&String>>) -> Vec<usize> {
        let has = |place: &Place| {
            place.addresses.contains(&ip) && network.is_none_or(|network| place.behind.as_ref() == network)
        };
        (0..self.places.len()).filter(|n| self.places.get(*n).is_some_and(|place| has(place))).collect()
    }

    /// Where a packet gets to from this network, on its way to this address.
    fn next(&self, to: IpAddr, network: Option<&String>) -> Option<usize> {
        let near = self.owners(to, Some(network)).first().copied();
        near.or_else(|| self.of_name(network))
    }

    fn drawn(&self, n: usize, record: &Record) -> Drawn {
        let (from, to) = (record.from.map(End::ip), record.to.map(End::ip));
        let arrow = |from: Option<usize>, to: Option<usize>| match (from, to) {
            (Some(from), Some(to)) if from != to => Drawn::Arrow(from, to),
            (Some(at), _) => Drawn::Mark(at, '●'),
            _ => Drawn::Nowhere,
        };
        let mark = |at: Option<usize>, mark: char| at.map_or(Drawn::Nowhere, |at| Drawn::Mark(at, mark));
        match record.what.as_str() {
            "sent" => {
                let sender = from.and_then(|ip| self.one_of(&self.owners(ip, None), n, record, true));
                let network = sender.and_then(|sender| self.places.get(sender)).and_then(|place| place.behind.as_ref());
                arrow(sender, to.and_then(|to| self.next(to, network)))
            }
            "arrived" => mark(to.and_then(|ip| self.one_of(&self.owners(ip, None), n, record, false)), '●'),
            "lost" => {
                let at = to.and_then(|ip| self.one_of(&self.owners(ip, None), n, record, false));
                let sender = || from.and_then(|ip| self.owners(ip, None).first().copied());
                mark(at.or_else(sender), '✕')
            }
            "translated" | "answered" => {
                let gateway = self.of_name(record.gateway.as_ref());
                let inside = to.and_then(|to| self.owners(to, Some(record.gateway.as_ref())).first().copied());
                let network = gateway.and_then(|at| self.places.get(at)).and_then(|place| place.behind.as_ref());
                arrow(gateway, inside.or_else(|| to.and_then(|to| self.next(to, network))))
            }
            "host" | "note" => mark(self.of_name(record.host.as_ref()), '◆'),
            _ => Drawn::Nowhere,
        }
    }

    /// Two networks may use the same addresses: what a gateway makes of the packet, or made of it, tells whose it is.
    fn one_of(&self, owners: &[usize], n: usize, record: &Record, later: bool) -> Option<usize> {
        let [first, _, ..] = owners else { return owners.first().copied() };
        let is_it = |other: &&Record| {
            let ends = if later { (other.was_from, other.was_to) } else { (other.from, other.to) };
            other.what == "translated" && ends == (record.from, record.to)
        };
        let (before, behind) = self.world.records.split_at(n);
        let found = if later { behind.iter().find(is_it) } else { before.iter().rev().find(is_it) };
        let gateway = found.and_then(|other| other.gateway.as_ref());
        let inside = |at: &&usize| self.places.get(**at).is_some_and(|place| place.behind.as_ref() == gateway);
        Some(*owners.iter().find(inside).unwrap_or(first))
    }
}

/// A gateway, and before it all that is behind it.
fn behind<'a>(all: &[&'a Place], gateway: &'a Place, places: &mut Vec<&'a Place>, seen: &mut BTreeSet<&'a String>) {
    if !seen.insert(&gateway.name) {
        return;
    }
    for one in all.iter().filter(|one| one.behind.as_ref() == Some(&gateway.name)) {
        behind(all, one, places, seen);
    }
    places.push(gateway);
}

struct Canvas<'a> {
    map: &'a Map<'a>,
    lane: usize,
    width: usize,
    output: &'a Output,
}

impl Canvas<'_> {
    fn head(&self) -> String {
        let mut line = " ".repeat(GUTTER);
        for (n, place) in self.map.places.iter().take(self.map.lanes).enumerate() {
            let shared = n + 1 == self.map.lanes && self.map.places.len() > self.map.lanes;
            let name: String = flat(&place.name).chars().take(self.lane - 1).collect();
            let name = if shared { "others".to_owned() } else { name };
            line.push_str(&format!("{name:<width$}", width = self.lane));
        }
        self.output.paint(Style::Bold, line.trim_end())
    }

    fn row(&self, time: &str, drawn: &Drawn, record: &Record) -> Vec<String> {
        let words = words(record);
        let room = self.width.saturating_sub(GUTTER + self.map.lanes * self.lane + 1).max(24);
        let mut lines = Vec::new();
        for (n, part) in wrap(&words, room).into_iter().enumerate() {
            let (time, drawn) = if n == 0 { (time, *drawn) } else { ("", Drawn::Nowhere) };
            let style = match record.what.as_str() {
                "lost" => Some(Style::Yellow),
                "translated" | "arrived" => Some(Style::Dim),
                _ => None,
            };
            let part = style.map_or_else(|| part.clone(), |style| self.output.paint(style, &part));
            let time = self.output.paint(Style::Dim, &format!("{time:>11}"));
            lines.push(format!("{time}  {} {part}", self.lanes(drawn)).trim_end().to_owned());
        }
        lines
    }

    /// All columns, and what goes between them.
    fn lanes(&self, drawn: Drawn) -> String {
        let last = self.map.lanes.saturating_sub(1);
        let mut cells: Vec<char> = vec![' '; self.map.lanes * self.lane];
        let mut put = |at: usize, what: char| {
            if let Some(cell) = cells.get_mut(at) {
                *cell = what;
            }
        };
        (0..self.map.lanes).for_each(|lane| put(lane * self.lane, '│'));
        match drawn {
            Drawn::Arrow(from, to) => {
                let (from, to) = (from.min(last) * self.lane, to.min(last) * self.lane);
                (from.min(to) + 1..from.max(to)).for_each(|at| put(at, '─'));
                // The head stands before the line of whom it is for.
                if from < to {
                    put(from, '├');
                    put(to - 1, '▶');
                } else if to < from {
                    put(from, '┤');
                    put(to + 1, '◀');
                }
            }
            Drawn::Mark(at, mark) => put(at.min(last) * self.lane, mark),
            Drawn::Nowhere => {}
        }
        cells.into_iter().collect()
    }
}

/// What a record says.
fn words(record: &Record) -> String {
    let host = || record.host.clone().unwrap_or_default();
    let said = match record.what.as_str() {
        "sent" => packet(record),
        "arrived" => format!("arrived: {} from {}", kind(record), end(record.from)),
        "lost" => format!("lost, {}: {}", record.why.as_deref().unwrap_or("nobody knows why"), packet(record)),
        "translated" => format!("{} {}", kind(record), changed(record)),
        "answered" => format!("{} answers {}", record.gateway.as_deref().unwrap_or("a gateway"), packet(record)),
        "host" => {
            let address = record.address.map_or(String::new(), |address| format!(" {address}"));
            format!("{} {}{address}", host(), record.change.as_deref().unwrap_or_default())
        }
        "note" => format!("{}: {}", host(), record.text.as_deref().unwrap_or_default()),
        other if record.from.is_none() => other.to_owned(),
        other => format!("{other}: {}", packet(record)),
    };
    flat(&said)
}

/// `SYN seq 0 10.0.2.2:4001 > 11.0.0.103:4001, 5 bytes`.
fn packet(record: &Record) -> String {
    let ends = format!("{} {} > {}", kind(record), end(record.from), end(record.to));
    match (&record.about, record.len) {
        (Some(about), _) => format!("{ends}, about {about} {} > {}", end(record.about_from), end(record.about_to)),
        (None, 0) => ends,
        (None, 1) => format!("{ends}, 1 byte"),
        (None, len) => format!("{ends}, {len} bytes"),
    }
}

/// `SYN seq 0`, `ICMP administratively prohibited`, `UDP`.
fn kind(record: &Record) -> String {
    if let Some(says) = &record.says {
        return format!("ICMP {says}");
    }
    match (&record.flags, record.seq, record.ack) {
        (Some(flags), Some(seq), Some(ack)) => format!("{flags} seq {seq} ack {ack}"),
        (Some(flags), Some(seq), None) => format!("{flags} seq {seq}"),
        (Some(flags), ..) => flags.clone(),
        (None, ..) => record.protocol.as_deref().unwrap_or("packet").to_uppercase(),
    }
}

/// What a gateway made of it.
fn changed(record: &Record) -> String {
    let from = (record.was_from != record.from).then(|| format!("now from {}", end(record.from)));
    let to = (record.was_to != record.to).then(|| format!("now for {}", end(record.to)));
    match (from, to) {
        (Some(from), Some(to)) => format!("{from}, {to}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => format!("goes on to {}", end(record.to)),
    }
}

fn end(end: Option<End>) -> String {
    match end {
        Some(End::Socket(socket)) => socket.to_string(),
        Some(End::Ip(ip)) => ip.to_string(),
        None => "?".into(),
    }
}
