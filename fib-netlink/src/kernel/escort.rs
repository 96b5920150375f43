//! What goes before and after batches: AllowedIPs of WireGuard devices, where they follow routes.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::Wireguard;
use super::ledger::{self, Ledger};
use crate::wireguard::{AllowedIps, Change, Input, Notice, Output, Status};

/// Says of a device by its name whether its AllowedIPs may follow routes.
#[derive(Clone)]
pub struct Manages(pub Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl fmt::Debug for Manages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Manages")
    }
}

/// How AllowedIPs are used.
#[derive(Clone, Debug)]
pub struct AllowedIpsConfig {
    /// The protocol number of our routes.
    pub protocol: u8,
    /// Where userspace implementations have their sockets.
    pub uapi_dir: PathBuf,
    /// The folder in which is kept what is ours.
    pub state_dir: PathBuf,
    /// Which devices.
    pub manages: Manages,
    /// The clock.
    pub clock: fn() -> Instant,
    /// Where others see how the devices are.
    pub board: Arc<Board>,
}

/// How the devices are, for other threads.
#[derive(Debug, Default)]
pub struct Board(Mutex<Vec<Status>>);

impl Board {
    /// How each WireGuard device is over which routes go.
    #[must_use]
    pub fn status(&self) -> Vec<Status> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn show(&self, status: Vec<Status>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }
}

/// The planner, and what it asks for.
#[derive(Debug)]
pub(super) struct Escort {
    planner: AllowedIps,
    devices: Wireguard,
    ledger: Ledger,
    /// It could not be written, which was said.
    unwritten: bool,
    config: AllowedIpsConfig,
    outputs: Vec<Output>,
    waiting: VecDeque<Output>,
}

impl Escort {
    pub(super) fn new(config: AllowedIpsConfig) -> Self {
        let ledger = Ledger::open(ledger::file_in(&config.state_dir));
        Self {
            planner: AllowedIps::new(config.protocol, ledger.earlier()),
            ledger,
            unwritten: false,
            devices: Wireguard::new(config.uapi_dir.clone()),
            config,
            outputs: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Milliseconds until it wants to be woken, at most.
    pub(super) fn wait(&self) -> Option<u16> {
        let wait = self.planner.deadline()?;
        let wait = wait.saturating_duration_since((self.config.clock)());
        // Rounded up: never woken too early again and again.
        Some(u16::try_from(wait.as_millis() + 1).unwrap_or(u16::MAX))
    }

    /// Does what follows from an input before anything else happens, and says what there is to say.
    pub(super) fn handle(&mut self, input: &Input<'_>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let now = (self.config.clock)();
        self.planner.handle(now, input, &mut self.outputs);
        self.waiting.extend(self.outputs.drain(..));
        let worked = !self.waiting.is_empty();
        while let Some(output) = self.waiting.pop_front() {
            let answer = match output {
                Output::Read { interface, device } => Some(Input::Read {
                    interface,
                    peers: match (self.config.manages.0)(&device) {
                        true => self.devices.read(&device),
                        false => Ok(None),
                    },
                }),
                Output::Change(change) => self.change(change, &mut notices),
                Output::Notice(notice) => {
                    notices.push(notice);
                    None
                }
            };
            if let Some(answer) = answer {
                let now = (self.config.clock)();
                self.planner.handle(now, &answer, &mut self.outputs);
                self.waiting.extend(self.outputs.drain(..));
            }
        }
        if worked {
            self.config.board.show(self.planner.status());
        }
        notices
    }

    fn change(&mut self, change: Change, notices: &mut Vec<Notice>) -> Option<Input<'static>> {
        if !change.remove {
            self.note(&change, notices);
        }
        match self.devices.change(&change) {
            Ok(()) => {
                if change.remove {
                    self.note(&change, notices);
                }
                None
            }
            Err(errno) => Some(Input::Refused { change, errno }),
        }
    }

    fn note(&mut self, change: &Change, notices: &mut Vec<Notice>) {
        if let Err(error) = self.ledger.note(change)
            && !std::mem::replace(&mut self.unwritten, true)
        {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            notices.push(Notice::NotKept { errno });
        }
    }

    /// Looks at devices, if it is time.
    pub(super) fn tick(&mut self) -> Vec<Notice> {
        if self
            .planner
            .deadline()
            .is_some_and(|at| at <= (self.config.clock)())
        {
            return self.handle(&Input::Timeout);
        }
        Vec::new()
    }
}
