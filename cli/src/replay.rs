//! `tidewire replay FILE`: runs a recorded host again, step by step, and says whether it does the same.

use crate::output::{Output, Style, note};
use crate::trace::words::{Words, flat};
use crate::trace::{clock, open};
use serde::Serialize;
use std::path::PathBuf;
use tidewire_host::Input;
use tidewire_host::record::{Ending, Replay, State, Step, Verdict, What};

/// What is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) file: PathBuf,
    /// The first step that is shown. Those before it are run all the same.
    pub(crate) from: u64,
}

/// A step, as a line of `--json`.
#[derive(Debug, Serialize)]
struct Told<'a> {
    step: u64,
    at_ns: u64,
    /// `null`: time passed.
    input: Option<&'a Input>,
    #[serde(skip_serializing_if = "Option::is_none")]
    misuse: Option<String>,
    actions: Vec<String>,
    state: Counts,
    identical: Option<bool>,
}

/// What the host counts behind a step.
#[derive(Debug, Serialize)]
struct Counts {
    connections: u64,
    peers: u32,
    streams: u32,
    openings: u64,
    /// `null`: never.
    deadline_ns: Option<u64>,
}

/// The last line of `--json`.
#[derive(Debug, Serialize)]
struct Summary {
    steps: u64,
    identical: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    differs: Option<u64>,
    ending: String,
}

/// Whether the recording was whole, and the host did what it did then. It ends at the first step that differs.
pub(crate) fn run(args: &Args, output: &Output) -> bool {
    match open(&args.file) {
        Ok(replay) => all(replay, args.from, output, |line| output.line(line)),
        Err(why) => {
            note(&why);
            false
        }
    }
}

fn all(mut replay: Replay, from: u64, output: &Output, mut put: impl FnMut(String)) -> bool {
    if !output.json {
        put(format!("{}, recorded by tidewire-host {}", replay.header().local, flat(&replay.header().version)));
    }
    let (mut steps, mut differs) = (0, None);
    for step in replay.by_ref() {
        steps += 1;
        let bad = matches!(step.verdict, Verdict::Actions { .. } | Verdict::State);
        if bad || step.number >= from {
            show(&step, output, &mut put);
        }
        if bad {
            differs = Some(step.number);
            break;
        }
    }
    let ending = replay.ending();
    let whole = !matches!(ending, Some(Ending::Damaged { .. } | Ending::NotUnderstood { .. }));
    let good = differs.is_none() && whole;
    let ending = ending.map_or_else(|| "not read to its end".into(), |ending| ending.to_string());
    put(match differs {
        _ if output.json => encode(&Summary { steps, identical: good, differs, ending }),
        Some(step) => output.paint(Style::Yellow, &format!("step {step} is not as it was recorded")),
        None => format!("{steps} steps, {}; {ending}", output.paint(Style::Green, "identical")),
    });
    good
}

fn show(step: &Step, output: &Output, put: &mut impl FnMut(String)) {
    if output.json {
        return put(encode(&told(step)));
    }
    let words = match &step.what {
        What::Input(input) => Words::of_input(input),
        _ => Words::timer(),
    };
    let time = output.paint(Style::Dim, &format!("{:>6} {:>12}", step.number, clock(step.at.as_nanos())));
    put(format!("{time}  {}", words.line()));
    let beside = " ".repeat(19);
    if let Some(misuse) = &step.misuse {
        put(format!("{beside}  {}", output.paint(Style::Yellow, &flat(&format!("misuse: {misuse}")))));
    }
    for action in &step.actions {
        put(format!("{beside}  {} {}", output.paint(Style::Cyan, "->"), Words::of_action(action).line()));
    }
    match step.verdict {
        Verdict::Identical => {}
        verdict => {
            put(format!("{beside}  {}", output.paint(Style::Yellow, &verdict.to_string())));
            // Whoever looks for the difference wants all of it.
            put(format!("{beside}  told {}", flat(&format!("{:?}", step.what))));
            for action in &step.actions {
                put(format!("{beside}  did  {}", flat(&format!("{action:?}"))));
            }
        }
    }
    put(output.paint(Style::Dim, &format!("{beside}  {}", state(&step.state))));
}

fn state(state: &State) -> String {
    let Counts { connections, peers, streams, openings, .. } = counts(state);
    let next = if state.deadline.is_never() { "never".into() } else { clock(state.deadline.as_nanos()) };
    format!("connections {connections}, peers {peers}, streams {streams}, openings {openings}, next timer {next}")
}

fn counts(state: &State) -> Counts {
    let limits = &state.manager.limits;
    Counts {
        connections: state.connections,
        peers: state.manager.connected_peers,
        streams: limits.streams_inbound.saturating_add(limits.streams_outbound),
        openings: state.openings,
        deadline_ns: (!state.deadline.is_never()).then(|| state.deadline.as_nanos()),
    }
}

fn encode(object: &impl Serialize) -> String {
    // Our objects have string keys: this can't fail.
    serde_json::to_string(object).unwrap_or_default()
}

fn told(step: &Step) -> Told<'_> {
    Told {
        step: step.number,
        at_ns: step.at.as_nanos(),
        input: match &step.what {
            What::Input(input) => Some(input),
            _ => None,
        },
        misuse: step.misuse.as_ref().map(ToString::to_string),
        actions: step.actions.iter().map(|action| format!("{action:?}")).collect(),
        state: counts(&step.state),
        identical: match step.verdict {
            Verdict::Identical => Some(true),
            Verdict::Unknown => None,
            _ => Some(false),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONVERSATION: &[u8] = include_bytes!("../../host/tests/recordings/conversation.tidewire");
    const TROUBLES: &[u8] = include_bytes!("../../host/tests/recordings/troubles.tidewire");

    fn shown(file: &[u8], from: u64) -> (bool, Vec<String>) {
        let mut lines = Vec::new();
        let mut output = Output::new(true);
        output.json = false;
        let good = all(Replay::new(file).unwrap(), from, &output, |line| lines.push(line));
        (good, lines)
    }

    fn objects(file: &[u8]) -> Vec<serde_json::Value> {
        let mut objects = Vec::new();
        all(Replay::new(file).unwrap(), 0, &Output::new(true), |line| {
            objects.push(serde_json::from_str(&line).unwrap());
        });
        objects
    }

    #[test]
    fn a_good_recording_is_identical_and_says_what_happened() {
        let (good, lines) = shown(CONVERSATION, 0);
        assert!(good);
        assert!(lines.last().unwrap().ends_with("steps, identical; the recording was finished"), "{lines:?}");
        let all = lines.join("\n");
        for what in
            ["-> dial d0: /ip4/11.0.1.1/tcp/4001 from", "pong: 24 ms", "next timer 1.000 s", "we are shutting down"]
        {
            assert!(all.contains(what), "{what} in {all}");
        }
    }

    #[test]
    fn misuse_and_reasons_are_shown() {
        let (good, lines) = shown(TROUBLES, 0);
        assert!(good, "cut is not broken");
        let all = lines.join("\n");
        for what in ["misuse: there is no wish o77", "refuse c3: it is forbidden: a bad day", "its process was killed"]
        {
            assert!(all.contains(what), "{what} in {all}");
        }
    }

    #[test]
    fn steps_before_the_first_wanted_one_are_run_and_not_shown() {
        let (whole, part) = (shown(CONVERSATION, 0).1, shown(CONVERSATION, 10).1);
        assert!(part.len() < whole.len());
        assert!(part[1].starts_with("    10 "), "{}", part[1]);
        assert_eq!(whole.last(), part.last());
    }

    #[test]
    fn a_damaged_recording_is_not_good() {
        let mut file = TROUBLES.to_vec();
        let at = file.len() - 20;
        file[at] ^= 1;
        let (good, lines) = shown(&file, 0);
        assert!(!good);
        assert!(lines.last().unwrap().contains("is damaged"), "{lines:?}");
    }

    #[test]
    fn objects_have_inputs_as_they_were_and_a_summary_at_the_end() {
        let objects = objects(CONVERSATION);
        let (summary, steps) = objects.split_last().unwrap();
        assert_eq!(summary["identical"], true);
        assert_eq!(summary["steps"], steps.len());
        let listen = steps.iter().find(|step| !step["input"]["Listen"].is_null()).unwrap();
        assert_eq!(listen["input"]["Listen"]["address"], "/ip4/11.0.0.1/tcp/4001");
        assert!(steps.iter().any(|step| step["input"].is_null() && step["actions"][0].is_string()));
        assert!(steps.iter().all(|step| step["identical"] == true));
    }
}
