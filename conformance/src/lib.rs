//! The rules of the specs beside the tests that show them.
//!
//! Each `*.toml` in this folder is a spec's table: what it asks, in our words, and the tests that show it, or the reason why
//! there is none. The tests of this crate check that the tables are whole and that what they name exists; that the machine
//! crates build without std; and what else holds for the tree as a whole.
