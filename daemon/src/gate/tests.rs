//! TCP MD5 and GTSM against the real kernel, on loopback.

use std::net::Ipv4Addr;

use speaker::config::Secret;

use super::*;

fn gate(key: Option<&str>) -> Gate {
    Gate {
        md5: key.map(|key| Secret(key.into())),
        ..Gate::default()
    }
}

fn listen_key(key: &str) -> ListenKey {
    ListenKey {
        remote: "127.0.0.0/8".parse().unwrap(),
        interface: None,
        key: Auth::Md5(Secret(key.into())),
    }
}

async fn try_connect(to: SocketAddr, gate: &Gate) -> bool {
    tokio::time::timeout(Duration::from_millis(400), connect(to, None, gate))
        .await
        .is_ok_and(|r| r.is_ok())
}

#[tokio::test]
async fn only_the_right_key_connects() {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    set_listen_keys(&listener, &[], &[listen_key("right")]).unwrap();
    assert!(try_connect(address, &gate(Some("right"))).await);
    assert!(!try_connect(address, &gate(Some("wrong"))).await);
    assert!(!try_connect(address, &gate(None)).await);
    set_listen_keys(&listener, &[listen_key("right")], &[]).unwrap();
    assert!(try_connect(address, &gate(None)).await);
}

/// RFC 5082 §3: what comes with a TTL below the least one is dropped.
#[tokio::test]
async fn a_low_ttl_does_not_get_through_gtsm() {
    let listener = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let address = listener.local_addr().unwrap();
    let far = Gate {
        ttl: Some(64),
        ..Gate::default()
    };
    let near = Gate {
        min_ttl: Some(255),
        ttl: Some(255),
        ..Gate::default()
    };
    let stream = connect(address, None, &near).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    admit(&accepted, &far).unwrap();
    accepted.try_write(b"lost").unwrap();
    let mut buffer = [0; 8];
    let read = async {
        stream.readable().await.unwrap();
        stream.try_read(&mut buffer).unwrap()
    };
    assert!(
        tokio::time::timeout(Duration::from_millis(300), read)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_taken_port_is_reported_with_its_holder() {
    let first = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let error = listen(first.local_addr().unwrap()).unwrap_err().to_string();
    assert!(
        error.contains("is taken by") && error.contains("(pid "),
        "{error}"
    );
}
