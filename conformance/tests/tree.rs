//! What holds for the tree as a whole: short files, no unsafe code, every fuzz target with its corpus.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Most lines of a source file. A file that needs more has more than one concern.
const MAX_LINES: usize = 620;

/// Files that may be longer, each with its reason.
const LONG: [(&str, &str); 0] = [];

/// Where unsafe code may stand, each with its reason.
const UNSAFE: [(&str, &str); 2] = [
    ("bench/src/alloc.rs", "counts allocations: a global allocator"),
    ("guard/src/lib.rs", "a program without std brings its allocator"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// All Rust files of the project, with their paths from the root.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // Built things, fetched things, and git's.
            if name == "target" || name == "node_modules" || name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if name.ends_with(".rs") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    found.sort();
    let relative = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    found.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

fn table(path: &Path) -> Table {
    fs::read_to_string(path).unwrap().parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of what lies in a folder, without hidden files.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn every_fuzz_target_is_declared_and_has_a_corpus() {
    let fuzz = root().join("fuzz");
    let manifest = table(&fuzz.join("Cargo.toml"));
    let bins = manifest.get("bin").and_then(Value::as_array).expect("fuzz/Cargo.toml has [[bin]]");
    let mut declared: Vec<String> = bins.iter().map(|bin| bin["name"].as_str().unwrap().to_owned()).collect();
    declared.sort();
    for bin in bins {
        let (name, path) = (bin["name"].as_str().unwrap(), bin["path"].as_str().unwrap());
        assert_eq!(path, format!("fuzz_targets/{name}.rs"), "the [[bin]] {name} of fuzz/Cargo.toml");
    }
    let files = names(&fuzz.join("fuzz_targets"));
    let targets: Vec<String> = files.iter().filter_map(|name| name.strip_suffix(".rs")).map(str::to_owned).collect();
    assert_eq!(declared, targets, "left: the [[bin]]s of fuzz/Cargo.toml, right: the files of fuzz/fuzz_targets");
    assert_eq!(names(&fuzz.join("corpus")), targets, "left: the folders of fuzz/corpus, right: the targets");
    for name in targets {
        assert!(!names(&fuzz.join("corpus").join(&name)).is_empty(), "fuzz/corpus/{name} is empty");
    }
}

#[test]
fn every_source_file_is_short() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        let excused = LONG.iter().any(|(long, _)| *long == path);
        assert!(lines <= MAX_LINES || excused, "{path} has {lines} lines, more than {MAX_LINES}: split it by concern");
        assert!(lines > MAX_LINES || !excused, "{path} has {lines} lines: it needs no exception any more");
    }
}

/// Whether unsafe code stands here: the keyword, and what may follow it. Words in comments don't count.
fn is_unsafe(text: &str) -> bool {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "unsafe").skip(1);
        words
            .next()
            .is_some_and(|next| ["{", "fn", "impl", "extern", "trait"].iter().any(|allowed| next.starts_with(allowed)))
    })
}

#[test]
fn unsafe_code_stands_only_where_it_may() {
    for (path, text) in sources() {
        let allowed = UNSAFE.iter().any(|(place, _)| *place == path);
        assert_eq!(is_unsafe(&text), allowed, "{path}: unsafe code, left: found, right: allowed");
    }
}

#[test]
fn unsafe_code_is_told_from_words() {
    let block = ["un", "safe { x }"].concat();
    let function = ["pub un", "safe fn x()"].concat();
    assert!(is_unsafe(&block) && is_unsafe(&function));
    assert!(!is_unsafe("// unsafe { x }") && !is_unsafe("unsafe_code = forbid") && !is_unsafe("an unsafe place"));
}

#[test]
fn every_crate_of_the_workspace_takes_its_lints() {
    let root = root();
    let workspace = table(&root.join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let manifest = table(&root.join(member).join("Cargo.toml"));
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
        assert_eq!(inherits, Some(true), "{member}/Cargo.toml: [lints] workspace = true");
    }
}
