//! The picture on a terminal.
//!
//! ```text
//!               us                     ..3hdN5h8Q             ..JFVm4Xya
//!  0.000 s      ●  serve: /echo/1.0.0  │                      │
//!  0.012 s      ├─── dial d0 ─────────▶│                      │
//!  0.024 s      │◀────────── connects c1 ─────────────────────┤
//!               │  from /ip4/.. to /ip4/..
//! ```

use super::picture::{Picture, Row};
use super::words::Kind;
use crate::output::{Output, Style};

/// Before our column.
const GUTTER: usize = 13;
/// The least room that a peer's column needs.
const LANE: usize = 22;
/// Narrower terminals get lines that are too long.
const MIN_WIDTH: usize = 60;
/// Wider pictures are no clearer.
const MAX_WIDTH: usize = 160;

/// Lines for people.
pub(crate) fn lines(picture: &Picture, width: usize, output: &Output) -> Vec<String> {
    let canvas = Canvas::new(picture, width.clamp(MIN_WIDTH, MAX_WIDTH), output);
    let mut lines = vec![canvas.head()];
    let mut last = None;
    for row in &picture.rows {
        let time = if last == Some(row.at_ns) { String::new() } else { clock(row.at_ns) };
        last = Some(row.at_ns);
        lines.extend(canvas.row(row, &time));
    }
    lines.push(String::new());
    lines.push(output.paint(Style::Dim, "▷ application   ● driver   ◷ timer   ◆ decision"));
    lines.push(match picture.differs {
        None => format!("{} steps, replayed identically; {}", picture.steps, picture.ending),
        Some(step) => format!(
            "{} steps; step {step} is the first that is not as it was recorded; {}",
            picture.steps, picture.ending
        ),
    });
    lines
}

struct Canvas<'a> {
    picture: &'a Picture,
    output: &'a Output,
    width: usize,
    /// From one column to the next.
    lane: usize,
    /// Columns that are drawn; further peers share the last one.
    lanes: usize,
}

impl<'a> Canvas<'a> {
    fn new(picture: &'a Picture, width: usize, output: &'a Output) -> Self {
        let room = width.saturating_sub(GUTTER + 1);
        let fit = (room / LANE).saturating_sub(1).max(1);
        let lanes = picture.columns.len().clamp(1, fit);
        // Half a lane is left for the last name.
        let lane = (room * 2 / (lanes * 2 + 1)).min(44);
        Canvas { picture, output, width, lane, lanes }
    }

    /// Where a column's line stands. 0 is us.
    fn x(&self, lane: usize) -> usize {
        GUTTER + lane * self.lane
    }

    fn lane_of(&self, column: usize) -> usize {
        column.min(self.lanes.saturating_sub(1)) + 1
    }

    /// Some peers have no column of their own.
    fn shared(&self, lane: usize) -> bool {
        self.picture.columns.len() > self.lanes && lane == self.lanes
    }

    fn head(&self) -> String {
        let mut line = Line::new();
        line.put(self.x(0), "us");
        for lane in 1..=self.lanes {
            let name = match self.picture.columns.get(lane - 1) {
                _ if self.shared(lane) => format!("{} others", self.picture.columns.len() - self.lanes + 1),
                Some(column) => column.name.clone(),
                None => continue,
            };
            let name: String = name.chars().take(self.lane.saturating_sub(2)).collect();
            line.put(self.x(lane), &name);
        }
        self.output.paint(Style::Bold, line.text().trim_end())
    }

    fn row(&self, row: &Row, time: &str) -> Vec<String> {
        match (row.kind, row.column) {
            (Kind::In | Kind::Out, Some(column)) => self.arrow(row, self.lane_of(column), time),
            _ => self.note(row, time),
        }
    }

    /// From us to a peer, or back. What doesn't fit onto it stands below.
    fn arrow(&self, row: &Row, lane: usize, time: &str) -> Vec<String> {
        let mut label = row.label.clone();
        if self.shared(lane)
            && let Some(column) = row.column.and_then(|column| self.picture.columns.get(column))
        {
            label = format!("{} {label}", column.name);
        }
        let inner = self.x(lane) - self.x(0) - 1;
        let whole = if row.detail.is_empty() { label.clone() } else { format!("{label}: {}", row.detail) };
        let fits = whole.chars().count() + 6 <= inner;
        let on: String = if fits { whole } else { label.chars().take(inner.saturating_sub(6)).collect() };
        let (body, ends) = match row.kind {
            Kind::Out => (format!("{:─<width$}▶", format!("── {on} "), width = inner - 1), ('├', '│')),
            _ => (format!("◀{:─>width$}", format!(" {on} ──"), width = inner - 1), ('│', '┤')),
        };
        let mut before = Line::new();
        before.put(0, &format!("{time:>10}"));
        before.put(self.x(0), &ends.0.to_string());
        let mut after = Line::new();
        after.put(0, &ends.1.to_string());
        for further in lane + 1..=self.lanes {
            after.put(self.x(further) - self.x(lane), "│");
        }
        let style = if row.kind == Kind::Out { Style::Cyan } else { Style::Green };
        let first =
            format!("{}{}{}", self.dim_time(before.text(), time), self.output.paint(style, &body), after.text());
        let mut lines = vec![first.trim_end().to_owned()];
        if !fits && !row.detail.is_empty() {
            let room = self.width - self.x(0) - 5;
            for part in wrap(&row.detail, room) {
                lines.push(self.beside(&format!("    {part}")));
            }
        }
        lines
    }

    /// What is about us alone, or was decided.
    fn note(&self, row: &Row, time: &str) -> Vec<String> {
        let mark = match row.kind {
            Kind::Timer => "◷",
            Kind::Event => "◆",
            Kind::Wish => "▷",
            _ => "●",
        };
        let text = if row.detail.is_empty() { row.label.clone() } else { format!("{}: {}", row.label, row.detail) };
        let room = self.width - self.x(0) - 5;
        let mut lines = Vec::new();
        for (n, part) in wrap(&text, room).into_iter().enumerate() {
            if n > 0 {
                lines.push(self.beside(&format!("    {part}")));
                continue;
            }
            let mut line = Line::new();
            line.put(0, &format!("{time:>10}"));
            line.put(self.x(0), mark);
            let head = self.dim_time(line.text(), time);
            let part = if row.kind == Kind::Event { self.output.paint(Style::Yellow, &part) } else { part.clone() };
            lines.push(self.with_lanes(&format!("{head}  {part}"), GUTTER + 3 + visible(&part)));
        }
        lines
    }

    /// A line that goes on beside our column.
    fn beside(&self, text: &str) -> String {
        let line = format!("{}│{}", " ".repeat(GUTTER), self.output.paint(Style::Dim, text));
        self.with_lanes(&line, GUTTER + 1 + text.chars().count())
    }

    /// The columns behind what was drawn so far.
    fn with_lanes(&self, line: &str, drawn: usize) -> String {
        let mut rest = Line::new();
        for lane in 1..=self.lanes.min(self.picture.columns.len()) {
            if let Some(at) = self.x(lane).checked_sub(drawn + 1) {
                rest.put(at + 1, "│");
            }
        }
        format!("{line}{}", rest.text()).trim_end().to_owned()
    }

    fn dim_time(&self, line: &str, time: &str) -> String {
        if time.is_empty() { line.to_owned() } else { line.replacen(time, &self.output.paint(Style::Dim, time), 1) }
    }
}

/// A line that is written from left to right, at places.
struct Line {
    text: String,
    at: usize,
}

impl Line {
    fn new() -> Self {
        Line { text: String::new(), at: 0 }
    }

    fn put(&mut self, at: usize, text: &str) {
        while self.at < at {
            self.text.push(' ');
            self.at += 1;
        }
        self.text.push_str(text);
        self.at += text.chars().count();
    }

    fn text(&self) -> &str {
        &self.text
    }
}

/// Characters that are seen: those of colours are not.
fn visible(text: &str) -> usize {
    let mut count = 0;
    let mut hidden = false;
    for c in text.chars() {
        match (hidden, c) {
            (false, '\x1b') => hidden = true,
            (true, 'm') => hidden = false,
            (true, _) => {}
            (false, _) => count += 1,
        }
    }
    count
}

/// At spaces; a word that is longer than a line is cut.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + word.len() > room {
            lines.push(String::new());
            used = 0;
        }
        while word.len() > room {
            let rest = word.split_off(room);
            lines.push(word.into_iter().collect());
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            used += word.len();
            line.extend(word);
        }
    }
    lines.retain(|line| !line.is_empty());
    if lines.is_empty() { vec![String::new()] } else { lines }
}

/// `12.345 s`, from the beginning.
pub(crate) fn clock(nanos: u64) -> String {
    format!("{}.{:03} s", nanos / 1_000_000_000, nanos / 1_000_000 % 1000)
}
