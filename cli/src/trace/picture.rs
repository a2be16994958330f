//! A replayed recording as rows and columns: what is drawn, before it is known on what.

use super::words::{Kind, Whom, Words, flat, place, short};
use serde::Serialize;
use std::collections::BTreeMap;
use tidewire_core::PeerId;
use tidewire_host::link::Report;
use tidewire_host::record::{Ending, Replay, Step, What};
use tidewire_host::{Action, ConnectionId, DialId, Input};

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(crate) step: u64,
    pub(crate) at_ns: u64,
    pub(crate) kind: Kind,
    /// The peer's column. `None`: it is about nobody, or us.
    pub(crate) column: Option<usize>,
    pub(crate) label: String,
    pub(crate) detail: String,
    /// The whole of it, as the machine prints it.
    pub(crate) full: String,
}

/// A peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    /// What stands over it.
    pub(crate) name: String,
    /// Its id, or the address of one whose id was never proven.
    pub(crate) id: String,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Picture {
    pub(crate) us: String,
    pub(crate) version: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    pub(crate) steps: u64,
    /// The first step at which the host did not do what it did then.
    pub(crate) differs: Option<u64>,
    /// How the recording ends, in words.
    pub(crate) ending: String,
    /// It could be read to its end, or to where it was cut.
    #[serde(skip)]
    pub(crate) whole: bool,
}

/// Whom connections and dials lead to, while the recording runs.
#[derive(Default)]
struct Names {
    columns: Vec<Column>,
    by_id: BTreeMap<String, usize>,
    /// Connections, by the number of their step: ids come again.
    connections: BTreeMap<ConnectionId, usize>,
    dials: BTreeMap<DialId, usize>,
    /// Columns of connections of which it was not known yet who it is, and what they turned out to be.
    became: BTreeMap<usize, usize>,
}

impl Picture {
    /// Runs the recording.
    pub(crate) fn of(mut replay: Replay) -> Picture {
        let us = replay.header().local;
        let version = replay.header().version.to_string();
        let (mut names, mut rows, mut differs, mut steps) = (Names::default(), Vec::new(), None, 0);
        for step in replay.by_ref() {
            steps += 1;
            if differs.is_none() && !step.identical() && step.verdict != tidewire_host::record::Verdict::Unknown {
                differs = Some(step.number);
            }
            names.learn(&step);
            rows_of(&step, &mut names, &mut rows);
        }
        let ending = replay.ending();
        let columns = names.settle(&mut rows);
        Picture {
            us: us.to_string(),
            version,
            columns,
            rows,
            steps,
            differs,
            ending: ending.map_or(String::new(), |ending| ending.to_string()),
            whole: !matches!(ending, Some(Ending::Damaged { .. } | Ending::NotUnderstood { .. })),
        }
    }

    /// Whether the host did what it did then.
    pub(crate) fn good(&self) -> bool {
        self.whole && self.differs.is_none()
    }
}

fn rows_of(step: &Step, names: &mut Names, rows: &mut Vec<Row>) {
    let mut put = |words: Words, full: String| {
        let column = names.column(words.whom);
        let (label, detail) = (flat(&words.label), flat(&words.detail));
        rows.push(Row {
            step: step.number,
            at_ns: step.at.as_nanos(),
            kind: words.kind,
            column,
            label,
            detail,
            full: flat(&full),
        });
    };
    match &step.what {
        What::Input(input) => put(Words::of_input(input), format!("{input:?}")),
        // A timer of which nothing comes is not worth a line.
        _ if step.actions.is_empty() => {}
        _ => put(Words::timer(), String::new()),
    }
    if let Some(misuse) = &step.misuse {
        let (label, detail) = ("misuse".into(), misuse.to_string());
        put(Words { kind: Kind::Event, whom: Whom::Nobody, label, detail }, format!("{misuse:?}"));
    }
    for action in &step.actions {
        put(Words::of_action(action), format!("{action:?}"));
    }
}

impl Names {
    /// Before its rows are made.
    fn learn(&mut self, step: &Step) {
        if let What::Input(input) = &step.what {
            match input {
                // Through a relay it is known at once who it says that it is.
                Input::Incoming { connection, remote, over: Some(_), .. } => {
                    if let Some(peer) = remote.peer_id() {
                        let column = self.peer(&peer);
                        self.connections.insert(*connection, column);
                    }
                }
                Input::Incoming { connection, remote, .. } => {
                    // Another one from there, later, is another column until it is known whose it is.
                    let column = self.add(format!("{remote} as {connection} in step {}", step.number), place(remote));
                    self.connections.insert(*connection, column);
                }
                Input::Dialed { dial, connection, .. } => {
                    if let Some(column) = self.dials.get(dial) {
                        self.connections.insert(*connection, *column);
                    }
                }
                Input::Report { connection, report: Report::Established { peer, .. } } => {
                    let column = self.peer(peer);
                    if let Some(before) = self.connections.insert(*connection, column)
                        && before != column
                        && self.columns.get(before).is_some_and(|column| column.name.contains(':'))
                    {
                        self.became.insert(before, column);
                    }
                }
                _ => {}
            }
        }
        for action in &step.actions {
            let dialed = match action {
                Action::Dial { dial, peer, .. } => Some((*dial, *peer)),
                Action::Carry(carry) => carry.dial,
                _ => None,
            };
            if let Some((dial, peer)) = dialed {
                let column = self.peer(&peer);
                self.dials.insert(dial, column);
            }
        }
    }

    fn column(&mut self, whom: Whom) -> Option<usize> {
        match whom {
            Whom::Nobody => None,
            Whom::Peer(peer) => Some(self.peer(&peer)),
            Whom::Connection(connection) => self.connections.get(&connection).copied(),
            Whom::Dial(dial) => self.dials.get(&dial).copied(),
        }
    }

    fn peer(&mut self, peer: &PeerId) -> usize {
        self.add(peer.to_string(), short(peer))
    }

    fn add(&mut self, id: String, name: String) -> usize {
        *self.by_id.entry(id.clone()).or_insert_with(|| {
            self.columns.push(Column { name, id });
            self.columns.len() - 1
        })
    }

    /// Puts what came from a peer before it was known into its column, and leaves out columns in which nothing is.
    fn settle(self, rows: &mut [Row]) -> Vec<Column> {
        for row in rows.iter_mut() {
            row.column = row.column.map(|column| self.became.get(&column).copied().unwrap_or(column));
        }
        let mut places = BTreeMap::new();
        let mut columns = Vec::new();
        for row in rows.iter_mut() {
            row.column = row.column.and_then(|column| {
                let name = self.columns.get(column)?;
                Some(*places.entry(column).or_insert_with(|| {
                    columns.push(name.clone());
                    columns.len() - 1
                }))
            });
        }
        columns
    }
}
