//! The layout of linux/tcp.h, and this machine's kernel, whether it has TCP-AO or not.

use std::mem::{align_of, offset_of};
use std::time::Duration;

use speaker::event::{Auth, Gate, ListenKey};

use super::*;
use crate::gate::{connect, listen, set_listen_keys};

fn key(secret: &str) -> TcpAo {
    TcpAo {
        key: Secret(secret.into()),
        send_id: 7,
        receive_id: 9,
        algorithm: AoAlgorithm::HmacSha1,
    }
}

#[test]
fn the_layout_is_that_of_the_kernel() {
    assert_eq!((size_of::<Add>(), align_of::<Add>()), (288, 8));
    assert_eq!((size_of::<Delete>(), align_of::<Delete>()), (144, 8));
    let of_add = [
        offset_of!(Add, algorithm),
        offset_of!(Add, interface),
        offset_of!(Add, flags),
        offset_of!(Add, prefix_len),
        offset_of!(Add, send_id),
        offset_of!(Add, receive_id),
        offset_of!(Add, mac_len),
        offset_of!(Add, key_flags),
        offset_of!(Add, key_len),
        offset_of!(Add, key),
    ];
    assert_eq!(of_add, [128, 192, 196, 202, 203, 204, 205, 206, 207, 208]);
    let of_delete = [
        offset_of!(Delete, interface),
        offset_of!(Delete, flags),
        offset_of!(Delete, prefix_len),
        offset_of!(Delete, send_id),
        offset_of!(Delete, receive_id),
        offset_of!(Delete, current),
    ];
    assert_eq!(of_delete, [128, 132, 138, 139, 140, 141]);
}

#[test]
fn a_key_is_written_as_the_kernel_reads_it() {
    let range: IpNet = "192.0.2.0/24".parse().unwrap();
    let cmac = TcpAo {
        algorithm: AoAlgorithm::Aes128Cmac,
        ..key("compass")
    };
    let add = add(range, &cmac).unwrap();
    assert_eq!(&add.algorithm[..13], b"cmac(aes128)\0");
    assert_eq!((add.prefix_len, add.send_id, add.receive_id), (24, 7, 9));
    assert_eq!((add.mac_len, add.key_len), (12, 7));
    assert_eq!(&add.key[..8], b"compass\0");
    assert_eq!(&add.address[4..8], [192, 0, 2, 0]);
    let long = key(&"x".repeat(KEY_MAX + 1));
    assert!(super::add(range, &long).is_err());
}

/// Where the kernel has it, only the right key connects; where not, the probe and every key say so.
#[test]
fn keys_are_the_kernel_s_business() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(connect_with_keys());
}

async fn connect_with_keys() {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let keys = [ListenKey {
        remote: "127.0.0.0/8".parse().unwrap(),
        interface: None,
        key: Auth::Ao(key("right")),
    }];
    let to = |ao: Option<TcpAo>| async move {
        let gate = Gate {
            ao,
            ..Gate::default()
        };
        let connecting = connect(address, None, &gate);
        let connected = tokio::time::timeout(Duration::from_millis(400), connecting).await;
        connected.is_ok_and(|result| result.is_ok())
    };
    let other_way = |secret| TcpAo {
        send_id: 9,
        receive_id: 7,
        ..key(secret)
    };
    if let Some(refusal) = ao_refusal() {
        assert_eq!(refusal.raw_os_error(), Some(libc::ENOPROTOOPT));
        assert!(set_listen_keys(&listener, &[], &keys).is_err());
        assert!(!to(Some(other_way("right"))).await);
        return;
    }
    set_listen_keys(&listener, &[], &keys).unwrap();
    assert!(to(Some(other_way("right"))).await);
    assert!(!to(Some(other_way("wrong"))).await);
    assert!(!to(None).await);
    set_listen_keys(&listener, &keys, &[]).unwrap();
    assert!(to(None).await);
}
