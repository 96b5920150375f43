//! The kernel itself: the only module with I/O. One thread owns one netlink socket that writes,
//! listens and dumps, so facts and answers come in the order in which the kernel made them, and
//! the kernel does not tell us of our own changes.

use std::io;

use tokio::sync::mpsc;

use crate::{Input, Output};

/// Inputs on their way to the core, at most.
pub const INPUTS_MAX: usize = 64;

/// How the kernel is used.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Set `net.ipv4.nexthop_compat_mode` to 0, if it is not and we may.
    pub compat_mode_off: bool,
}

/// To the thread that owns the socket. Dropping it ends the thread.
#[derive(Debug)]
pub struct Handle {}

impl Handle {
    /// Hands over [`Output::Send`] and [`Output::Resync`]; other outputs are ignored. Never blocks:
    /// no more than [`BATCHES_MAX`](crate::plan::BATCHES_MAX) batches and one dump wait at a time.
    pub fn send(&self, _output: Output) {}
}

/// Opens the socket in the calling thread's network namespace, starts the thread, and dumps the kernel's state.
///
/// # Errors
///
/// When there is no netlink, or the thread cannot be started.
pub fn start(_config: KernelConfig) -> io::Result<(Handle, mpsc::Receiver<Input>)> {
    let (_inputs, receiver) = mpsc::channel(INPUTS_MAX);
    Ok((Handle {}, receiver))
}
