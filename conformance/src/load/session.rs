//! One session: up by blocking calls, then bytes in and bytes out without waiting.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bgp_core::{Capability, Code, Family, Notification, Open, Reset, header};
use bytes::{Buf as _, Bytes};
use socket2::{Domain, Protocol, Socket, Type};

use super::wire;

const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
/// How long a device may take to answer an OPEN before it is tried again.
const ANSWER: Duration = Duration::from_secs(3);
/// How long it is tried, and how often.
const PATIENCE: Duration = Duration::from_secs(60);
const TRY_EVERY: Duration = Duration::from_millis(50);
/// The first of the IPv6 addresses that next hops have.
const NEXT_HOPS_6: u128 = 0x2001_0db8_0099_0001 << 64;

/// One of our ends.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address, which is its identifier too.
    pub address: Ipv4Addr,
    /// Its AS.
    pub asn: u32,
    /// Its Hold Time in seconds.
    pub hold_time: u16,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::UNSPECIFIED,
            asn: 0,
            hold_time: 90,
        }
    }
}

impl Peer {
    /// The next hop of the IPv6 routes that it announces.
    #[must_use]
    pub fn address_6(&self) -> Ipv6Addr {
        Ipv6Addr::from(NEXT_HOPS_6 + u128::from(u32::from(self.address)))
    }
}

/// What a device said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Message<'a> {
    /// An UPDATE's body.
    Update(&'a [u8]),
    Keepalive,
}

/// An established session.
#[derive(Debug)]
pub(super) struct Session {
    peer: Peer,
    stream: TcpStream,
    /// The beginning of a message whose end has not come.
    rest: Vec<u8>,
    output: Bytes,
    keepalive_at: Instant,
}

impl Session {
    /// Connects until the device takes the session.
    pub(super) fn establish(device: SocketAddr, peer: Peer, family: Family) -> Result<Self> {
        let start = Instant::now();
        loop {
            match Self::attempt(device, peer, family) {
                Ok(session) => return Ok(session),
                Err(why) if start.elapsed() > PATIENCE => {
                    return Err(why.context(format!("{} has no session", peer.address)));
                }
                Err(_) => std::thread::sleep(TRY_EVERY),
            }
        }
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether something waits to be written.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Puts whole messages behind what waits.
    pub(super) fn queue(&mut self, bytes: Bytes) {
        self.output = if self.output.is_empty() {
            bytes
        } else {
            [&self.output[..], &bytes[..]].concat().into()
        };
    }

    /// Writes what the socket takes.
    pub(super) fn write(&mut self) -> Result<()> {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => self.output.advance(count),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e).with_context(|| format!("write as {}", self.peer.address)),
            }
        }
        Ok(())
    }

    /// Reads once, into `scratch` behind what is left from before, and calls `each` with every message.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        mut each: impl FnMut(Message<'_>, Instant),
    ) -> Result<()> {
        let address = self.peer.address;
        let kept = self.rest.len();
        if let Some(front) = scratch.get_mut(..kept) {
            front.copy_from_slice(&self.rest);
        }
        let count = match self
            .stream
            .read(scratch.get_mut(kept..).unwrap_or_default())
        {
            Ok(0) => bail!("{address}: the device closed"),
            Ok(count) => count,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e).with_context(|| format!("read as {address}")),
        };
        let now = Instant::now();
        let mut bytes = scratch.get(..kept + count).unwrap_or_default();
        while let Some((kind, body, rest)) = wire::message(bytes) {
            match kind {
                UPDATE => each(Message::Update(body), now),
                KEEPALIVE => each(Message::Keepalive, now),
                NOTIFICATION => bail!("{address}: the device says {}", reason(body)),
                _ => {}
            }
            bytes = rest;
        }
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    /// Says a KEEPALIVE when it is time for one.
    pub(super) fn tick(&mut self, now: Instant) -> Result<()> {
        if now < self.keepalive_at || self.has_output() {
            return Ok(());
        }
        self.keepalive_at = now + keepalive_interval(self.peer);
        self.queue(header::keepalive());
        self.write()
    }

    /// Ends the session as an operator does.
    pub(super) fn leave(mut self) {
        let cease = Reset::from(Code::AdministrativeShutdown).encode();
        let _ = self.stream.write_all(&cease);
    }

    /// Connects once.
    pub(super) fn attempt(device: SocketAddr, peer: Peer, family: Family) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((peer.address, 0)).into())?;
        socket.connect_timeout(&device.into(), ANSWER)?;
        let mut stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let open = Open {
            asn: peer.asn,
            hold_time: peer.hold_time,
            identifier: peer.address,
            capabilities: vec![
                Capability::Multiprotocol(family.into()),
                Capability::RouteRefresh,
                Capability::FourOctetAs(peer.asn),
            ],
        };
        stream.write_all(&open.encode())?;
        expect(&mut stream, OPEN)?;
        stream.write_all(&header::keepalive())?;
        expect(&mut stream, KEEPALIVE)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            peer,
            stream,
            rest: Vec::new(),
            output: Bytes::new(),
            keepalive_at: Instant::now() + keepalive_interval(peer),
        })
    }
}

/// A third of the Hold Time (RFC 4271 §10).
fn keepalive_interval(peer: Peer) -> Duration {
    Duration::from_secs(u64::from(peer.hold_time)) / 3
}

/// Reads exactly one message, which must be of this kind.
fn expect(stream: &mut TcpStream, wanted: u8) -> Result<()> {
    let mut header = [0; header::LEN];
    stream.read_exact(&mut header)?;
    let [.., high, low, kind] = header;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let mut body = vec![0; length.saturating_sub(header::LEN)];
    stream.read_exact(&mut body)?;
    if kind == NOTIFICATION {
        bail!("the device says {}", reason(&body));
    }
    if kind != wanted {
        bail!("a message of type {kind}, not {wanted}");
    }
    Ok(())
}

fn reason(body: &[u8]) -> String {
    Notification::decode(body).map_or_else(|_| "something broken".to_owned(), |n| n.to_string())
}
