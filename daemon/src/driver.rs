//! The driver: one thread that feeds the speaker with what sockets, kernel, clock and operators say,
//! and does what it answers. No queue stands between a socket and the speaker.

mod conn;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use grpc_api::Job;
use speaker::event::{ConnId, Effect, Event, Gate, ListenKey};
use speaker::{Notice, Speaker};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast, mpsc, watch};
use tokio::task::{spawn_local, yield_now};

use crate::gate;
use crate::liveness;
use conn::Conn;

/// Most bytes taken from the speaker for a connection at a time. What is taken no longer follows changes.
const TRANSMIT_BYTES: usize = 256 * 1024;
/// After so many panics of the speaker its state is not worth keeping: the daemon ends, and is started anew.
const PANICS_MAX: u32 = 16;

/// Where the driver passes on what it does not do itself.
pub(crate) struct Outlets {
    /// To the kernel's writer; `None`: this machine has no netlink.
    pub(crate) kernel: Option<fib_netlink::kernel::Handle>,
    /// To the thread of BFD and of link probes.
    pub(crate) liveness: liveness::Handle,
    /// To whoever watches.
    pub(crate) notices: broadcast::Sender<Arc<Notice>>,
    /// Ticks when routes changed.
    pub(crate) routes_changed: watch::Sender<u64>,
}

/// See the module. It lives on one thread, in an `Rc`.
pub(crate) struct Driver {
    speaker: RefCell<Speaker>,
    conns: RefCell<BTreeMap<ConnId, Rc<Conn>>>,
    listeners: RefCell<Vec<Rc<TcpListener>>>,
    listen_keys: RefCell<Vec<ListenKey>>,
    read_buffer: RefCell<BytesMut>,
    panics: RefCell<u32>,
    outlets: Outlets,
    /// Something happened: there may be something to say, or a sooner deadline.
    kick: Notify,
    /// The speaker panicked too often, or is done with its shutdown.
    ended: Notify,
}

impl Driver {
    /// A driver of `speaker`, idle until [`Driver::start`].
    pub(crate) fn new(speaker: Speaker, outlets: Outlets) -> Rc<Self> {
        Rc::new(Self {
            speaker: RefCell::new(speaker),
            conns: RefCell::default(),
            listeners: RefCell::default(),
            listen_keys: RefCell::default(),
            read_buffer: RefCell::default(),
            panics: RefCell::default(),
            outlets,
            kick: Notify::new(),
            ended: Notify::new(),
        })
    }

    /// Starts to accept, to connect and to keep time, in tasks of this thread's `LocalSet`.
    pub(crate) fn start(
        self: &Rc<Self>,
        listeners: Vec<TcpListener>,
        jobs: mpsc::Receiver<Job>,
        kernel: Option<mpsc::Receiver<fib_netlink::Input>>,
    ) {
        for listener in listeners {
            let listener = Rc::new(listener);
            self.listeners.borrow_mut().push(Rc::clone(&listener));
            spawn_local(Rc::clone(self).accept(listener));
        }
        spawn_local(Rc::clone(self).run_jobs(jobs));
        if let Some(kernel) = kernel {
            spawn_local(Rc::clone(self).hear_kernel(kernel));
        }
        spawn_local(Rc::clone(self).hear_liveness(self.outlets.liveness.ear()));
        spawn_local(Rc::clone(self).settle());
        self.set_clock();
        self.with_speaker(Speaker::start);
    }

    /// Tells the speaker what happened, and does what it answers.
    pub(crate) fn event(self: &Rc<Self>, event: Event) {
        self.with_speaker(|speaker, now, effects| speaker.handle(now, event, effects));
    }

    /// Runs `job` with the speaker, and does what it asks for. `None` if it panicked.
    pub(crate) fn with_speaker<R>(
        self: &Rc<Self>,
        job: impl FnOnce(&mut Speaker, Instant, &mut Vec<Effect>) -> R,
    ) -> Option<R> {
        let mut effects = Vec::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            job(&mut self.speaker.borrow_mut(), Instant::now(), &mut effects)
        }));
        for effect in effects {
            self.act(effect);
        }
        self.kick.notify_one();
        result.map_err(|_| self.panicked()).ok()
    }

    /// Stations are told the time on the wall. It may have been set since it was last looked at.
    fn set_clock(&self) {
        let mut speaker = self.speaker.borrow_mut();
        speaker.set_clock(Instant::now(), crate::startup::wall_clock());
    }

    /// Waits until the speaker is done: after [`Event::Shutdown`], or because it cannot go on.
    pub(crate) async fn ended(&self) {
        self.ended.notified().await;
    }

    fn panicked(&self) {
        let mut panics = self.panics.borrow_mut();
        *panics += 1;
        tracing::error!(
            panics = *panics,
            "a fault in the speaker was contained; please report it"
        );
        if *panics >= PANICS_MAX {
            self.ended.notify_one();
        }
    }

    fn act(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::Connect {
                conn,
                remote,
                local,
                gate,
            } => {
                spawn_local(Rc::clone(self).connect(conn, remote, local, gate));
            }
            Effect::Send { conn, bytes } => self.send(conn, [bytes]),
            Effect::Close { conn } => {
                if let Some(conn) = self.conns.borrow_mut().remove(&conn) {
                    conn.close();
                }
            }
            Effect::ListenKeys(keys) => self.set_listen_keys(keys),
            Effect::Kernel(output) => {
                if let Some(kernel) = &self.outlets.kernel {
                    kernel.send(output);
                }
            }
            Effect::Bfd(order) => self.outlets.liveness.bfd(order),
            Effect::Link(order) => self.outlets.liveness.link(order),
            Effect::Probe(probe) => self.outlets.liveness.probe(probe),
            Effect::Notice(notice) => self.tell(notice),
            Effect::Ended => self.ended.notify_one(),
        }
    }

    fn tell(&self, notice: Notice) {
        crate::logging::log_notice(&notice);
        // Nobody watching is no fault.
        let _ = self.outlets.notices.send(Arc::new(notice));
    }

    fn set_listen_keys(&self, keys: Vec<ListenKey>) {
        let mut current = self.listen_keys.borrow_mut();
        for listener in self.listeners.borrow().iter() {
            if let Err(error) = gate::set_listen_keys(listener, &current, &keys) {
                tracing::error!(%error, "cannot set the TCP MD5 or TCP-AO keys of a listening socket");
            }
        }
        *current = keys;
    }

    async fn connect(
        self: Rc<Self>,
        conn: ConnId,
        remote: SocketAddr,
        local: Option<std::net::IpAddr>,
        gate: Gate,
    ) {
        let connected = gate::connect(remote, local, &gate).await;
        match connected.and_then(|stream| Ok((stream.local_addr()?, stream))) {
            Ok((local, stream)) => {
                self.adopt(conn, stream);
                self.set_clock();
                self.event(Event::Connected { conn, local });
            }
            Err(error) => self.event(Event::ConnectFailed {
                conn,
                why: error.to_string(),
            }),
        }
    }

    async fn accept(self: Rc<Self>, listener: Rc<TcpListener>) {
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => self.accepted(stream, remote),
                Err(error) => {
                    // Out of descriptors, mostly: wait for some to come free rather than spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn accepted(self: &Rc<Self>, stream: TcpStream, remote: SocketAddr) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // The connection must be known before what the speaker says on it is sent.
        self.with_speaker(|speaker, now, effects| {
            let interface = gate::interface_of(remote);
            if let Some((conn, gate)) =
                speaker.accept(now, local, remote, interface.as_deref(), effects)
            {
                match gate::admit(&stream, &gate) {
                    Ok(()) => self.adopt(conn, stream),
                    Err(_) => speaker.handle(now, Event::Closed { conn }, effects),
                }
            }
        });
    }

    fn adopt(self: &Rc<Self>, id: ConnId, stream: TcpStream) {
        let conn = Rc::new(Conn::new(id, stream));
        self.conns.borrow_mut().insert(id, Rc::clone(&conn));
        spawn_local(Rc::clone(self).serve(conn));
    }

    /// Reads and writes one connection until it is closed.
    async fn serve(self: Rc<Self>, conn: Rc<Conn>) {
        while let Some(turn) = conn.turn().await {
            match turn {
                conn::Turn::Read => {
                    let read = conn.read(&mut self.read_buffer.borrow_mut());
                    match read {
                        conn::Read::Data(data) => self.event(Event::Received {
                            conn: conn.id,
                            data,
                        }),
                        conn::Read::Nothing => {}
                        conn::Read::End => {
                            self.conns.borrow_mut().remove(&conn.id);
                            self.event(Event::Closed { conn: conn.id });
                            return;
                        }
                    }
                    // Others with something to read come first; then what follows from all of it is sent.
                    yield_now().await;
                }
                conn::Turn::Again => {}
                conn::Turn::Write => {
                    if conn.flush() {
                        self.event(Event::Progress { conn: conn.id });
                        if conn.is_blocked() {
                            self.event(Event::Blocked { conn: conn.id });
                        }
                    }
                }
            }
        }
        conn.linger().await;
    }

    fn send(self: &Rc<Self>, id: ConnId, messages: impl IntoIterator<Item = Bytes>) {
        let Some(conn) = self.conns.borrow().get(&id).map(Rc::clone) else {
            return;
        };
        let was_blocked = conn.is_blocked();
        conn.push(messages);
        conn.flush();
        if conn.is_blocked() && !was_blocked {
            self.event(Event::Blocked { conn: id });
        }
    }

    /// After whatever happened: says what there is to say, and sleeps until the next deadline.
    async fn settle(self: Rc<Self>) {
        loop {
            let deadline = self.speaker.borrow().deadline();
            let sleep = async {
                match deadline {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What is readable now is read first, so that many small changes leave in few messages.
                () = self.kick.notified() => yield_now().await,
                () = sleep => {}
            }
            if self
                .speaker
                .borrow()
                .deadline()
                .is_some_and(|at| at <= Instant::now())
            {
                self.event(Event::Timeout);
            }
            self.transmit();
        }
    }

    fn transmit(self: &Rc<Self>) {
        let mut ready = Vec::new();
        self.speaker.borrow_mut().ready(&mut ready);
        let mut messages = Vec::new();
        for id in ready {
            let conn = self.conns.borrow().get(&id).map(Rc::clone);
            if conn.is_none_or(|conn| conn.is_blocked()) {
                continue;
            }
            let taken = catch_unwind(AssertUnwindSafe(|| {
                self.speaker
                    .borrow_mut()
                    .transmit(id, TRANSMIT_BYTES, &mut messages)
            }));
            match taken {
                Ok(true) => self.kick.notify_one(),
                Ok(false) => {}
                Err(_) => self.panicked(),
            }
            self.send(id, messages.drain(..));
        }
        let version = self.speaker.borrow().routes_version();
        self.outlets.routes_changed.send_if_modified(|told| {
            let changed = *told != version;
            *told = version;
            changed
        });
    }

    async fn run_jobs(self: Rc<Self>, mut jobs: mpsc::Receiver<Job>) {
        while let Some(job) = jobs.recv().await {
            self.with_speaker(job);
            yield_now().await;
        }
    }

    async fn hear_liveness(self: Rc<Self>, ear: liveness::Ear) {
        loop {
            for news in ear.news().await {
                self.event(news);
            }
        }
    }

    async fn hear_kernel(self: Rc<Self>, mut kernel: mpsc::Receiver<fib_netlink::Input>) {
        while let Some(input) = kernel.recv().await {
            self.event(Event::Kernel(input));
        }
    }
}
