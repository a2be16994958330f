//! What was measured on: figures mean nothing without it.

use std::fmt;
use std::process::Command;

/// The machine, and what compiled the program.
#[derive(Debug)]
pub struct Machine {
    /// The processor's name, as the system gives it.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The compiler.
    pub rustc: String,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        Machine {
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            rustc: rustc().unwrap_or_else(|| "unknown rustc".into()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} cores, {}, {}", self.processor, self.cores, std::env::consts::OS, self.rustc)
    }
}

fn processor() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = info.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name")?;
    // Virtual machines often hide the name; family and model still tell the generation.
    Some(match (field("cpu family"), field("model")) {
        (Some(family), Some(model)) => format!("{name} (family {family}, model {model})"),
        _ => name,
    })
}

/// Cargo runs the program with the compiler's own path in the environment only while it builds, so the one in the path is
/// asked: with `cargo run` it is the same.
fn rustc() -> Option<String> {
    let output = Command::new("rustc").arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    // Without the commit.
    version.split(" (").next().map(|version| version.trim().to_owned())
}
