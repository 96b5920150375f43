//! Unix sockets: their mode, and whose file is replaced.

use std::io::Read;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_socket_is_for_owner_and_group_alone_and_nothing_else_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let _listener = bind_unix(&path).unwrap();
    assert_eq!(mode(&path), 0o660);
    assert_eq!(names(dir.path()), ["api.sock"]);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_missing_directory_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("windrose/api.sock");
    let _listener = bind_unix(&path).unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o750);
}

#[test]
fn a_dead_process_socket_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    drop(bind_unix(&path).unwrap());
    assert!(path.exists(), "a socket's file outlives its process");
    let listener = bind_unix(&path).unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    drop(listener.accept().unwrap());
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_live_process_socket_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let listener = bind_unix(&path).unwrap();
    let error = bind_unix(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!("another process listens on {}", path.display())
    );
    // The probe is in the queue; whoever connects now comes after it.
    drop(listener.accept().unwrap());
    UnixStream::connect(&path).unwrap();
    listener.accept().unwrap();
    assert_eq!(names(dir.path()), ["api.sock"]);
}

#[test]
fn a_file_that_is_no_socket_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "data").unwrap();
    let error = bind_unix(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"data");
}

#[tokio::test]
async fn beyond_the_limit_a_connection_waits_until_another_ends() {
    use futures::{FutureExt, StreamExt};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let listener = Listener::Unix(bind_unix(&path).unwrap());
    let (mut accepted, _) = incoming(listener, Arc::new(Semaphore::new(1))).unwrap();
    let _clients = [
        UnixStream::connect(&path).unwrap(),
        UnixStream::connect(&path).unwrap(),
    ];
    let first = accepted.next().await.unwrap().unwrap();
    assert!(accepted.next().now_or_never().is_none());
    drop(first);
    accepted.next().await.unwrap().unwrap();
}
