//! The text protocol, and a socket that speaks it.

use std::io::BufRead as _;
use std::os::unix::net::UnixListener;

use super::*;

fn change(remove: bool) -> Change {
    Change {
        interface: 7,
        device: "wg0".to_owned(),
        peer: PeerKey([0xAB; 32]),
        prefixes: vec![
            "10.101.0.0/16".parse().unwrap(),
            "2001:db8::/48".parse().unwrap(),
        ],
        remove,
    }
}

#[test]
fn a_change_adds_to_the_list_of_a_peer_that_is_there_and_replaces_nothing() {
    let key = "ab".repeat(32);
    assert_eq!(
        text(&change(false)),
        format!(
            "set=1\npublic_key={key}\nupdate_only=true\nallowed_ip=10.101.0.0/16\nallowed_ip=2001:db8::/48\n\n"
        )
    );
    assert!(
        text(&change(true)).ends_with("\nallowed_ip=-10.101.0.0/16\nallowed_ip=-2001:db8::/48\n\n")
    );
}

#[test]
fn peers_are_read_with_what_they_have() {
    let answer = format!(
        "private_key={}\nlisten_port=51820\npublic_key={}\nendpoint=198.18.2.2:51820\n\
         last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=12\nrx_bytes=34\n\
         allowed_ip=10.255.0.2/32\nallowed_ip=fe80::2/128\nprotocol_version=1\npublic_key={}\n\
         last_handshake_time_sec=0\nerrno=0\n\n",
        "11".repeat(32),
        "02".repeat(32),
        "03".repeat(32),
    );
    let peers = parse(&answer).unwrap();
    assert_eq!(peers.len(), 2);
    assert_eq!(peers[0].key, PeerKey([2; 32]));
    assert_eq!(peers[0].endpoint, Some("198.18.2.2:51820".parse().unwrap()));
    assert_eq!(
        peers[0].last_handshake,
        Some(Duration::from_secs(1_700_000_000))
    );
    assert_eq!((peers[0].sent, peers[0].received), (12, 34));
    let nets: Vec<String> = peers[0]
        .allowed_ips
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(nets, ["10.255.0.2/32", "fe80::2/128"]);
    assert_eq!(peers[1], Peer::new(PeerKey([3; 32])));
}

#[test]
fn an_errno_is_an_error_and_so_is_an_answer_that_ends_early() {
    let errno = |answer: &str| parse(answer).unwrap_err().raw_os_error();
    assert_eq!(errno("errno=-22\n\n"), Some(libc::EINVAL));
    assert_eq!(errno("listen_port=1\n"), Some(libc::EPROTO));
    assert_eq!(errno("public_key=zz\nerrno=0\n"), Some(libc::EPROTO));
}

#[test]
fn a_socket_is_asked_once_and_the_answer_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("wg0.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        let mut reader = io::BufReader::new(stream.try_clone().unwrap());
        reader.read_line(&mut request).unwrap();
        stream.write_all(b"errno=0\n\n").unwrap();
        request
    });
    assert_eq!(read(&path).unwrap(), Vec::new());
    assert_eq!(served.join().unwrap(), "get=1\n");
    let missing = read(&dir.path().join("wg1.sock")).unwrap_err();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

proptest::proptest! {
    #[test]
    fn whatever_is_answered_does_no_harm(text in "([a-z_]{0,12}=[0-9a-f:./-]{0,70}\n|\\PC{0,20}){0,10}") {
        let _ = parse(&text);
    }
}
