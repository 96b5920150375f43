//! windrosed, the daemon: sockets, tasks, files, the clock.

fn main() {}
