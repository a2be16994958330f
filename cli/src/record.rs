//! `--record`: what the node's host is told, written to a file as it happens.
//!
//! ```text
//!  Node::recorder --bytes, ten times a second--> file       the last ones once the node is shut down
//!                 '--- the file can't be written: the recording is given up, the node goes on
//! ```

use crate::node;
use crate::output::note;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tidewire_host::record::Recorder;
use tidewire_tokio::{Node, NodeConfig};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Between two looks. The recorder's buffer holds far more than what happens meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// A file that a recording goes to.
pub(crate) struct Recording {
    path: PathBuf,
    file: File,
}

/// A recording under way: [`close`](Running::close) it, or its end is missing.
pub(crate) struct Running {
    node: Node,
    task: Option<(JoinHandle<()>, Recording)>,
}

impl Recording {
    /// Makes the file, and has the node record; without a path it doesn't, whatever numbers a configuration file gave.
    ///
    /// # Errors
    /// The file can't be made.
    pub(crate) fn begin(path: Option<&Path>, config: &mut NodeConfig) -> Result<Option<Recording>, String> {
        let Some(path) = path else {
            config.record = None;
            return Ok(None);
        };
        let file = File::create(path).map_err(|error| format!("--record {}: {error}", path.display()))?;
        config.record.get_or_insert_default();
        Ok(Some(Recording { path: path.to_owned(), file }))
    }

    /// Writes what the node records from here on.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn run(recording: Option<Recording>, node: &Node) -> Result<Running, String> {
        let node = node.clone();
        let Some(recording) = recording else { return Ok(Running { node, task: None }) };
        let failed = |error| format!("--record {}: {error}", recording.path.display());
        let mut writer = Recording { path: recording.path.clone(), file: recording.file.try_clone().map_err(failed)? };
        let recorded = node.clone();
        let task = tokio::spawn(async move {
            while writer.write(&recorded) {
                sleep(PAUSE).await;
            }
        });
        Ok(Running { node, task: Some((task, recording)) })
    }

    /// Writes what waits; whether there is more to come.
    fn write(&mut self, node: &Node) -> bool {
        let taken = node.recorder(|recorder| (recorder.bytes().split(), recorder.stopped()));
        let Some((bytes, stopped)) = taken else { return false };
        if let Err(error) = self.file.write_all(&bytes) {
            node.recorder(Recorder::stop);
            note(&format!("--record {}: {error}; the recording ends here", self.path.display()));
            return false;
        }
        if let Some(why) = stopped {
            note(&format!("--record {}: the recording ends here: {why}", self.path.display()));
        }
        stopped.is_none()
    }
}

impl Running {
    /// Shuts the node down, and writes the end of the recording.
    pub(crate) async fn close(self) {
        node::close(&self.node).await;
        if let Some((task, mut recording)) = self.task {
            task.abort();
            // It was aborted: that is the error. Between two writes, for they don't wait.
            let _ = task.await;
            self.node.recorder(Recorder::finish);
            recording.write(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_gives_the_numbers_but_only_a_path_makes_a_recording() {
        let mut config = NodeConfig::default();
        config.record.get_or_insert_default().max_bytes = 5000;
        let path = std::env::temp_dir().join(format!("tidewire-record-{}", std::process::id()));
        let recording = Recording::begin(Some(&path), &mut config).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(recording.is_some());
        assert_eq!(config.record.as_ref().map(|record| record.max_bytes), Some(5000));

        assert!(Recording::begin(None, &mut config).unwrap().is_none());
        assert_eq!(config.record, None);
    }
}
