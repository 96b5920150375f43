//! Addresses of the API, and what becomes of its errors.

use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::*;

/// A daemon with these services, and the way to it. It ends with the test.
pub(crate) async fn serve(services: Routes) -> (Channel, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("api.sock");
    let listener = UnixListenerStream::new(UnixListener::bind(&path).unwrap());
    let server = Server::builder().add_routes(services);
    tokio::spawn(server.serve_with_incoming(listener));
    let address = Address::Unix(path.to_str().unwrap().into());
    (connect(&address, &Tls::default()).await.unwrap(), dir)
}

#[test]
fn an_address_is_a_socket_a_path_or_tcp() {
    let unix = |path: &str| Address::Unix(path.into());
    assert_eq!("unix:/run/x.sock".parse(), Ok(unix("/run/x.sock")));
    assert_eq!("unix:///run/x.sock".parse(), Ok(unix("/run/x.sock")));
    assert_eq!("/run/x.sock".parse(), Ok(unix("/run/x.sock")));
    assert_eq!("./x.sock".parse(), Ok(unix("./x.sock")));
    assert_eq!(
        "tcp://[::1]:50051".parse(),
        Ok(Address::Tcp("[::1]:50051".into()))
    );
    for wrong in [
        "",
        "x.sock",
        "tcp://localhost",
        "tcp://:1",
        "tcp://host:port",
        "http://host:1",
    ] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn nobody_there_is_exit_code_two_and_says_why() {
    let address = Address::Unix("/nowhere/api.sock".into());
    let failure = connect(&address, &Tls::default()).await.unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    let text = failure.to_string();
    assert!(
        text.starts_with("cannot reach windrosed at unix:/nowhere/api.sock: No such file"),
        "{text}"
    );
}

#[test]
fn what_the_daemon_refuses_is_exit_code_one_and_its_words_alone() {
    let failure = Failure::from(tonic::Status::invalid_argument("prefix: no"));
    assert_eq!(
        (failure.exit_code(), failure.to_string().as_str()),
        (1, "prefix: no")
    );
    assert_eq!(
        Failure::from(tonic::Status::not_found("peer")).exit_code(),
        1
    );
    assert_eq!(
        Failure::from(tonic::Status::unavailable("ending")).exit_code(),
        2
    );
}

#[test]
fn half_a_client_certificate_is_refused() {
    let tls = Tls {
        cert: Some("/dev/null".into()),
        ..Tls::default()
    };
    let address = Address::Tcp("127.0.0.1:1".into());
    assert_eq!(
        endpoint(&address, &tls).unwrap_err().to_string(),
        "--tls-cert needs --tls-key"
    );
}
