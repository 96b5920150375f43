//! From the command line to a running daemon, and to its end.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fib_netlink::kernel::{self, AllowedIpsConfig, Board, KernelConfig, Manages};
use grpc_api::{ConfigControl as _, Core, JOBS_MAX, Listener, NOTICES_MAX};
use speaker::{Event, Notice, Speaker};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::LocalSet;

use crate::args::Args;
use crate::check::Checks;
use crate::config::{self, LoadedConfig};
use crate::control::{self, Control};
use crate::driver::{Driver, Outlets};
use crate::metrics::Metrics;
use crate::{birdc, gate, liveness, logging, metrics, systemd};

/// A configuration that cannot be used.
const EXIT_BAD_CONFIGURATION: u8 = 1;
/// The daemon cannot start.
const EXIT_CANNOT_START: u8 = 2;

/// `--check`: says what is wrong, or what is in force.
pub(crate) fn check(args: &Args) -> ExitCode {
    match config::load(&args.config, &[]) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                eprintln!("warning: {warning}");
            }
            say(&config::effective(&loaded));
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprintln!("{report}");
            ExitCode::from(EXIT_BAD_CONFIGURATION)
        }
    }
}

/// Runs until told to end.
pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = match config::load(&args.config, &[]) {
        Ok(loaded) => loaded,
        Err(report) => {
            eprintln!("{report}");
            return ExitCode::from(EXIT_BAD_CONFIGURATION);
        }
    };
    logging::init(args.log_format);
    let loaded = control::with_kept(loaded, &args.config);
    match start(args, loaded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The log may be going elsewhere: whoever started it by hand sees it too.
            tracing::error!("cannot start: {error}");
            eprintln!("windrosed cannot start: {error}");
            ExitCode::from(EXIT_CANNOT_START)
        }
    }
}

fn start(args: &Args, loaded: LoadedConfig) -> io::Result<()> {
    let warnings = loaded.warnings.iter();
    warnings.for_each(|warning| tracing::warn!("{warning}"));
    let runtime = single_threaded()?;
    let entered = runtime.enter();
    let listen = &loaded.speaker.router.listen;
    let listeners = listen
        .iter()
        .map(|at| gate::listen(*at))
        .collect::<io::Result<Vec<_>>>()?;
    let api = loaded.daemon.api.bind()?;
    let birdc = loaded.daemon.api.birdc.as_deref();
    let birdc = birdc.map(birdc::bind).transpose()?;
    let metrics = loaded.daemon.metrics.map(metrics::bind).transpose()?;
    drop(entered);

    let (jobs, jobs_taken) = mpsc::channel(JOBS_MAX);
    let (notices, _) = broadcast::channel(NOTICES_MAX);
    let (routes_changed, routes_watch) = watch::channel(0);
    let seed = seed();
    let speaker =
        Speaker::new(loaded.speaker.clone(), Instant::now(), seed).map_err(io::Error::other)?;
    let kernel = kernel_config(&loaded);
    let board = kernel
        .allowed_ips
        .as_ref()
        .map(|ips| Arc::clone(&ips.board));
    let checks = Checks::new(&loaded.daemon.wireguard, board.clone());
    let control = Arc::new(Control::new(args.config.clone(), jobs.clone(), loaded));
    let liveness = liveness::start(seed)?;
    let core = Core {
        jobs,
        notices: notices.clone(),
        routes_changed: routes_watch,
        config: Arc::clone(&control) as Arc<dyn grpc_api::ConfigControl>,
        liveness: liveness.views(),
        checks,
        epoch: seed,
        clock: wall_clock,
    };
    let served = Served {
        core,
        api,
        birdc,
        metrics,
        board,
        notices: notices.clone(),
    };
    let (end_api, api) = served.in_a_thread()?;
    LocalSet::new().block_on(&runtime, async {
        let (kernel, facts) = open_kernel(kernel);
        let outlets = Outlets {
            kernel,
            liveness,
            notices,
            routes_changed,
        };
        let driver = Driver::new(speaker, outlets);
        driver.start(listeners, jobs_taken, facts);
        systemd::ready();
        tokio::task::spawn_local(systemd::keep_watchdog_quiet());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "windrosed runs");
        attend(&driver, &control).await
    })?;
    // The API answers until the end, so that whoever watches sees it.
    drop(end_api);
    let _ = api.join();
    tracing::info!("windrosed ends");
    Ok(())
}

/// Signals, until it is time to end and all is put away.
async fn attend(driver: &std::rc::Rc<Driver>, control: &Arc<Control>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                // In a task of its own: its order to the core must find the core at work.
                tokio::task::spawn_local(reload(Arc::clone(control)));
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = driver.ended() => return Err(io::Error::other("too many faults in the speaker")),
        }
    }
    systemd::stopping();
    driver.event(Event::Shutdown);
    driver.ended().await;
    Ok(())
}

async fn reload(control: Arc<Control>) {
    systemd::reloading();
    match control.reload().await {
        Ok(changes) if changes.is_empty() => {
            tracing::info!("configuration read anew: nothing changed")
        }
        Ok(changes) => changes
            .iter()
            .for_each(|change| tracing::info!("configuration: {change}")),
        Err(report) => tracing::error!("the configuration in force stays: {report}"),
    }
    systemd::ready();
}

/// What the second thread serves.
struct Served {
    core: Core,
    api: Vec<Listener>,
    birdc: Option<std::os::unix::net::UnixListener>,
    metrics: Option<std::net::TcpListener>,
    board: Option<Arc<Board>>,
    notices: broadcast::Sender<Arc<Notice>>,
}

impl Served {
    /// It ends when the sender is dropped.
    fn in_a_thread(self) -> io::Result<(oneshot::Sender<()>, JoinHandle<()>)> {
        let (end, ends) = oneshot::channel();
        let thread = std::thread::Builder::new().name("api".to_owned());
        Ok((end, thread.spawn(move || self.run(ends))?))
    }

    fn run(self, end: oneshot::Receiver<()>) {
        let runtime = match single_threaded() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "no API: its thread cannot work"),
        };
        runtime.block_on(async {
            if let Some(listener) = self.metrics {
                let metrics = Metrics::new(self.core.clone(), self.notices.subscribe(), self.board);
                tokio::spawn(metrics::serve(listener, metrics));
            }
            if let Some(listener) = self.birdc {
                tokio::spawn(birdc::serve(listener, self.core.clone()));
            }
            let ended = async {
                let _ = end.await;
            };
            if let Err(error) = grpc_api::serve(self.core, self.api, ended).await {
                tracing::error!(%error, "the API has ended");
            }
        });
    }
}

/// How the kernel is used. Who writes no nexthop group changes no setting either.
fn kernel_config(loaded: &LoadedConfig) -> KernelConfig {
    let wireguard = &loaded.daemon.wireguard;
    let interfaces = wireguard.interfaces.clone();
    let writes = loaded.speaker.fib.writes();
    let allowed_ips = (wireguard.manage && writes).then(|| AllowedIpsConfig {
        protocol: loaded.speaker.fib.protocol,
        uapi_dir: wireguard.uapi_dir.clone(),
        state_dir: loaded.daemon.api.state_dir.clone(),
        manages: Manages(Arc::new(move |name| interfaces.contain(name))),
        clock: Instant::now,
        board: Arc::default(),
    });
    KernelConfig {
        compat_mode_off: writes && loaded.speaker.fib.nexthop_groups,
        allowed_ips,
    }
}

fn open_kernel(
    config: KernelConfig,
) -> (
    Option<kernel::Handle>,
    Option<mpsc::Receiver<fib_netlink::Input>>,
) {
    match kernel::start(config) {
        Ok((handle, facts)) => (Some(handle), Some(facts)),
        Err(error) => {
            tracing::error!(%error, "no netlink: no next hop can be resolved and no route installed");
            (None, None)
        }
    }
}

fn single_threaded() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// Since 1970.
pub(crate) fn wall_clock() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default()
}

fn seed() -> u64 {
    let now = wall_clock();
    let mixed = now.as_nanos() ^ (u128::from(std::process::id()) << 64);
    u64::try_from(mixed % u128::from(u64::MAX))
        .unwrap_or_default()
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[expect(clippy::print_stdout, reason = "what --check was asked for")]
fn say(text: &str) {
    println!("{text}");
}
