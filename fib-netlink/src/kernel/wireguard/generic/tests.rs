//! What is sent to the kernel and read from it, octet by octet.

use netlink_packet_core::Emitable as _;

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

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Octets as `include/uapi/linux/wireguard.h` lays them out: `WG_CMD_SET_DEVICE`, the index, one peer with its key, the
/// flag `WGPEER_F_UPDATE_ONLY` alone, and its AllowedIPs, here without flags.
#[cfg(target_endian = "little")]
const GIVE: &str = "980000001d00050000000000000000000101000008000100070000007c0008807800008024000100abababababababababab\
     abababababababababababababababababababababab0800030004000000480009801c000080060001000200000008000200\
     0a650000050003001000000028000080060001000a0000001400020020010db8000000000000000000000000050003003000\
     0000";

/// Likewise, each with `WGALLOWEDIP_F_REMOVE_ME`.
#[cfg(target_endian = "little")]
const TAKE: &str = "a80000001d00050000000000000000000101000008000100070000008c0008808800008024000100abababababababababab\
     abababababababababababababababababababababab08000300040000005800098024000080060001000200000008000200\
     0a6500000500030010000000080004000100000030000080060001000a0000001400020020010db800000000000000000000\
     000005000300300000000800040001000000";

#[cfg(target_endian = "little")]
#[test]
fn changes_are_encoded_as_the_kernel_reads_them() {
    let encoded = |remove| {
        let message = set(&change(remove), 0x1D);
        hex(&octets(message, NLM_F_REQUEST | NLM_F_ACK))
    };
    assert_eq!(encoded(false), GIVE);
    assert_eq!(encoded(true), TAKE);
}

#[test]
fn a_peer_told_in_several_messages_is_one() {
    let peer = |number: u8, nets: &[(&str, u8)]| {
        let nets = nets.iter().map(|(address, length)| {
            let prefix = IpNet::new(address.parse().unwrap(), *length).unwrap();
            allowed_ip(&prefix, false)
        });
        WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey([number; 32]),
            WireguardPeerAttribute::RxBytes(u64::from(number)),
            WireguardPeerAttribute::AllowedIps(nets.collect()),
        ])
    };
    let message = |peers| WireguardMessage {
        cmd: WireguardCmd::GetDevice,
        attributes: vec![WireguardAttribute::Peers(peers)],
    };
    let mut peers = Peers::default();
    peers.add(message(vec![
        peer(1, &[("10.1.0.0", 16)]),
        peer(2, &[("10.2.0.0", 16)]),
    ]));
    peers.add(message(vec![peer(
        2,
        &[("10.3.0.0", 16), ("2001:db8::", 32)],
    )]));
    let shown: Vec<_> = peers
        .list
        .iter()
        .map(|peer| (peer.key.0[0], peer.received, peer.allowed_ips.len()))
        .collect();
    assert_eq!(shown, [(1, 1, 1), (2, 2, 3)]);
}

#[test]
fn what_is_encoded_is_decoded_the_same() {
    let message = set(&change(false), 0x1D);
    let mut octets = vec![0; message.payload.buffer_len()];
    message.payload.emit(&mut octets);
    let header = netlink_packet_generic::GenlHeader { cmd: 1, version: 1 };
    use netlink_packet_core::ParseableParametrized as _;
    let parsed = WireguardMessage::parse_with_param(octets.as_slice(), header).unwrap();
    let mut peers = Peers::default();
    peers.add(parsed);
    assert_eq!(peers.list.len(), 1);
    assert_eq!(peers.list[0].allowed_ips, change(false).prefixes);
}
