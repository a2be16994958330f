//! What this crate must not bring along.
#![allow(clippy::unwrap_used, clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

use std::process::Command;

#[test]
fn no_async_runtime_is_in_the_dependency_tree() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "tidewire-std", "-e", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains(&"tidewire-host") && names.contains(&"bytes"), "{tree}");
    for runtime in ["tokio", "async-std", "smol", "async-io", "futures-executor", "mio", "polling"] {
        assert!(!names.contains(&runtime), "{runtime} came along:\n{tree}");
    }
}
