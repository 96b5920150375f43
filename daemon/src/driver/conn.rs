//! One TCP connection: a stream, and what waits to be written to it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use speaker::event::ConnId;
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// Bytes read at a time. Larger reads save no calls that count and make others wait.
const READ_BYTES: usize = 64 * 1024;
/// Buffers passed to one write; far below the kernel's IOV_MAX.
const SLICES: usize = 64;

/// How long a closed connection waits for the peer to close too.
const LINGER: Duration = Duration::from_secs(1);

/// What a connection is ready for.
pub(super) enum Turn {
    Read,
    Write,
    /// Something was put in: look again.
    Again,
}

/// What a read brought.
pub(super) enum Read {
    Data(Bytes),
    Nothing,
    End,
}

/// See the module.
pub(super) struct Conn {
    pub(super) id: ConnId,
    stream: TcpStream,
    /// Bounded by what one call of `transmit` gives and the few messages of the session's own:
    /// while it is not empty, nothing more is taken from the speaker, and send-hold ends a stuck session.
    outbox: RefCell<VecDeque<Bytes>>,
    closed: Cell<bool>,
    changed: Notify,
}

impl Conn {
    pub(super) fn new(id: ConnId, stream: TcpStream) -> Self {
        Self {
            id,
            stream,
            outbox: RefCell::default(),
            closed: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Whether bytes wait because TCP takes none.
    pub(super) fn is_blocked(&self) -> bool {
        !self.outbox.borrow().is_empty()
    }

    pub(super) fn push(&self, messages: impl IntoIterator<Item = Bytes>) {
        self.outbox.borrow_mut().extend(messages);
    }

    /// Writes what TCP takes. True if it took anything.
    pub(super) fn flush(&self) -> bool {
        let mut outbox = self.outbox.borrow_mut();
        let mut progress = false;
        while !outbox.is_empty() {
            let written = match outbox.front() {
                // A single buffer takes the kernel's shorter way.
                Some(only) if outbox.len() == 1 => self.stream.try_write(only),
                Some(_) | None => {
                    let all = outbox.iter().take(SLICES);
                    let slices: SmallVec<[IoSlice<'_>; SLICES]> =
                        all.map(|b| IoSlice::new(b)).collect();
                    self.stream.try_write_vectored(&slices)
                }
            };
            match written {
                Ok(count) => {
                    progress = true;
                    advance(&mut outbox, count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The read side sees the broken connection too, and reports it.
                Err(_) => outbox.clear(),
            }
        }
        if !outbox.is_empty() {
            self.changed.notify_one();
        }
        progress
    }

    /// Ends the connection; what TCP did not take by now is dropped.
    pub(super) fn close(&self) {
        self.flush();
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// Waits until there is something to do; `None` once it is closed.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let blocked = self.is_blocked();
        let turn = tokio::select! {
            // An error is found again, and dealt with, by the read or the write.
            _ = self.stream.readable() => Turn::Read,
            _ = self.stream.writable(), if blocked => Turn::Write,
            () = self.changed.notified() => Turn::Again,
        };
        (!self.closed.get()).then_some(turn)
    }

    /// Says that nothing follows, and reads until the peer has nothing more either or [`LINGER`] is over:
    /// closing with unread bytes would reset the connection, and the peer never saw our NOTIFICATION.
    pub(super) async fn linger(&self) {
        let _ = socket2::SockRef::from(&self.stream).shutdown(std::net::Shutdown::Write);
        let drain = async {
            let mut sink = [0; 4096];
            while self.stream.readable().await.is_ok() {
                match self.stream.try_read(&mut sink) {
                    Ok(0) => return,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                    Ok(_) | Err(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// Reads once, into the thread's one buffer.
    pub(super) fn read(&self, buffer: &mut BytesMut) -> Read {
        buffer.reserve(READ_BYTES);
        match self.stream.try_read_buf(buffer) {
            Ok(0) => Read::End,
            Ok(_) => Read::Data(buffer.split().freeze()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(_) => Read::End,
        }
    }
}

fn advance(outbox: &mut VecDeque<Bytes>, mut count: usize) {
    while let Some(front) = outbox.front_mut() {
        if count < front.len() {
            front.advance(count);
            return;
        }
        count -= front.len();
        outbox.pop_front();
    }
}
