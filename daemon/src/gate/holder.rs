//! Who holds a TCP port, from /proc: so that "port taken" can name the program.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

/// The state LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";

/// `name (pid N)` of a program that listens on the port of `address`, as far as we may look.
pub(crate) fn who_listens(address: SocketAddr) -> Option<String> {
    let inodes: Vec<String> = ["/proc/self/net/tcp", "/proc/self/net/tcp6"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|table| listeners(&table, address.port()))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.map(|entry| entry.path()).find_map(|process| {
        let held = fs::read_dir(process.join("fd")).ok()?.flatten().any(|fd| {
            fs::read_link(fd.path()).is_ok_and(|target| {
                let target = target.to_string_lossy();
                inodes
                    .iter()
                    .any(|inode| *target == format!("socket:[{inode}]"))
            })
        });
        held.then(|| describe(&process)).flatten()
    })
}

/// The inodes of the sockets in a /proc/net/tcp table that listen on `port`.
fn listeners(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    let row = |line: &str| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        (local.ends_with(&suffix) && state == LISTEN).then(|| inode.to_owned())
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn describe(process: &Path) -> Option<String> {
    let name = fs::read_to_string(process.join("comm")).ok()?;
    // Beside the numbers there is `self`, which means us.
    let pid: u32 = process.file_name()?.to_str()?.parse().ok()?;
    Some(format!("{} (pid {pid})", name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that is taken is told with the program that holds it: here, this test.
    #[test]
    fn names_this_very_process() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let who = who_listens(held.local_addr().unwrap()).unwrap();
        assert!(
            who.ends_with(&format!("(pid {})", std::process::id())),
            "{who}"
        );
    }
}
