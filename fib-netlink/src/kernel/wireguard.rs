//! WireGuard's devices: those of the kernel over generic netlink, those of programs as wireguard-go over their sockets.

mod generic;
mod uapi;

use std::io;
use std::path::{Path, PathBuf};

use crate::wireguard::{Change, Peer};

/// Where userspace implementations have their sockets unless told otherwise.
pub const UAPI_DIR: &str = "/run/wireguard";

/// Reads and changes devices. Each call waits for the answer, for a second or two at most.
#[derive(Debug)]
pub struct Wireguard {
    uapi_dir: PathBuf,
    generic: Option<generic::Generic>,
}

impl Wireguard {
    /// `uapi_dir`: where userspace implementations have their sockets.
    #[must_use]
    pub const fn new(uapi_dir: PathBuf) -> Self {
        Self {
            uapi_dir,
            generic: None,
        }
    }

    /// The peers of a device; `None`: it is no WireGuard device.
    ///
    /// # Errors
    /// The errno.
    pub fn read(&mut self, device: &str) -> Result<Option<Vec<Peer>>, i32> {
        match uapi::read(&self.socket(device)) {
            Ok(peers) => return Ok(Some(peers)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Nobody listens at the socket: what left it there may be gone, and the kernel have the device now.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let peers = self.read_kernel(device).map_err(errno)?;
                return peers.map(Some).ok_or(libc::ECONNREFUSED);
            }
            Err(error) => return Err(errno(error)),
        }
        self.read_kernel(device).map_err(errno)
    }

    /// Carries out a change.
    ///
    /// # Errors
    /// The errno.
    pub fn change(&mut self, change: &Change) -> Result<(), i32> {
        let unused = |error: &io::Error| {
            use io::ErrorKind::{ConnectionRefused, NotFound};
            matches!(error.kind(), NotFound | ConnectionRefused)
        };
        match uapi::change(&self.socket(&change.device), change) {
            Err(error) if unused(&error) => {}
            done => return done.map_err(errno),
        }
        self.with_kernel(|generic| generic.change(change))
            .map_err(errno)
    }

    fn socket(&self, device: &str) -> PathBuf {
        self.uapi_dir.join(Path::new(&format!("{device}.sock")))
    }

    fn read_kernel(&mut self, device: &str) -> io::Result<Option<Vec<Peer>>> {
        let read = self.with_kernel(|generic| generic.read(device));
        match read.as_ref().map_err(io::Error::raw_os_error) {
            // No such device, none of WireGuard's, or no WireGuard at all.
            Err(Some(libc::ENODEV | libc::EOPNOTSUPP | libc::ENOENT)) => Ok(None),
            Ok(_) | Err(_) => read.map(Some),
        }
    }

    /// A socket that failed may yet have an answer to come, so it is used no more.
    fn with_kernel<T>(
        &mut self,
        job: impl FnOnce(&mut generic::Generic) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut generic = match self.generic.take() {
            Some(generic) => generic,
            None => generic::Generic::open()?,
        };
        let done = job(&mut generic);
        self.generic = done.is_ok().then_some(generic);
        done
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped")]
fn errno(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}
