//! What README.md shows is what is compiled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[test]
fn the_first_program_of_the_readme_is_the_example() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let (_, from_program) = readme.split_once("```rust\n").expect("README.md shows a program");
    let (program, _) = from_program.split_once("```").unwrap();
    let example = include_str!("../examples/echo.rs");
    let (_, code) = example.split_once("\n\n").expect("a comment, an empty line, the code");
    assert_eq!(program, code);
    assert!(code.lines().count() < 30);
}
