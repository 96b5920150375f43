//! The thread of BFD and of link probes: sockets, clock, and the engines. It shares nothing with the thread that does BGP
//! but one small table, so that a full table that loads there delays no packet here.

mod desk;
mod echo;
mod measured;
mod socket;
mod worker;

use std::cell::RefCell;
use std::io::{self, PipeWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use grpc_api::{BfdSession, BoxFuture, LinkView, Liveness};
use speaker::Event;
use speaker::config::Probe;
use speaker::links::LinkOrder;
use speaker::liveness::BfdOrder;
use tokio::sync::{Notify, oneshot};

use desk::Desk;
pub(crate) use socket::ProbeSocket;
use worker::Worker;

/// To the thread, which is started when there is something to watch or to measure. Dropping it closes all sessions, tells
/// the neighbors so, and ends the thread.
pub(crate) struct Handle {
    shared: Arc<Shared>,
    thread: RefCell<Thread>,
}

enum Thread {
    /// Nobody has asked for anything.
    Waiting(Box<Worker>),
    Running(JoinHandle<()>),
    /// The system gives no thread.
    None,
}

/// What both threads see.
struct Shared {
    desk: Mutex<Desk>,
    /// Wakes the thread.
    wake: PipeWriter,
    /// Something is to be collected.
    news: Notify,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // Nothing is left half done in it.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full pipe wakes as well.
        let _ = (&self.wake).write(&[0]);
    }
}

impl Handle {
    /// Has a session opened, changed or closed.
    pub(crate) fn bfd(&self, order: BfdOrder) {
        self.shared.desk().sessions.insert(order.path, order.config);
        self.run();
    }

    /// Has a link measured, or no more.
    pub(crate) fn link(&self, order: LinkOrder) {
        self.shared.desk().links.insert(order.link, order);
        self.run();
    }

    /// How links are measured from now on.
    pub(crate) fn probe(&self, probe: Probe) {
        self.shared.desk().probe = Some(probe);
        self.shared.wake();
    }

    /// Starts the thread if need be, and wakes it.
    fn run(&self) {
        let mut thread = self.thread.borrow_mut();
        *thread = match std::mem::replace(&mut *thread, Thread::None) {
            Thread::Waiting(worker) => {
                let named = std::thread::Builder::new().name("liveness".to_owned());
                match named.spawn(move || worker.run()) {
                    Ok(running) => {
                        self.shared.desk().running = true;
                        Thread::Running(running)
                    }
                    Err(error) => {
                        tracing::error!(%error, "no BFD and no link probes");
                        Thread::None
                    }
                }
            }
            thread @ (Thread::Running(_) | Thread::None) => thread,
        };
        drop(thread);
        self.shared.wake();
    }

    /// Who hears what became of sessions and links.
    pub(crate) fn ear(&self) -> Ear {
        Ear(Arc::clone(&self.shared))
    }

    /// Whom the API asks.
    pub(crate) fn views(&self) -> Arc<dyn Liveness> {
        Arc::new(Ear(Arc::clone(&self.shared)))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.desk().closed = true;
        self.shared.wake();
        if let Thread::Running(thread) = self.thread.replace(Thread::None) {
            // It ends as soon as it wakes.
            let _ = thread.join();
        }
    }
}

/// See [`Handle::ear`].
pub(crate) struct Ear(Arc<Shared>);

impl Ear {
    /// Waits for news; all that there is.
    pub(crate) async fn news(&self) -> Vec<Event> {
        loop {
            let news = self.0.desk().reports.take();
            if !news.is_empty() {
                return news;
            }
            self.0.news.notified().await;
        }
    }
}

impl Liveness for Ear {
    fn sessions(&self) -> BoxFuture<'_, Vec<BfdSession>> {
        let (answer, answered) = oneshot::channel();
        self.0.desk().ask_sessions(answer);
        self.0.wake();
        Box::pin(async { answered.await.unwrap_or_default() })
    }

    fn links(&self) -> BoxFuture<'_, Vec<LinkView>> {
        let (answer, answered) = oneshot::channel();
        self.0.desk().ask_links(answer);
        self.0.wake();
        Box::pin(async { answered.await.unwrap_or_default() })
    }
}

/// Gets ready; the thread will be in the network namespace of the one that calls.
///
/// # Errors
/// When the system gives no pipe.
pub(crate) fn start(seed: u64) -> io::Result<Handle> {
    let (woken, wake) = io::pipe()?;
    let shared = Arc::new(Shared {
        desk: Mutex::default(),
        wake,
        news: Notify::new(),
    });
    let worker = Worker::new(Arc::clone(&shared), woken, seed)?;
    Ok(Handle {
        shared,
        thread: RefCell::new(Thread::Waiting(Box::new(worker))),
    })
}
