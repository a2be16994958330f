//! The words of the command line, and what values look like.

use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::time::Duration;

use super::Unusable;

/// Longest waits that are taken: more is a mistake. About a year.
const MAX_SECONDS: f64 = 31_536_000.0;

pub(super) fn list<T: Copy + PartialEq>(option: &str, words: &str, known: &[(&str, T)]) -> Result<Vec<T>, Unusable> {
    let mut chosen = Vec::new();
    for word in words.split(',') {
        let kind = one_of(option, word, known)?;
        if chosen.contains(&kind) {
            return fail(format!("{option}: {word} is there twice"));
        }
        chosen.push(kind);
    }
    Ok(chosen)
}

pub(super) fn one_of<T: Copy>(option: &str, word: &str, known: &[(&str, T)]) -> Result<T, Unusable> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    known
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| Unusable(format!("{option}: expected {}, got {word:?}", names.join(" or "))))
}

/// A number of bytes, perhaps with a unit.
pub(super) fn bytes(parser: &mut Parser, option: &str) -> Result<u64, Unusable> {
    let word = text(parser, option)?;
    let split = word.find(|c: char| !c.is_ascii_digit()).unwrap_or(word.len());
    let (digits, unit) = word.split_at(split);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return fail(format!("{option}: expected bytes, such as 65536, 64KiB, 16MiB or 1GiB, got {word:?}")),
    };
    let number: u64 = digits.parse().map_err(|_| Unusable(format!("{option}: expected bytes, got {word:?}")))?;
    number.checked_mul(1 << shift).ok_or_else(|| Unusable(format!("{option}: {word} is too much")))
}

pub(super) fn seconds(parser: &mut Parser, option: &str) -> Result<Duration, Unusable> {
    let word = text(parser, option)?;
    match word.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => fail(format!("{option}: expected seconds, such as 10 or 0.5, got {word:?}")),
    }
}

pub(super) fn number<T: core::str::FromStr>(parser: &mut Parser, option: &str) -> Result<T, Unusable> {
    let word = text(parser, option)?;
    word.parse().map_err(|_| Unusable(format!("{option}: expected a whole number from 0 up, got {word:?}")))
}

pub(super) fn text(parser: &mut Parser, option: &str) -> Result<String, Unusable> {
    utf8(option, value(parser, option)?)
}

pub(super) fn utf8(what: &str, word: OsString) -> Result<String, Unusable> {
    word.into_string().map_err(|word| Unusable(format!("{what}: {word:?} is not UTF-8")))
}

/// The word behind an option. Empty ones are mistakes, mostly of a shell variable that isn't set.
pub(super) fn value(parser: &mut Parser, option: &str) -> Result<OsString, Unusable> {
    match parser.value() {
        Ok(word) if !word.is_empty() => Ok(word),
        _ => fail(format!("{option}: a value is missing behind it")),
    }
}

/// A word of the command line.
pub(super) enum Word {
    /// With its dashes.
    Option(String),
    Value(OsString),
}

pub(super) fn next(parser: &mut Parser) -> Result<Option<Word>, Unusable> {
    let word = match parser.next() {
        Ok(None) => return Ok(None),
        Ok(Some(Arg::Long(name))) => Word::Option(format!("--{name}")),
        Ok(Some(Arg::Short(letter))) => Word::Option(format!("-{letter}")),
        Ok(Some(Arg::Value(word))) => Word::Value(word),
        Err(lexopt::Error::UnexpectedValue { option, value }) => {
            return fail(format!("{option} takes no value, got {value:?}"));
        }
        Err(other) => return fail(other.to_string()),
    };
    Ok(Some(word))
}

pub(super) fn is_help(option: &str) -> bool {
    matches!(option, "-h" | "--help")
}

pub(super) fn unknown<T>(option: &str, hint: &str) -> Result<T, Unusable> {
    fail(format!("{option} is not an option; see {hint}"))
}

pub(super) fn fail<T>(why: impl Into<String>) -> Result<T, Unusable> {
    Err(Unusable(why.into()))
}
