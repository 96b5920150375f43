//! The text protocol of WireGuard's userspace implementations: a request and an answer a connection.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use crate::wireguard::{Change, Peer, PeerKey};

/// Whoever takes longer counts as not there.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// A longer answer is none: half a million prefixes.
const OCTETS_MAX: u64 = 16 << 20;

pub(super) fn read(socket: &Path) -> io::Result<Vec<Peer>> {
    parse(&ask(socket, "get=1\n\n")?)
}

pub(super) fn change(socket: &Path, change: &Change) -> io::Result<()> {
    parse(&ask(socket, &text(change))?).map(drop)
}

fn ask(socket: &Path, request: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    stream.write_all(request.as_bytes())?;
    // Who answers would wait for another request.
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(OCTETS_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

/// A peer that is there gets prefixes, or loses them; all it has else stays.
fn text(change: &Change) -> String {
    let mut text = String::from("set=1\npublic_key=");
    for octet in change.peer.0 {
        let _ = write!(text, "{octet:02x}");
    }
    text.push_str("\nupdate_only=true\n");
    let sign = if change.remove { "-" } else { "" };
    for prefix in &change.prefixes {
        let _ = writeln!(text, "allowed_ip={sign}{prefix}");
    }
    text.push('\n');
    text
}

/// The peers in an answer. What is not known is passed over; that nothing is understood is an error.
fn parse(answer: &str) -> io::Result<Vec<Peer>> {
    let mut peers: Vec<Peer> = Vec::new();
    for line in answer.lines() {
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        if key == "errno" {
            return match value.parse::<i32>() {
                Ok(0) => Ok(peers),
                Ok(errno) => Err(io::Error::from_raw_os_error(errno.saturating_abs())),
                Err(_) => Err(unreadable()),
            };
        }
        if key == "public_key" {
            peers.push(Peer::new(parse_key(value).ok_or_else(unreadable)?));
        } else if let Some(peer) = peers.last_mut() {
            field(peer, key, value);
        }
    }
    Err(unreadable())
}

fn field(peer: &mut Peer, key: &str, value: &str) {
    match key {
        "endpoint" => peer.endpoint = value.parse::<SocketAddr>().ok(),
        "allowed_ip" => peer.allowed_ips.extend(parse_prefix(value)),
        "rx_bytes" => peer.received = value.parse().unwrap_or_default(),
        "tx_bytes" => peer.sent = value.parse().unwrap_or_default(),
        "last_handshake_time_sec" => {
            let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
            peer.last_handshake = seconds.map(Duration::from_secs);
        }
        _ => {}
    }
}

fn parse_key(hex: &str) -> Option<PeerKey> {
    let mut key = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (place, octet) in key.iter_mut().enumerate() {
        let digits = hex.get(2 * place..2 * place + 2)?;
        *octet = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(PeerKey(key))
}

fn parse_prefix(text: &str) -> Option<IpNet> {
    let alone = || Some(IpNet::from(text.parse::<IpAddr>().ok()?));
    text.parse().ok().or_else(alone)
}

fn unreadable() -> io::Error {
    io::Error::from_raw_os_error(libc::EPROTO)
}

#[cfg(test)]
mod tests;
