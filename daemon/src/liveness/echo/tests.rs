//! Echo on the loopback device. What needs a privilege that is not there is said, and what needs none is tried.

use std::time::{Duration, Instant};

use super::*;

fn path(remote: &str, local: Option<&str>) -> LinkPath {
    LinkPath {
        remote: remote.parse().unwrap(),
        local: local.map(|local| local.parse().unwrap()),
        interface: Some("lo".to_owned()),
    }
}

/// A request with that identifier, and as payload that.
fn request(ipv4: bool, identifier: u16, payload: &[u8]) -> Vec<u8> {
    let kind = if ipv4 { 8 } else { 128 };
    let [high, low] = identifier.to_be_bytes();
    let mut packet = vec![kind, 0, 0, 0, high, low, 0, 1];
    packet.extend(payload);
    if ipv4 {
        let words = packet.chunks(2);
        let sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// What comes within that time.
fn wait(socket: &mut EchoSocket, time: Duration) -> Option<Vec<u8>> {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(message) = socket.receive() {
            return Some(message.to_vec());
        }
        std::thread::yield_now();
    }
    None
}

/// Both kinds, in both families, from an address of ours; and nothing that is a reply to another identifier.
#[test]
fn requests_come_back_as_replies_and_those_of_others_are_not_heard() {
    let mut opened = 0;
    for kind in [Type::DGRAM, Type::RAW] {
        for (remote, local) in [("127.0.0.1", Some("127.0.0.2")), ("::1", None)] {
            let ipv4 = local.is_some();
            let identifier = (kind == Type::RAW).then_some(0x1234);
            let path = path(remote, local);
            let socket = EchoSocket::of_kind(&path, kind, identifier);
            let Ok(mut socket) = socket.inspect_err(|error| {
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                println!("{kind:?} {remote}: {error}");
            }) else {
                continue;
            };
            opened += 1;
            let mine = request(ipv4, 0x1234, b"mine");
            if identifier.is_some() {
                socket.send(&request(ipv4, 0x4321, b"theirs")).unwrap();
                assert_eq!(wait(&mut socket, Duration::from_millis(50)), None);
            }
            socket.send(&mine).unwrap();
            let reply = wait(&mut socket, Duration::from_secs(1)).unwrap();
            assert_eq!(reply[0], if ipv4 { 0 } else { 129 });
            assert_eq!(&reply[8..], b"mine");
            assert!(identifier.is_none() || reply[4..6] == [0x12, 0x34]);
            // Not even our own requests, which the loopback device brings, nor anything else.
            assert_eq!(wait(&mut socket, Duration::from_millis(20)), None);
        }
    }
    let open = EchoSocket::open(&path("127.0.0.1", None), 7);
    match open {
        Ok(_) => assert!(opened > 0),
        Err(error) => assert_eq!((opened, error.kind()), (0, io::ErrorKind::PermissionDenied)),
    }
}
