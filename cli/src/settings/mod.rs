//! The configuration file: TOML with every number that may be turned, its default and its meaning.
//!
//! ```text
//!  Section "host.manager.limits"
//!    Entry "established": what it means, how it is read from a value, how it is shown
//!         |                                   |
//!  tidewire config: all of them         --config FILE: those that are there, unknown ones are errors
//! ```
//! The tables name each field, so that one that is renamed does not compile; a test finds those that are missing.

mod of_host;
mod of_links;
mod of_mapping;
mod of_punches;
mod of_reach;
mod of_relays;
mod rules;
mod value;

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::Path;
use tidewire_tokio::NodeConfig;
use toml::de::{DeTable, DeValue};
use value::Value;

/// Bytes of a file: a whole one has 40 KB.
const MAX_FILE: u64 = 1 << 20;
/// Columns of the comments.
const WIDTH: usize = 100;

/// A table of the file.
pub(crate) struct Section {
    pub(crate) key: &'static str,
    title: &'static str,
    pub(crate) entries: Vec<Entry>,
}

/// A line of it.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    meaning: &'static str,
    show: fn(&NodeConfig) -> String,
    set: fn(&mut NodeConfig, &DeValue<'_>) -> Result<(), String>,
}

/// Two lines of a table, the first of which is the lesser.
struct Order {
    key: &'static str,
    least: &'static str,
    most: &'static str,
    fits: fn(&NodeConfig) -> bool,
}

macro_rules! section {
    // What is there only where it is asked for: the file gives its numbers, not whether it is there.
    ($all:ident, $key:literal, $title:literal, |$c:ident| Some($place:expr), { $($fields:tt)* }) => {
        section!($all, $key, $title, |$c| $place.clone().unwrap_or_default(), $place.get_or_insert_default(), { $($fields)* });
    };
    ($all:ident, $key:literal, $title:literal, |$c:ident| $place:expr, { $($fields:tt)* }) => {
        section!($all, $key, $title, |$c| $place, $place, { $($fields)* });
    };
    ($all:ident, $key:literal, $title:literal, |$c:ident| $read:expr, $write:expr, { $($field:ident: $meaning:literal $(in $range:expr)?,)* }) => {
        $all.push(Section {
            key: $key,
            title: $title,
            entries: vec![$(Entry {
                name: stringify!($field),
                meaning: $meaning,
                show: |$c| Value::show(&$read.$field),
                set: |$c, value| {
                    let read = Value::read(value)?;
                    $(let read = super::within(read, &$range)?;)?
                    $write.$field = read;
                    Ok(())
                },
            }),*],
        });
    };
}
use section;

/// How often somebody may ask.
#[rustfmt::skip]
macro_rules! rate {
    ($all:ident, $server:ident . $field:ident, $key:literal, $title:literal) => {
        section!($all, $key, $title,
            |c| c.host.relay.$server.clone().unwrap_or_default().$field, c.host.relay.$server.get_or_insert_default().$field, {
            interval: "Beyond the burst, one each such interval. \"0s\": no limit.",
            burst: "How many may come at once, at least 1. \"off\": no limit.",
            entries:
                "Keys that are remembered, at most 80 bytes each. When there are as many, one goes that used its rate \
                little. Default 8,192. 0: no limit.",
        });
    };
}
use rate;

/// All that can be set.
pub(crate) fn sections() -> Vec<Section> {
    let mut all = Vec::new();
    of_host::sections(&mut all);
    of_relays::sections(&mut all);
    of_reach::sections(&mut all);
    of_punches::sections(&mut all);
    of_links::sections(&mut all);
    of_mapping::sections(&mut all);
    all
}

/// What the file changes of this configuration.
///
/// # Errors
/// One line that names the file and the line in it.
pub(crate) fn read(path: &Path, mut config: NodeConfig) -> Result<NodeConfig, String> {
    let name = path.display();
    let text = load(path).map_err(|error| format!("--config {name}: {error}"))?;
    let table = DeTable::parse(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| line(&text, span.start));
        let why = error.message().lines().collect::<Vec<_>>().join(", ");
        format!("--config {name}, line {line}: this is not TOML: {why}")
    })?;
    take(table.get_ref(), &mut config).map_err(|(at, why)| {
        let line = line(&text, at);
        format!("--config {name}, line {line}: {why}")
    })?;
    Ok(config)
}

/// The configuration as a file.
pub(crate) fn print(config: &NodeConfig) -> String {
    let mut text = String::from(
        "# Every limit of a tidewire node. What is left out has its default, which is what stands here.\n\
         # Times: \"10s\", \"1m30s\", \"250ms\". Sizes: 65536 or \"64KiB\".\n",
    );
    for section in sections() {
        text.push('\n');
        comment(&mut text, section.title);
        if !section.key.is_empty() {
            // Writing to a String can't fail.
            let _ = writeln!(text, "[{}]", section.key);
        }
        for entry in &section.entries {
            text.push('\n');
            comment(&mut text, entry.meaning);
            let _ = writeln!(text, "{} = {}", entry.name, (entry.show)(config));
        }
    }
    text
}

fn load(path: &Path) -> Result<String, String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > MAX_FILE {
        return Err(format!("it has more than {MAX_FILE} bytes"));
    }
    Ok(text)
}

type At = (usize, String);

fn take(table: &DeTable<'_>, config: &mut NodeConfig) -> Result<(), At> {
    let sections = sections();
    apply("", table, config, &sections)?;
    for Order { key, least, most, fits } in of_punches::ORDERS {
        let paths = [join(key, least), join(key, most)];
        // What is wrong though the file has neither is no mistake of the file's.
        if let Some(at) = paths.iter().find_map(|path| place(table, path)).filter(|_| !fits(config)) {
            let [(least, low), (most, high)] = paths.map(|path| {
                let value = shown(&path, config, &sections);
                (path, value)
            });
            return Err((at, format!("{least} is {low}, but {most}, which it may not exceed, is {high}")));
        }
    }
    Ok(())
}

/// Where the value of this path stands.
fn place(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (_, value) = table.iter().find(|(name, _)| name.get_ref().as_ref() == first)?;
    match (rest, value.get_ref()) {
        (None, _) => Some(value.span().start),
        (Some(rest), DeValue::Table(inner)) => place(inner, rest),
        (Some(_), _) => None,
    }
}

fn shown(path: &str, config: &NodeConfig, sections: &[Section]) -> String {
    let mut entries = sections.iter().flat_map(|section| section.entries.iter().map(move |entry| (section.key, entry)));
    entries.find(|(key, entry)| join(key, entry.name) == path).map_or(String::new(), |(_, entry)| (entry.show)(config))
}

/// What was read, if it is one of these.
fn within<T: Value + PartialOrd>(read: T, range: &RangeInclusive<T>) -> Result<T, String> {
    if range.contains(&read) {
        return Ok(read);
    }
    Err(format!("expected {} to {}, got {}", range.start().show(), range.end().show(), read.show()))
}

fn apply(prefix: &str, table: &DeTable<'_>, config: &mut NodeConfig, sections: &[Section]) -> Result<(), At> {
    let entries = || sections.iter().filter(|section| section.key == prefix).flat_map(|section| &section.entries);
    for (name, value) in table.iter() {
        let (at, name) = (name.span().start, name.get_ref().as_ref());
        let path = join(prefix, name);
        let below = sections.iter().any(|s| s.key == path || s.key.starts_with(&format!("{path}.")));
        if let Some(entry) = entries().find(|entry| entry.name == name) {
            (entry.set)(config, value.get_ref()).map_err(|why| (value.span().start, format!("{path}: {why}")))?;
        } else if below {
            let DeValue::Table(inner) = value.get_ref() else {
                return Err((at, format!("{path} is a table: expected [{path}]")));
            };
            apply(&path, inner, config, sections)?;
        } else {
            return Err((at, unknown(prefix, name, sections)));
        }
    }
    Ok(())
}

/// Why there is no such key, and which one may have been meant: one nearby, or of the same name elsewhere.
fn unknown(prefix: &str, name: &str, sections: &[Section]) -> String {
    let path = join(prefix, name);
    let keys = sections.iter().flat_map(|s| {
        let entries = s.entries.iter().map(|entry| join(s.key, entry.name));
        entries.chain((!s.key.is_empty()).then(|| s.key.to_owned()))
    });
    let ranked = keys.filter_map(|key| {
        let last = key.rsplit('.').next().unwrap_or(&key);
        let far = distance(last, name);
        let near = key.rsplit_once('.').map_or("", |(before, _)| before) == prefix;
        // A third of its letters may be wrong. One nearby may be so by one letter more than one elsewhere.
        (far * 3 <= name.len()).then_some((far + if near { 0 } else { 2 }, !near, key))
    });
    match ranked.min() {
        Some((_, _, key)) => format!("there is no {path}; did you mean {key}?"),
        None => format!("there is no {path}; tidewire config prints all that there is"),
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            let here = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            row[j] = left;
            (diagonal, left) = (above, here);
        }
        row[b.len()] = left;
    }
    row[b.len()]
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn comment(text: &mut String, words: &str) {
    text.push('#');
    let mut column = 1;
    for word in words.split_whitespace() {
        let length = 1 + word.chars().count();
        if column + length > WIDTH {
            text.push_str("\n#");
            column = 1;
        }
        text.push(' ');
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
