//! `[api]` and `[metrics]`: where others reach the daemon.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use grpc_api::{Listener, Tls, bind_unix};

use crate::gate::who_listens;

use super::reader::{Reader, Wrong};
use super::tree::Node;
use super::values::{self, Parsed};

/// Where the API is reached if the file does not say.
const API_DEFAULT: &str = "/run/windrose/api.sock";
/// Where the state is if the file does not say.
const STATE_DEFAULT: &str = "/var/lib/windrose";
/// `sun_path`, less the zero octet.
const SOCKET_PATH_MAX: usize = 107;

/// `[api]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Api {
    /// `listen`.
    pub(crate) listen: Vec<ApiAddress>,
    /// `[api.tls]`, for all TCP addresses.
    pub(crate) tls: Option<ApiTls>,
    /// `birdc`: where `birdc` is answered, if it is.
    pub(crate) birdc: Option<PathBuf>,
    /// `state-dir`: where what the API did is kept over a restart, if that is asked for.
    pub(crate) state_dir: PathBuf,
}

/// An item of `listen`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ApiAddress {
    /// `unix:PATH`.
    Unix(PathBuf),
    /// `tcp://ADDRESS:PORT`.
    Tcp(SocketAddr),
}

/// Files in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ApiTls {
    /// Our certificate.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Clients must show a certificate that one of these signed.
    pub(crate) client_ca: Option<PathBuf>,
}

impl fmt::Display for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(socket) => write!(f, "tcp://{socket}"),
        }
    }
}

impl Api {
    /// Binds all of `listen`.
    ///
    /// # Errors
    /// What cannot be read or bound, by name.
    pub(crate) fn bind(&self) -> io::Result<Vec<Listener>> {
        let tls = self.tls.as_ref().map(ApiTls::read).transpose()?;
        let bind = |address: &ApiAddress| {
            let bound = match address {
                ApiAddress::Unix(path) => bind_unix(path).map(Listener::Unix),
                ApiAddress::Tcp(socket) => {
                    TcpListener::bind(socket).map(|listener| Listener::Tcp(listener, tls.clone()))
                }
            };
            bound.map_err(|error| {
                named(
                    &error,
                    &format!("the API at {address}{}", held_by(address, &error)),
                )
            })
        };
        self.listen.iter().map(bind).collect()
    }
}

impl ApiTls {
    fn read(&self) -> io::Result<Tls> {
        let file = |path: &Path| {
            std::fs::read(path).map_err(|error| named(&error, &path.display().to_string()))
        };
        let client_ca = self.client_ca.as_deref().map(file).transpose()?;
        Ok(Tls {
            cert: file(&self.cert)?,
            key: file(&self.key)?,
            client_ca,
        })
    }
}

/// Who has the port, if that is what is wrong.
fn held_by(address: &ApiAddress, error: &io::Error) -> String {
    let holder = match address {
        ApiAddress::Tcp(socket) if error.kind() == io::ErrorKind::AddrInUse => who_listens(*socket),
        ApiAddress::Tcp(_) | ApiAddress::Unix(_) => None,
    };
    holder
        .map(|who| format!(", which {who} has"))
        .unwrap_or_default()
}

fn named(error: &io::Error, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Reads `[api]`.
pub(super) fn api(root: &Reader<'_>) -> Api {
    let default = vec![ApiAddress::Unix(API_DEFAULT.into())];
    let Some(reader) = root.table("api") else {
        return Api {
            listen: default,
            tls: None,
            birdc: None,
            state_dir: STATE_DEFAULT.into(),
        };
    };
    let listen = reader.list("listen", address).unwrap_or(default);
    let tls = reader.table("tls").and_then(|table| {
        let file = |key, instead: &str| table.require(key, instead, readable);
        let cert = file("cert", "write `cert = \"/etc/windrose/api.crt\"`");
        let key = file("key", "write `key = \"/etc/windrose/api.key\"`");
        let client_ca = table.read("client-ca", readable);
        table.finish();
        Some(ApiTls {
            cert: cert?,
            key: key?,
            client_ca,
        })
    });
    let birdc = reader.read("birdc", socket_path);
    let state_dir = reader.read("state-dir", directory);
    reader.finish();
    let api = Api {
        listen,
        tls,
        birdc,
        state_dir: state_dir.unwrap_or_else(|| STATE_DEFAULT.into()),
    };
    check(&reader, &api);
    api
}

fn check(reader: &Reader<'_>, api: &Api) {
    let open = api.listen.iter().find(|address| match address {
        ApiAddress::Tcp(socket) => !socket.ip().is_loopback(),
        ApiAddress::Unix(_) => false,
    });
    if let (Some(open), None) = (open, reader.table.get("tls")) {
        let what = format!("whoever reaches {open} can change routes");
        reader.report.warn(
            reader.at("listen"),
            &what,
            "add `[api.tls]` with `cert`, `key` and `client-ca`",
        );
    }
    if let (
        Some(_),
        Some(ApiTls {
            client_ca: None, ..
        }),
    ) = (open, &api.tls)
    {
        let what = "without `client-ca`, whoever reaches the API can change routes";
        reader
            .report
            .warn(reader.at("tls"), what, "add `client-ca`");
    }
    let ours = |address: &ApiAddress| matches!(address, ApiAddress::Unix(path) if api.birdc.as_ref() == Some(path));
    if api.listen.iter().any(ours) {
        let instead = "write a path of its own, as `\"/run/windrose/bird.ctl\"`";
        reader.error("birdc", "the API listens there", instead);
    }
    let twice = |(i, address)| api.listen.iter().take(i).any(|other| other == address);
    if let Some((_, address)) = api.listen.iter().enumerate().find(|pair| twice(*pair)) {
        reader.error(
            "listen",
            &format!("{address} is there twice"),
            "take one of the two out",
        );
    }
}

fn address(node: &Node) -> Parsed<ApiAddress> {
    let instead = "write `\"unix:/run/windrose/api.sock\"` or `\"tcp://127.0.0.1:50051\"`";
    let text = values::text(node)?;
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path, instead).map(ApiAddress::Unix);
    }
    let socket: Option<SocketAddr> = text
        .strip_prefix("tcp://")
        .and_then(|socket| socket.parse().ok());
    match socket {
        Some(socket) if socket.port() != 0 => Ok(ApiAddress::Tcp(socket)),
        Some(_) => Err(Wrong::new(
            "port 0 cannot be listened on",
            "write a port from 1 to 65535",
        )),
        None => Err(Wrong::new(
            format!("`{text}` is nothing the API can listen on"),
            instead,
        )),
    }
}

fn socket_path(node: &Node) -> Parsed<PathBuf> {
    unix(&values::text(node)?, "write `\"/run/windrose/bird.ctl\"`")
}

/// It need not be there yet.
pub(super) fn directory(node: &Node) -> Parsed<PathBuf> {
    let path = PathBuf::from(values::text(node)?);
    let instead = "write an absolute path, as in `\"/var/lib/windrose\"`";
    path.is_absolute()
        .then_some(path)
        .ok_or_else(|| Wrong::new("a directory's path is absolute", instead))
}

fn unix(path: &str, instead: &str) -> Parsed<PathBuf> {
    let good = path.starts_with('/') && path.len() <= SOCKET_PATH_MAX && !path.contains('\0');
    let why = format!("a socket's path is absolute and has at most {SOCKET_PATH_MAX} octets");
    good.then(|| path.into())
        .ok_or_else(|| Wrong::new(why, instead))
}

fn readable(node: &Node) -> Parsed<PathBuf> {
    let path = PathBuf::from(values::text(node)?);
    match std::fs::File::open(&path) {
        Ok(_) => Ok(path),
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            Err(Wrong::new(
                what,
                "write the path of a file that windrosed may read",
            ))
        }
    }
}

/// Reads `[metrics]`.
pub(super) fn metrics(root: &Reader<'_>) -> Option<SocketAddr> {
    let reader = root.table("metrics")?;
    let listen = reader.require(
        "listen",
        "write `listen = \"127.0.0.1:9179\"`, or take `[metrics]` out",
        values::socket,
    );
    reader.finish();
    listen
}
