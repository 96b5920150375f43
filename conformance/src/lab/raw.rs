//! A BGP peer made of bytes: it says what a test wants it to say, right or wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::Host;

/// Message types (RFC 4271 §4.1).
const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
/// The header: marker, length, type.
const HEADER: usize = 19;

/// One TCP connection to port 179, from inside a host.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawPeer {
    /// Connects to a speaker.
    ///
    /// # Errors
    /// Nobody listens, or the host is gone.
    pub fn connect(host: &Host, to: IpAddr) -> Result<Self> {
        let to = SocketAddr::new(to, 179);
        let stream =
            host.within(move || Ok(TcpStream::connect_timeout(&to, Duration::from_secs(3))?))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::new(),
        })
    }

    /// Connects, and exchanges OPEN and KEEPALIVE.
    ///
    /// # Errors
    /// The session does not come up.
    pub fn establish(host: &Host, to: IpAddr, asn: u32, id: Ipv4Addr) -> Result<Self> {
        let mut peer = Self::connect(host, to)?;
        peer.send(&open(asn, id, 90))?;
        peer.send(&message(KEEPALIVE, &[]))?;
        loop {
            match peer.next(Duration::from_secs(5))? {
                (KEEPALIVE, _) => return Ok(peer),
                (NOTIFICATION, body) => bail!("refused with {body:?}"),
                (_, _) => {}
            }
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Sends an UPDATE made of an attribute block and IPv4 prefixes already in wire form.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn update(&mut self, attributes: &[u8], nlri: &[u8]) -> Result<()> {
        self.send(&update(attributes, nlri))
    }

    /// The next message: type and body.
    ///
    /// # Errors
    /// None arrives in time, or the connection is gone.
    pub fn next(&mut self, limit: Duration) -> Result<(u8, Vec<u8>)> {
        let end = Instant::now() + limit;
        loop {
            if let Some(message) = self.take() {
                return Ok(message);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("no message within {limit:?}");
            }
            self.stream.set_read_timeout(Some(left))?;
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => bail!("closed"),
                Ok(n) => self.received.extend(buffer.iter().take(n)),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(e) => return Err(e).context("read"),
            }
        }
    }

    /// The code and subcode of the NOTIFICATION that comes, other messages passed over.
    ///
    /// # Errors
    /// None comes in time.
    pub fn notification(&mut self, limit: Duration) -> Result<(u8, u8)> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if let (NOTIFICATION, body) = self.next(left)? {
                let mut body = body.into_iter();
                return Ok((body.next().unwrap_or(0), body.next().unwrap_or(0)));
            }
        }
    }

    /// Checks for `span` that the session stays, answering keepalives.
    ///
    /// # Errors
    /// A NOTIFICATION comes, or the connection ends.
    pub fn stays(&mut self, span: Duration) -> Result<()> {
        let end = Instant::now() + span;
        self.send(&message(KEEPALIVE, &[]))?;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match self.next(left) {
                Ok((NOTIFICATION, body)) => bail!("ended with {body:?}"),
                Ok(_) => {}
                Err(e) if e.to_string().starts_with("no message") => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = self.received.first_chunk::<HEADER>()?;
        let [.., high, low, kind] = *header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let whole = self.received.get(..length)?;
        let body = whole.get(HEADER..)?.to_vec();
        self.received.drain(..length);
        Some((kind, body))
    }
}

/// A message with its header.
#[must_use]
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0xFF; 16];
    bytes.extend(length.to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    bytes
}

/// An OPEN with the capabilities of IPv4 unicast and 4-octet AS numbers.
#[must_use]
pub fn open(asn: u32, id: Ipv4Addr, hold_time: u16) -> Vec<u8> {
    let my_as = u16::try_from(asn).unwrap_or(23456); // AS_TRANS, RFC 6793 §9
    let mut body = vec![4];
    body.extend(my_as.to_be_bytes());
    body.extend(hold_time.to_be_bytes());
    body.extend(id.octets());
    body.extend([14, 2, 12, 1, 4, 0, 1, 0, 1, 65, 4]);
    body.extend(asn.to_be_bytes());
    message(OPEN, &body)
}

/// An UPDATE that withdraws nothing.
#[must_use]
pub fn update(attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = u16::try_from(attributes.len()).unwrap_or(u16::MAX);
    let mut body = vec![0, 0];
    body.extend(length.to_be_bytes());
    body.extend(attributes);
    body.extend(nlri);
    message(UPDATE, &body)
}
