//! Without descriptors a listener waits, and goes on.

use super::support::shared::{id, loopback};
use super::support::{Node, socket};
use std::net::TcpStream;

/// A process of its own, with few descriptors, runs the test below.
#[test]
fn without_descriptors_a_listener_waits_and_goes_on() {
    let program = std::env::current_exe().unwrap();
    let run = format!(
        "ulimit -n 40 && exec '{}' --ignored --exact descriptors::in_a_process_of_few_descriptors",
        program.display()
    );
    let output = std::process::Command::new("sh").args(["-c", &run]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "run by without_descriptors_a_listener_waits_and_goes_on, which lowers the limit"]
fn in_a_process_of_few_descriptors() {
    let mut node = Node::new(1);
    let address = node.listen(&loopback()).unwrap();
    let _client = TcpStream::connect(socket(&address)).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
        assert!(taken.len() < 1000, "the limit was not lowered");
    }
    node.wait("a failure to accept", |driver| driver.exhausted() > 0);
    let error = node.connect(id(2), &address).unwrap_err();
    assert!(error.contains("this machine can't"), "{error}");
    assert_eq!(node.driver.sockets(), 1, "it listens, and has accepted nobody");
    drop(taken);
    node.wait("the client", |driver| driver.sockets() == 2);
}
