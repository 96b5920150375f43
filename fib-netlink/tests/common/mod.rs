//! What tests with a real kernel share.

use std::process::Command;
use std::time::{Duration, Instant};

use fib_netlink::{Input, NextHop, NextHops, Wanted};
use ipnet::IpNet;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;

/// Between two looks at what the kernel told.
const PAUSE: Duration = Duration::from_micros(200);

/// Runs a program to its end, which must be a good one: what it said.
pub(crate) fn run(program: &str, arguments: &str) -> String {
    let mut command = Command::new(program);
    let output = command.args(arguments.split_whitespace()).output();
    let output = output.expect(program);
    assert!(
        output.status.success(),
        "{program} {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn ip(arguments: &str) -> String {
    run("ip", arguments)
}

pub(crate) fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

pub(crate) fn hop(address: &str) -> NextHop {
    NextHop {
        address: address.parse().unwrap(),
        interface: None,
        direct: false,
    }
}

/// Through these next hops, with their weights.
pub(crate) fn via(hops: &[(&str, u8)]) -> Option<Wanted> {
    let hops: NextHops = hops
        .iter()
        .map(|(address, weight)| (hop(address), *weight))
        .collect();
    Some(Wanted::Unicast(hops))
}

/// What the netlink thread told. `None`, after a pause: nothing.
pub(crate) fn told(inputs: &mut Receiver<Input>) -> Option<Input> {
    match inputs.try_recv() {
        Ok(input) => Some(input),
        Err(TryRecvError::Empty) => {
            std::thread::sleep(PAUSE);
            None
        }
        Err(TryRecvError::Disconnected) => panic!("the netlink thread ended"),
    }
}

/// The same, or that the planner's `deadline` has come.
pub(crate) fn next(inputs: &mut Receiver<Input>, deadline: Option<Instant>) -> Option<Input> {
    match inputs.is_empty() && deadline.is_some_and(|at| at <= Instant::now()) {
        true => Some(Input::Timeout),
        false => told(inputs),
    }
}
