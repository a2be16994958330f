//! The machine crates build and link without std: see `guard/Cargo.toml`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;

fn build(features: &[&str]) {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guard/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--manifest-path"])
        .arg(manifest)
        .arg("--target-dir")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("guard"))
        .args(features)
        .output()
        .expect("cargo runs, as it runs this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_machine_crates_need_no_std() {
    build(&[]);
    build(&["--features", "keys"]);
}
