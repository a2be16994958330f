//! What people and programs see.
//!
//! ```text
//!  Output::line, event --> queue of 1024 lines --> a thread --> stdout       results
//!  Output::note ----------------------------------------------> stderr       logs, warnings
//!  Progress --------------------------------------------------> stderr       only on a terminal, only for people
//! ```
//! A program that reads our first line and never again must not stop us: events that find the queue full are dropped and
//! counted. A stdout that was closed is not an error either: what we do goes on, and its exit code says how it went.

use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Lines that wait for stdout's reader.
const MAX_LINES: usize = 1024;
/// How long the end waits for stdout's reader.
const FLUSH: Duration = Duration::from_secs(1);
/// Between two looks of a progress line.
const REDRAW: Duration = Duration::from_millis(100);
const BAR: usize = 30;

/// Where results go. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Output {
    pub(crate) json: bool,
    /// Whether stdout shows colours.
    colour: bool,
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` once it is finished.
    lines: Mutex<Option<mpsc::SyncSender<String>>>,
    /// Events that are kept back, while they are.
    held: Mutex<Option<Vec<String>>>,
    written: Mutex<mpsc::Receiver<()>>,
    dropped: AtomicU64,
}

/// How a word is shown on a terminal.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    Bold,
    Dim,
    Green,
    Yellow,
    Cyan,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let (lines, queue) = mpsc::sync_channel::<String>(MAX_LINES);
        let (done, written) = mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let mut open = true;
            for line in queue {
                let mut stdout = std::io::stdout().lock();
                open = open && stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_ok();
            }
            let _ = done.send(());
        });
        let shared = Shared {
            lines: Mutex::new(Some(lines)),
            held: Mutex::new(None),
            written: Mutex::new(written),
            dropped: AtomicU64::new(0),
        };
        Output { json, colour: !json && wants_colour(&std::io::stdout()), shared: Arc::new(shared) }
    }

    /// A line for people, without its end.
    pub(crate) fn line(&self, line: impl Into<String>) {
        let sender = lock(&self.shared.lines).clone();
        if let Some(sender) = sender {
            let _ = sender.send(line.into() + "\n");
        }
    }

    /// Text for a terminal, as it is.
    pub(crate) fn raw(&self, text: String) {
        let sender = lock(&self.shared.lines).clone();
        if let Some(sender) = sender {
            let _ = sender.send(text);
        }
    }

    /// The same, left out if the terminal is stopped: another one comes soon.
    pub(crate) fn frame(&self, text: String) {
        let sender = lock(&self.shared.lines).clone();
        sender.map(|sender| sender.try_send(text));
    }

    /// A JSON object on a line.
    pub(crate) fn object(&self, object: &impl Serialize) {
        self.line(encode(object));
    }

    /// Keeps events back until [`Output::release`], so that another line can be the first.
    pub(crate) fn hold(&self) {
        lock(&self.shared.held).get_or_insert_default();
    }

    /// What was kept back, and from here on all.
    pub(crate) fn release(&self) {
        let mut held = lock(&self.shared.held);
        held.take().into_iter().flatten().for_each(|line| self.try_line(line));
    }

    /// A line that may get lost if nobody reads.
    pub(crate) fn event(&self, line: impl Into<String>) {
        let mut held = lock(&self.shared.held);
        match held.as_mut() {
            Some(lines) if lines.len() < MAX_LINES => lines.push(line.into()),
            Some(_) => drop(self.shared.dropped.fetch_add(1, Ordering::Relaxed)),
            None => self.try_line(line.into()),
        }
    }

    fn try_line(&self, line: String) {
        let sender = lock(&self.shared.lines).clone();
        if let Some(sender) = sender
            && let Err(mpsc::TrySendError::Full(_)) = sender.try_send(line + "\n")
        {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A JSON object that may get lost if nobody reads.
    pub(crate) fn event_object(&self, object: &impl Serialize) {
        self.event(encode(object));
    }

    /// A word in a colour, where colours are shown.
    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        if !self.colour {
            return text.to_owned();
        }
        let code = match style {
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Waits until all is written, for a moment at most.
    pub(crate) fn finish(&self) {
        self.release();
        drop(lock(&self.shared.lines).take());
        let _ = lock(&self.shared.written).recv_timeout(FLUSH);
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        if dropped > 0 {
            note(&format!("{dropped} events were dropped: nobody read stdout"));
        }
    }
}

/// A line on stderr.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "tidewire: {}", one_line(line));
}

/// Text that others may have chosen, without what moves the cursor or ends the line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() { c.escape_default().collect() } else { vec![c] };
            escaped
        })
        .collect()
}

/// Milliseconds, to the microsecond.
#[allow(clippy::cast_precision_loss)] // 2^53 us are 285 years
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// For people: `64 B`, `1.5 MiB`.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 3] = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match UNITS.iter().find(|(_, shift)| bytes >> shift > 0) {
        None => format!("{bytes} B"),
        Some((unit, shift)) if bytes.trailing_zeros() >= *shift => format!("{} {unit}", bytes >> shift),
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
    }
}

/// For people: `812 MB/s`, `1.20 GB/s`.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn rate(bytes: u64, duration: Duration) -> String {
    let per_second = bytes as f64 / duration.as_secs_f64().max(1e-9);
    match per_second {
        1e9.. => format!("{:.2} GB/s", per_second / 1e9),
        1e6.. => format!("{:.0} MB/s", per_second / 1e6),
        _ => format!("{:.0} kB/s", per_second / 1e3),
    }
}

/// For people: `0.21 ms`, `4.2 s`, `3600 s`.
pub(crate) fn span(duration: Duration) -> String {
    let ms = millis(duration);
    match ms {
        ..10.0 => format!("{ms:.2} ms"),
        ..1000.0 => format!("{ms:.0} ms"),
        100_000.0.. => format!("{:.0} s", ms / 1000.0),
        _ => format!("{:.1} s", ms / 1000.0),
    }
}

/// A line that is drawn over and over while bytes move. Only on a terminal: elsewhere it does nothing.
pub(crate) struct Progress {
    shown: bool,
    label: &'static str,
    total: u64,
    began: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(output: &Output, label: &'static str, total: u64) -> Self {
        let shown = !output.json && total > 0 && std::io::stderr().is_terminal();
        Progress { shown, label, total, began: Instant::now(), drawn: None }
    }

    /// So much is done.
    #[allow(clippy::cast_possible_truncation)] // at most 100, and at most BAR
    pub(crate) fn update(&mut self, done: u64) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let share = |of: u64| (u128::from(done.min(self.total)) * u128::from(of) / u128::from(self.total)) as usize;
        let bar = format!("{}{}", "#".repeat(share(BAR as u64)), ".".repeat(BAR - share(BAR as u64)));
        let rate = rate(done, self.began.elapsed());
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[2K{} [{bar}] {:>3} %  {} of {}  {rate}",
            self.label,
            share(100),
            size(done),
            size(self.total)
        );
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[2K");
            let _ = std::io::stderr().flush();
        }
    }
}

/// Whether stdout is a terminal on which the cursor can be moved.
pub(crate) fn wants_screen() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Colours are for terminals whose user did not refuse them: <https://no-color.org>.
pub(crate) fn wants_colour(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn encode(object: &impl Serialize) -> String {
    // Our objects have string keys and no maps: this can't fail.
    serde_json::to_string(object).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_where_they_can_be() {
        let table = [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (64 << 20, "64 MiB")];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn what_others_chose_can_not_move_the_cursor() {
        assert_eq!(one_line("a\n\x1b[2Jb é"), "a\\n\\u{1b}[2Jb é");
    }
}
