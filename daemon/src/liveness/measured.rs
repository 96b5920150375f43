//! A link and its sockets: one for STAMP, and one for ICMP echo while that is needed.

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use path_score::{LinkId, Method};
use speaker::links::LinkPath;

use super::echo::EchoSocket;
use super::socket::ProbeSocket;

/// A socket for echo that could not be opened is tried again after this.
const ECHO_AGAIN: Duration = Duration::from_secs(1);

/// In epoll's number: the sockets of links for STAMP and for echo from here on, each with the link's own number.
pub(super) const STAMP_FIRST: u64 = 1 << 32;
pub(super) const ECHO_FIRST: u64 = 2 << 32;

/// See the module.
pub(super) struct Measured {
    pub(super) path: LinkPath,
    /// `None`: it cannot be opened now.
    pub(super) stamp: Option<ProbeSocket>,
    echo: Option<EchoSocket>,
    echo_again: Option<Instant>,
}

impl Measured {
    pub(super) const fn new(path: LinkPath) -> Self {
        Self {
            path,
            stamp: None,
            echo: None,
            echo_again: None,
        }
    }

    /// Opens the socket for STAMP.
    pub(super) fn open(&mut self, epoll: &Epoll, id: LinkId, port: u16) -> io::Result<()> {
        let socket = ProbeSocket::open(&self.path, port)?;
        epoll.add(socket.as_fd(), event(STAMP_FIRST, id))?;
        self.stamp = Some(socket);
        Ok(())
    }

    /// Echo is not needed any more.
    pub(super) fn close_echo(&mut self) {
        self.echo = None;
    }

    /// The next datagram, or message; `None`: there is none now.
    pub(super) fn receive(&mut self, method: Method) -> Option<&[u8]> {
        match method {
            Method::Stamp => self.stamp.as_mut()?.receive(),
            Method::Icmp => self.echo.as_mut()?.receive(),
        }
    }

    /// Sends a probe. That it cannot be sent is not the link's fault.
    ///
    /// # Errors
    /// What the system says; `NotConnected`: it said so a moment ago.
    pub(super) fn transmit(
        &mut self,
        (epoll, id, now): (&Epoll, LinkId, Instant),
        method: Method,
        packet: &[u8],
    ) -> io::Result<()> {
        let sent = match method {
            Method::Stamp => {
                let socket = self.stamp.as_ref();
                let socket = socket.ok_or(io::ErrorKind::NotConnected)?;
                socket.send(packet)
            }
            Method::Icmp => self.send_echo(epoll, id, now, packet),
        };
        sent.inspect_err(|error| {
            tracing::debug!(remote = %self.path.remote, %error, "a probe could not be sent");
            match method {
                Method::Stamp => self.stamp = None,
                Method::Icmp => {
                    self.echo = None;
                    self.echo_again.get_or_insert(now + ECHO_AGAIN);
                }
            }
        })
    }

    fn send_echo(
        &mut self,
        epoll: &Epoll,
        id: LinkId,
        now: Instant,
        packet: &[u8],
    ) -> io::Result<()> {
        if self.echo_again.is_some_and(|at| at > now) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.echo_again = None;
        let socket = match self.echo.take() {
            Some(socket) => socket,
            None => {
                let identifier = packet.get(4..).and_then(<[u8]>::first_chunk);
                let identifier = identifier.copied().unwrap_or_default();
                let socket = EchoSocket::open(&self.path, u16::from_be_bytes(identifier))?;
                epoll.add(socket.as_fd(), event(ECHO_FIRST, id))?;
                socket
            }
        };
        self.echo.insert(socket).send(packet)
    }
}

fn event(first: u64, id: LinkId) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, first + u64::from(id.0))
}
