//! The kernel itself: the only module with I/O. One thread owns one netlink socket that writes,
//! listens and dumps. So facts and answers come in the order in which the kernel made them, and of
//! our own changes the kernel does not tell us: it skips whoever asked for them.

mod decode;
mod encode;
mod escort;
mod ledger;
mod socket;
mod wireguard;
mod worker;

pub use escort::{AllowedIpsConfig, Board, Manages};
pub use wireguard::{UAPI_DIR, Wireguard};

use std::io::{self, PipeWriter, Write};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::sync::mpsc;

use crate::plan::BATCHES_MAX;
use crate::{Batch, Input, Output};

/// Inputs on their way to the core, at most. When the core is that far behind, the kernel's socket
/// buffer fills, and when that is full, facts are lost and a dump mends it.
pub const INPUTS_MAX: usize = 64;
/// Orders on their way to the thread, at most: all batches, and one dump.
const ORDERS_MAX: usize = BATCHES_MAX + 1;

/// How the kernel is used.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// Set `net.ipv4.nexthop_compat_mode` to 0, if it is not and we may: then a nexthop group that
    /// changes costs one notification, and not one for each route that points to it.
    pub compat_mode_off: bool,
    /// Have WireGuard's AllowedIPs follow routes.
    pub allowed_ips: Option<AllowedIpsConfig>,
}

impl Default for KernelConfig {
    fn default() -> Self {
        Self {
            compat_mode_off: true,
            allowed_ips: None,
        }
    }
}

/// To the thread that owns the socket. Dropping it ends the thread.
#[derive(Debug)]
pub struct Handle {
    orders: SyncSender<Order>,
    /// Wakes the thread, which waits for its socket and for this.
    wake: PipeWriter,
}

#[derive(Debug)]
enum Order {
    Carry(Batch),
    Dump,
}

impl Handle {
    /// Hands over [`Output::Send`] and [`Output::Resync`]; other outputs are not for the kernel and
    /// are ignored. Never blocks: the planner keeps to [`BATCHES_MAX`].
    pub fn send(&self, output: Output) {
        let order = match output {
            Output::Send(batch) => Order::Carry(batch),
            Output::Resync => Order::Dump,
            Output::NextHop { .. } | Output::Environment | Output::Notice(_) | Output::Ended => {
                return;
            }
        };
        // A full queue or a thread that ended: the core hears nothing more, and sees that its receiver is closed.
        if self.orders.try_send(order).is_ok() {
            let _ = (&self.wake).write(&[0]);
        }
    }
}

/// Opens the socket in the calling thread's network namespace, starts the thread, and has it dump
/// the kernel's state.
///
/// # Errors
///
/// When there is no netlink, or the thread cannot be started.
pub fn start(config: KernelConfig) -> io::Result<(Handle, mpsc::Receiver<Input>)> {
    let socket = socket::Netlink::open()?;
    let (orders, queue) = sync_channel(ORDERS_MAX);
    let (woken, wake) = io::pipe()?;
    let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
    let worker = worker::Worker::new(socket, queue, woken, inputs, config);
    std::thread::Builder::new()
        .name("netlink".to_owned())
        .spawn(move || worker.run())?;
    Ok((Handle { orders, wake }, receiver))
}
