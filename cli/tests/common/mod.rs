//! Runs the built binary.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Far more than anything here takes, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn tidewire(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn run(words: &[&str]) -> Output {
    tidewire(words).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The report of `dial --json`, and the exit code.
pub fn dial(words: &[&str]) -> (Value, i32) {
    let output = run(&[&["dial", "--json"], words].concat());
    let text = stdout(&output);
    let line = text.trim_end();
    assert!(!line.contains('\n'), "more than one line: {text}");
    let report = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}, {}", stderr(&output)));
    (report, output.status.code().unwrap())
}

/// A `tidewire listen --json` that is killed with the test.
pub struct Listening {
    pub child: Child,
    pub address: String,
    pub lines: mpsc::Receiver<String>,
}

impl Listening {
    pub fn start(words: &[&str]) -> Listening {
        Listening::of(&[&["listen"], words].concat())
    }

    /// Of any command that begins with a line that says where it listens.
    pub fn of(words: &[&str]) -> Listening {
        let (listening, first) = Listening::begin(words, "listening");
        assert!(first["all"].as_array().unwrap().contains(&Value::from(listening.address.clone())));
        listening
    }

    /// A `tidewire reserve --json` that has its reservation; its address is that of its circuit.
    pub fn reserve(words: &[&str]) -> Listening {
        let (listening, first) = Listening::begin(&[&["reserve"], words].concat(), "circuit");
        assert_eq!((&first["reserved"], &first["renewed"]), (&Value::from(true), &Value::from(false)), "{first}");
        assert!(first["all"].as_array().unwrap().contains(&Value::from(listening.address.clone())));
        listening
    }

    /// Started, and its first line that has this key, which is its address.
    fn begin(words: &[&str], key: &str) -> (Listening, Value) {
        let mut child = tidewire(&[words, &["--json"]].concat()).spawn().unwrap();
        let (give, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| give.send(line)));
        let mut listening = Listening { child, address: String::new(), lines };
        let began = Instant::now();
        while let Ok(line) = listening.lines.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
            let line: Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = line[key].as_str() {
                address.clone_into(&mut listening.address);
                return (listening, line);
            }
        }
        let mut error = String::new();
        listening.child.kill().unwrap();
        listening.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        panic!("{words:?} does not say {key}: {error}");
    }

    pub fn peer(&self) -> &str {
        self.address.rsplit_once("/p2p/").unwrap().1
    }

    /// The next line that has this event.
    pub fn event(&self, name: &str) -> Value {
        self.line(name, |line| line["event"] == name)
    }

    /// The next line that is as wanted.
    pub fn line(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no line {what}"));
            let line: Value = serde_json::from_str(&line).unwrap();
            if wanted(&line) {
                return line;
            }
        }
    }

    #[cfg(unix)]
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The exit code, once it has ended by itself.
    pub fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder of the test's own, removed with it.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("tidewire-cli-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.file(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
