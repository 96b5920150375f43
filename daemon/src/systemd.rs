//! What systemd is told. Where nobody listens, nothing happens.

use std::future::pending;

use sd_notify::NotifyState;

/// The daemon works.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// It takes a new configuration; [`ready`] follows.
pub(crate) fn reloading() {
    let mut states = vec![NotifyState::Reloading];
    states.extend(NotifyState::monotonic_usec_now());
    tell(&states);
}

/// It was told to end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says for ever, in half the time it has for it, that the thread on which this runs is alive. On the core's
/// thread, it has systemd restart a core that is stuck.
pub(crate) async fn keep_watchdog_quiet() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return pending().await;
    };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(limit / 2).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd cannot be told");
    }
}
