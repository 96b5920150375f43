//! The thread: one order at a time, and whatever the kernel tells meanwhile.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, TryRecvError};

use netlink_packet_core::{NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;

use super::decode::{self, Message};
use super::encode::{self, DUMPS};
use super::escort::Escort;
use super::socket::{Netlink, Received};
use super::{KernelConfig, Order};
use crate::{Batch, Fact, Failure, Input, Notice, wireguard};

/// Facts handed over at once, at most.
const FACTS_MAX: usize = 2048;
/// The kernel answers before `send` returns. If no answer comes for so long, it was lost.
const ANSWER_MAX_MS: u16 = 5_000;
/// A dump that was not consistent is repeated, so often at most.
const DUMP_ATTEMPTS_MAX: u32 = 5;

#[derive(Debug)]
pub(super) struct Worker {
    socket: Netlink,
    orders: Receiver<Order>,
    woken: PipeReader,
    inputs: mpsc::Sender<Input>,
    queue: VecDeque<Order>,
    busy: Busy,
    sequence: u32,
    /// What the kernel told and the core has not heard yet.
    facts: Vec<Fact>,
    /// How many of them the escort has seen.
    observed: usize,
    /// What AllowedIPs need, where they follow routes.
    escort: Option<Escort>,
    notices: Vec<wireguard::Notice>,
    permitted: bool,
    nexthop_objects: bool,
    config: KernelConfig,
    /// It was on, and was switched off.
    compat_mode_off: bool,
    message: Vec<u8>,
}

/// The order that is being carried out.
#[derive(Debug)]
enum Busy {
    Idle,
    /// Asked what the kernel can do and lets us do.
    Probe {
        sequence: u32,
    },
    Batch {
        id: u64,
        first: u32,
        last: u32,
        failures: Vec<Failure>,
    },
    Dump {
        stage: usize,
        sequence: u32,
        attempt: u32,
        inconsistent: bool,
    },
}

/// The switch between one notification a nexthop group and one a route.
const COMPAT_MODE: &str = "/proc/sys/net/ipv4/nexthop_compat_mode";

/// The core is gone.
struct Gone;

impl Worker {
    pub(super) fn new(
        socket: Netlink,
        orders: Receiver<Order>,
        woken: PipeReader,
        inputs: mpsc::Sender<Input>,
        config: KernelConfig,
    ) -> Self {
        Self {
            socket,
            orders,
            woken,
            inputs,
            queue: VecDeque::from([Order::Dump]),
            busy: Busy::Idle,
            sequence: 0,
            facts: Vec::new(),
            observed: 0,
            escort: config.allowed_ips.clone().map(Escort::new),
            notices: Vec::new(),
            permitted: true,
            nexthop_objects: true,
            config,
            compat_mode_off: false,
            message: Vec::new(),
        }
    }

    /// Until the handle or the receiver is dropped, or the socket breaks.
    pub(super) fn run(mut self) {
        if self.probe().is_err() {
            return;
        }
        while self.wait().is_ok() {
            let step = self
                .take_orders()
                .and_then(|()| self.read())
                .and_then(|()| self.start_next());
            if step.is_err() || self.flush().is_err() {
                return;
            }
        }
    }

    fn wait(&mut self) -> Result<(), Gone> {
        let timeout = match self.busy {
            Busy::Idle => {
                let wait = self.escort.as_ref().and_then(Escort::wait);
                wait.map_or(PollTimeout::NONE, PollTimeout::from)
            }
            Busy::Probe { .. } | Busy::Batch { .. } | Busy::Dump { .. } => {
                PollTimeout::from(ANSWER_MAX_MS)
            }
        };
        let mut ready = [
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.woken.as_fd(), PollFlags::POLLIN),
        ];
        let count = match poll(&mut ready, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => return Ok(()),
            Err(_) => return Err(Gone),
        };
        let woken = ready.get(1).and_then(|fd| fd.any()).unwrap_or(false);
        if count == 0 && matches!(self.busy, Busy::Idle) {
            self.tick();
            return Ok(());
        }
        if count == 0 {
            return self.overrun();
        }
        if woken {
            // One octet an order; an empty pipe that is ready has no writer any more.
            let mut octets = [0; 16];
            if !matches!(self.woken.read(&mut octets), Ok(1..)) {
                return Err(Gone);
            }
        }
        Ok(())
    }

    fn take_orders(&mut self) -> Result<(), Gone> {
        loop {
            match self.orders.try_recv() {
                Ok(order) => self.queue.push_back(order),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(Gone),
            }
        }
    }

    /// Reads all there is.
    fn read(&mut self) -> Result<(), Gone> {
        loop {
            let port = self.socket.port;
            match self.socket.receive() {
                Ok(Received::Messages(datagram)) => {
                    let messages: Vec<Message> = decode::messages(datagram).collect();
                    for message in messages {
                        if message.port == port {
                            self.answer(message)?
                        } else {
                            self.facts.extend(message.fact)
                        }
                    }
                }
                Ok(Received::Nothing) => return Ok(()),
                Ok(Received::Overrun) => self.overrun()?,
                Err(_) => return Err(Gone),
            }
            if self.facts.len() >= FACTS_MAX {
                self.flush()?;
            }
        }
    }

    fn answer(&mut self, message: Message) -> Result<(), Gone> {
        match &mut self.busy {
            Busy::Probe { sequence } if message.sequence == *sequence => {
                // The id is not valid; what else the kernel finds wrong, it finds first.
                self.permitted = message.errno != libc::EPERM;
                self.compat_mode_off =
                    self.permitted && self.config.compat_mode_off && switch_compat_mode_off();
                self.busy = Busy::Idle;
            }
            Busy::Batch {
                id,
                first,
                last,
                failures,
            } if (*first..=*last).contains(&message.sequence) => {
                if message.errno != 0 {
                    failures.push(Failure {
                        index: message.sequence - *first,
                        errno: message.errno,
                    });
                }
                if message.sequence == *last {
                    let (batch, failures) = (*id, std::mem::take(failures));
                    self.busy = Busy::Idle;
                    self.completed(batch, failures)?;
                }
            }
            Busy::Dump {
                sequence,
                inconsistent,
                ..
            } if message.sequence == *sequence => {
                *inconsistent |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE | NLMSG_ERROR => return self.dump_stage_over(message.errno),
                    NLMSG_OVERRUN => return self.overrun(),
                    _ => self.facts.extend(message.fact),
                }
            }
            Busy::Idle | Busy::Probe { .. } | Busy::Batch { .. } | Busy::Dump { .. } => {}
        }
        Ok(())
    }

    fn start_next(&mut self) -> Result<(), Gone> {
        if !matches!(self.busy, Busy::Idle) {
            return Ok(());
        }
        match self.queue.pop_front() {
            None => Ok(()),
            Some(Order::Dump) => {
                self.facts.push(Fact::DumpBegin);
                self.dump_stage(0, 1, false)
            }
            Some(Order::Carry(batch)) => self.carry(&batch),
        }
    }

    fn carry(&mut self, batch: &Batch) -> Result<(), Gone> {
        let first = self.sequence.wrapping_add(1);
        let length = u32::try_from(batch.ops.len()).unwrap_or(u32::MAX);
        let Some(last) = first.checked_add(length.saturating_sub(1)) else {
            // The numbers begin anew, once in four thousand million operations.
            self.sequence = 0;
            return self.carry(batch);
        };
        self.sequence = last;
        self.escort(&wireguard::Input::Before(batch));
        self.message.clear();
        encode::batch(batch, first, &mut self.message);
        self.busy = Busy::Batch {
            id: batch.id,
            first,
            last,
            failures: Vec::new(),
        };
        match self.socket.send(&self.message) {
            Ok(()) => Ok(()),
            // Nothing was carried out, or not all: what there is now, a dump tells.
            Err(_) => self.overrun(),
        }
    }

    fn dump_stage(&mut self, stage: usize, attempt: u32, inconsistent: bool) -> Result<(), Gone> {
        let Some(dump) = DUMPS.get(stage) else {
            return self.dump_over(attempt, inconsistent);
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.message.clear();
        encode::dump(*dump, self.sequence, &mut self.message);
        self.busy = Busy::Dump {
            stage,
            sequence: self.sequence,
            attempt,
            inconsistent,
        };
        self.socket.send(&self.message).map_err(|_| Gone)
    }

    fn dump_stage_over(&mut self, errno: i32) -> Result<(), Gone> {
        let Busy::Dump {
            stage,
            attempt,
            inconsistent,
            ..
        } = self.busy
        else {
            return Ok(());
        };
        if DUMPS.get(stage).is_some_and(encode::Dump::is_nexthops) {
            self.nexthop_objects = errno == 0;
        }
        self.dump_stage(stage + 1, attempt, inconsistent)
    }

    fn dump_over(&mut self, attempt: u32, inconsistent: bool) -> Result<(), Gone> {
        if inconsistent && attempt < DUMP_ATTEMPTS_MAX {
            self.facts.push(Fact::DumpBegin);
            return self.dump_stage(0, attempt + 1, false);
        }
        let Self {
            permitted,
            nexthop_objects,
            ..
        } = *self;
        let compat_mode_off = std::mem::take(&mut self.compat_mode_off);
        self.facts.push(Fact::Abilities {
            permitted,
            nexthop_objects,
            compat_mode_off,
        });
        self.facts.push(Fact::DumpEnd);
        self.busy = Busy::Idle;
        Ok(())
    }

    /// Messages were lost. An answer may be among them: a batch under way counts as answered, and the
    /// core asks for a dump; a dump under way begins anew.
    fn overrun(&mut self) -> Result<(), Gone> {
        match std::mem::replace(&mut self.busy, Busy::Idle) {
            Busy::Idle => self.tell(Input::Overrun),
            Busy::Probe { .. } => self.probe().map_err(|_| Gone),
            Busy::Batch { id, failures, .. } => {
                self.tell(Input::Overrun)?;
                self.completed(id, failures)
            }
            Busy::Dump { attempt, .. } if attempt < DUMP_ATTEMPTS_MAX => {
                self.facts.push(Fact::DumpBegin);
                self.dump_stage(0, attempt + 1, false)
            }
            Busy::Dump { attempt, .. } => {
                self.tell(Input::Overrun)?;
                self.dump_over(attempt, false)
            }
        }
    }

    /// Asks for something that cannot be, to hear whether we might.
    fn probe(&mut self) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        self.message.clear();
        encode::probe(self.sequence, &mut self.message);
        self.busy = Busy::Probe {
            sequence: self.sequence,
        };
        self.socket.send(&self.message)
    }

    fn completed(&mut self, batch: u64, failures: Vec<Failure>) -> Result<(), Gone> {
        self.escort(&wireguard::Input::After {
            batch,
            failures: &failures,
        });
        self.tell(Input::Completed { batch, failures })
    }

    fn tick(&mut self) {
        if let Some(escort) = &mut self.escort {
            self.notices.extend(escort.tick());
        }
    }

    /// Does for AllowedIPs what an input asks for; they have seen all facts before it.
    fn escort(&mut self, input: &wireguard::Input<'_>) {
        self.observe();
        if let Some(escort) = &mut self.escort {
            self.notices.extend(escort.handle(input));
        }
    }

    fn observe(&mut self) {
        let facts = self.facts.get(self.observed..).unwrap_or_default();
        if let Some(escort) = &mut self.escort
            && !facts.is_empty()
        {
            let notices = escort.handle(&wireguard::Input::Facts(facts));
            self.notices.extend(notices);
        }
        self.observed = self.facts.len();
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.observe();
        self.observed = 0;
        let facts = std::mem::take(&mut self.facts);
        if !facts.is_empty() {
            self.send(Input::Kernel(facts))?;
        }
        for notice in std::mem::take(&mut self.notices) {
            self.send(Input::Heard(Notice::AllowedIps(notice)))?;
        }
        Ok(())
    }

    fn send(&self, input: Input) -> Result<(), Gone> {
        self.inputs.blocking_send(input).map_err(|_| Gone)
    }

    /// In order: what was told before comes before.
    fn tell(&mut self, input: Input) -> Result<(), Gone> {
        self.flush()?;
        self.send(input)
    }
}

/// Says whether it was on and is off now.
fn switch_compat_mode_off() -> bool {
    let on = std::fs::read_to_string(COMPAT_MODE).is_ok_and(|mode| mode.trim() == "1");
    on && std::fs::write(COMPAT_MODE, "0").is_ok()
}
