//! Sockets on the loopback device.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::*;

/// What comes within a second.
fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(1), "nothing came");
        std::thread::yield_now();
    }
}

fn port_of(listener: &Listener) -> u16 {
    let address = listener.socket.local_addr().unwrap();
    address.as_socket().unwrap().port()
}

#[test]
fn where_a_packet_came_from_and_its_ttl_are_told() {
    for (local, ipv4) in [("127.0.0.1", true), ("::1", false)] {
        let local: IpAddr = local.parse().unwrap();
        let mut listener = Listener::open(ipv4, 0).unwrap();
        let port = port_of(&listener);
        let sender = UdpSocket::bind((local, 0)).unwrap();
        let options = socket2::SockRef::from(&sender);
        if ipv4 {
            options.set_ttl_v4(77).unwrap();
        } else {
            options.set_unicast_hops_v6(77).unwrap();
        }
        sender.send_to(&[0; 24], (local, port)).unwrap();
        wait(|| {
            let packet = listener.receive()?;
            assert_eq!(packet.octets, [0; 24]);
            assert_eq!(packet.from, sender.local_addr().unwrap());
            assert_eq!(packet.local, local);
            assert_eq!(packet.ttl, 77);
            let device = gate::interface_name(packet.interface);
            assert_eq!(device.as_deref(), Some("lo"));
            Some(())
        });
        let peer = sender.local_addr().unwrap();
        listener.answer(local, peer, b"answer");
        sender
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        let mut octets = [0; 16];
        let (len, from) = sender.recv_from(&mut octets).unwrap();
        assert_eq!(
            (&octets[..len], from),
            (&b"answer"[..], (local, port).into())
        );
    }
}

#[test]
fn probes_and_their_answers_go_to_and_fro() {
    let reflector = UdpSocket::bind("127.0.0.1:0").unwrap();
    let path = LinkPath {
        remote: "127.0.0.1".parse().unwrap(),
        local: None,
        interface: None,
    };
    let port = reflector.local_addr().unwrap().port();
    let mut socket = ProbeSocket::open(&path, port).unwrap();
    socket.send(b"probe").unwrap();
    let mut octets = [0; 16];
    let (len, from) = reflector.recv_from(&mut octets).unwrap();
    assert_eq!(&octets[..len], b"probe");
    // Somebody else's packet does not come through.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    stranger.send_to(b"noise", from).unwrap();
    reflector.send_to(b"answer", from).unwrap();
    wait(|| {
        let answer = socket.receive()?;
        assert_eq!(answer, b"answer");
        Some(())
    });
}
