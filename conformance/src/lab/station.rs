//! A monitoring station on a host: it takes BMP connections, keeps what came, and has tshark look at it too.

use std::io::{ErrorKind, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use bgp_core::bmp::next_message;

use super::{Host, run};
use crate::station::Picture;

/// Where stations listen.
pub const BMP_PORT: u16 = 11019;
/// tshark 4.0 takes the TLVs behind the two OPENs of a Peer Up for BGP; only the Loc-RIB's has any (RFC 9069 §5.2.1).
const NAMED: &str = "(bmp.type == 3 && bmp.peer.type == 3)";

/// See the module. It listens on all IPv4 addresses, until it is dropped.
#[derive(Debug)]
pub struct BmpStation {
    /// What came on the last connection.
    heard: Arc<Mutex<Vec<u8>>>,
    stops: Arc<AtomicBool>,
    /// It takes calls, but reads nothing.
    pub deaf: Arc<AtomicBool>,
}

impl BmpStation {
    /// Listens.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start(host: &Host) -> Result<Self> {
        let at = SocketAddr::from(([0, 0, 0, 0], BMP_PORT));
        let listener = host.within(move || Ok(TcpListener::bind(at)?))?;
        listener.set_nonblocking(true)?;
        let station = Self {
            heard: Arc::default(),
            stops: Arc::default(),
            deaf: Arc::default(),
        };
        let (heard, stops) = (Arc::clone(&station.heard), Arc::clone(&station.stops));
        let deaf = Arc::clone(&station.deaf);
        std::thread::spawn(move || serve(&listener, &heard, &stops, &deaf));
        Ok(station)
    }

    /// What came on the last connection, as it came.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// What it says.
    ///
    /// # Errors
    /// It is no BMP, or tells what cannot be.
    pub fn picture(&self) -> Result<Picture> {
        let mut picture = Picture::default();
        picture.hear(&self.heard()).map_err(|why| anyhow!(why))?;
        Ok(picture)
    }

    /// The same of somebody who tells a little more than there is.
    ///
    /// # Errors
    /// It is no BMP, or tells what cannot be.
    pub fn lenient_picture(&self) -> Result<Picture> {
        let mut picture = Picture::default();
        picture.lenient = true;
        picture.hear(&self.heard()).map_err(|why| anyhow!(why))?;
        Ok(picture)
    }

    /// Has tshark read all that came: the types of the messages, in order.
    ///
    /// # Errors
    /// It finds something malformed.
    pub fn dissected(&self, folder: &Path) -> Result<Vec<u8>> {
        let file = folder.join("bmp.pcap");
        let heard = self.heard();
        std::fs::write(&file, capture(&heard))?;
        let tshark = |more: &[&str]| {
            let mut command = Command::new("tshark");
            command.args(["-n", "-d", "tcp.port==11019,bmp", "-r"]);
            run(command.arg(&file).args(more))
        };
        let bad = "_ws.malformed || (_ws.expert.severity == error && !tcp.analysis.flags)";
        let bad = &format!("({bad}) && !{NAMED}");
        let what = ["-e", "bmp.type", "-e", "_ws.expert.message"];
        let found = tshark(&[&["-Y", bad, "-T", "fields"], &what[..]].concat())?;
        ensure!(found.trim().is_empty(), "tshark finds fault:\n{found}");
        let types = tshark(&["-Y", "bmp", "-T", "fields", "-e", "bmp.type"])?;
        let types = types
            .split(|c: char| !c.is_ascii_digit())
            .filter(|s| !s.is_empty());
        let types = types.map(str::parse).collect::<Result<Vec<u8>, _>>()?;
        let mut picture = Picture::default();
        picture.hear(&heard).map_err(|why| anyhow!(why))?;
        let (seen, said) = (types.len(), picture.messages);
        ensure!(seen == said, "tshark sees {seen} of {said} messages");
        Ok(types)
    }
}

impl Drop for BmpStation {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
    }
}

fn serve(listener: &TcpListener, heard: &Mutex<Vec<u8>>, stops: &AtomicBool, deaf: &AtomicBool) {
    let mut stream: Option<TcpStream> = None;
    let mut buffer = vec![0; 65_536];
    while !stops.load(Ordering::Relaxed) {
        if let Ok((new, _)) = listener.accept() {
            let _ = new.set_read_timeout(Some(Duration::from_millis(20)));
            let _ = new.set_nonblocking(false);
            stream = Some(new);
            heard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let Some(open) = stream.as_mut().filter(|_| !deaf.load(Ordering::Relaxed)) else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        match open.read(&mut buffer) {
            Ok(0) => stream = None,
            Ok(count) => {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.extend(buffer.iter().take(count));
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => stream = None,
        }
    }
}

/// A stream as packets in a file (pcap, raw IPv4), from its SYN on.
fn capture(stream: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0xffff, 101] {
        if word == 0x0002_0004 {
            file.extend(2_u16.to_le_bytes());
            file.extend(4_u16.to_le_bytes());
        } else {
            file.extend(word.to_le_bytes());
        }
    }
    let mut sequence = 1000_u32;
    let mut packet = |payload: &[u8], flags: u8| {
        let len = u16::try_from(40 + payload.len()).unwrap_or(u16::MAX);
        for word in [0, 0, u32::from(len), u32::from(len)] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0x45, 0]);
        file.extend(len.to_be_bytes());
        file.extend([0, 0, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        file.extend(40_000_u16.to_be_bytes());
        file.extend(BMP_PORT.to_be_bytes());
        file.extend(sequence.to_be_bytes());
        file.extend([0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        file.extend(payload);
        let passed = u32::try_from(payload.len()).unwrap_or_default();
        sequence = sequence.wrapping_add(passed + u32::from(flags & 2 != 0));
    };
    packet(&[], 0x02);
    // A message a packet, so that what is found is found in one message.
    let mut rest = stream;
    while let Ok(Some(len)) = next_message(rest) {
        let (message, after) = rest.split_at(len);
        packet(message, 0x10);
        rest = after;
    }
    file
}
