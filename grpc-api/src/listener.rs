//! Sockets on which clients connect.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::transport::server::Connected;

/// What the socket's file may be used for: by the owner and the group.
const SOCKET_MODE: u32 = 0o660;
/// Nobody but us looks into the directory in which a socket is made.
const NEST_MODE: u32 = 0o700;
/// The directory of the socket, if it has to be made.
const DIR_MODE: u32 = 0o750;
/// How long nothing is accepted after the kernel gave no connection, as when there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A socket that is bound and listens.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket, as [`bind_unix`] makes it.
    Unix(UnixListener),
    /// A TCP socket, with TLS or without.
    Tcp(std::net::TcpListener, Option<Tls>),
}

/// `[api.tls]`: the files' contents, in PEM.
#[derive(Clone)]
pub struct Tls {
    /// Our certificate, and those between it and the authority's.
    pub cert: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
    /// Clients must show a certificate that one of these signed; `None`: they need none.
    pub client_ca: Option<Vec<u8>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(secret)")
    }
}

/// Binds a Unix socket with mode 0660. A file of a dead process's socket is replaced; a live one's is not
/// (`AddrInUse`), nor anything that is no socket (`AlreadyExists`). The directory is made if it is missing.
///
/// At no moment can others connect: the socket is made inside a directory of ours alone and gets its name
/// when its mode is right.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    if !dir.exists() {
        DirBuilder::new().mode(DIR_MODE).create(dir)?;
    }
    let nest = Nest::make(dir)?;
    let made = nest.0.join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(SOCKET_MODE))?;
    // A link, other than a rename, never replaces what came there in the meantime.
    if let Err(error) = fs::hard_link(&made, path) {
        if error.kind() != ErrorKind::AlreadyExists {
            return Err(error);
        }
        remove_dead(path)?;
        fs::hard_link(&made, path)?;
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A directory that goes with all that is in it.
struct Nest(PathBuf);

impl Nest {
    fn make(dir: &Path) -> io::Result<Self> {
        // As short as can be: a socket's path has 107 octets at most.
        let path = dir.join(format!(".{}", std::process::id()));
        // One of a process that died while it bound, and had our number.
        let _ = fs::remove_dir_all(&path);
        DirBuilder::new().mode(NEST_MODE).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Nest {
    fn drop(&mut self) {
        // What stays is an empty directory that nobody else can enter.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn remove_dead(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let why = format!("{} is there and is no socket", path.display());
        return Err(io::Error::new(ErrorKind::AlreadyExists, why));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => {
            let why = format!("another process listens on {}", path.display());
            Err(io::Error::new(ErrorKind::AddrInUse, why))
        }
    }
}

/// Connections as they come.
pub(crate) type Incoming = Pin<Box<dyn Stream<Item = io::Result<Connection>> + Send>>;

/// Connections as they are accepted, at most as many at once as `connections` allows.
pub(crate) fn incoming(
    listener: Listener,
    connections: Arc<Semaphore>,
) -> io::Result<(Incoming, Option<Tls>)> {
    let (listener, tls) = match listener {
        Listener::Unix(listener) => {
            listener.set_nonblocking(true)?;
            (
                Accept::Unix(tokio::net::UnixListener::from_std(listener)?),
                None,
            )
        }
        Listener::Tcp(listener, tls) => {
            listener.set_nonblocking(true)?;
            (
                Accept::Tcp(tokio::net::TcpListener::from_std(listener)?),
                tls,
            )
        }
    };
    let accepted = stream::unfold(
        (listener, connections),
        |(listener, connections)| async move {
            let permit = connections.clone().acquire_owned().await.ok()?;
            let socket = loop {
                match listener.accept().await {
                    Ok(socket) => break socket,
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                }
            };
            let (socket, client) = socket;
            let connection = Connection {
                socket,
                client,
                _permit: permit,
            };
            Some((Ok(connection), (listener, connections)))
        },
    );
    Ok((Box::pin(accepted), tls))
}

enum Accept {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

impl Accept {
    async fn accept(&self) -> io::Result<(Pin<Box<dyn Socket>>, Client)> {
        match self {
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                let uid = socket.peer_cred().ok().map(|who| who.uid());
                Ok((Box::pin(socket), Client::Local { uid }))
            }
            Self::Tcp(listener) => {
                let (socket, address) = listener.accept().await?;
                socket.set_nodelay(true)?;
                Ok((Box::pin(socket), Client::Remote { address }))
            }
        }
    }
}

/// What a connection reads from and writes to.
trait Socket: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Socket for T {}

/// Who is at the other end of a connection, for the record.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// Somebody on this machine, if the kernel says who.
    Local { uid: Option<u32> },
    /// Somebody over TCP.
    Remote { address: SocketAddr },
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid: Some(uid) } => write!(f, "uid {uid}"),
            Self::Local { uid: None } => f.write_str("a local user"),
            Self::Remote { address } => write!(f, "{address}"),
        }
    }
}

/// A client's connection. When it is dropped, another may be accepted.
pub(crate) struct Connection {
    socket: Pin<Box<dyn Socket>>,
    client: Client,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Connection {
    type ConnectInfo = Client;

    fn connect_info(&self) -> Client {
        self.client
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket.as_mut().poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.as_mut().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket.as_mut().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests;
