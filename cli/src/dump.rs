//! `windrose dump`: tables, and what peers send, as MRT files.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use proto::v1::route_service_client::RouteServiceClient;
use proto::v1::{DumpRoutesRequest, RecordUpdatesRequest};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::args::Dump;
use crate::client::{ANSWER_MAX, Failure};
use crate::output::Printer;

/// Files in which nothing is are not worth their names: `--every` is at least this.
const EVERY_LEAST: Duration = Duration::from_secs(1);

/// What was written.
#[derive(Debug, Serialize)]
struct Dumped {
    file: PathBuf,
    octets: u64,
}

type Client = RouteServiceClient<Channel>;

pub(crate) async fn run(
    order: Dump,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let names = Names::new(order.file, order.every, order.updates)?;
    let mut client = Client::new(channel).max_decoding_message_size(ANSWER_MAX);
    if order.updates {
        return updates(&names, &mut client, printer).await;
    }
    let mut stop = pin!(interrupted());
    loop {
        let now = Timestamp::now();
        let file = names.at(now)?;
        tokio::select! {
            done = table(&file, &mut client, printer) => done?,
            stopped = &mut stop => return Ok(stopped?),
        }
        let Some(next) = names.next(now) else {
            return Ok(());
        };
        tokio::select! {
            () = until(next) => {}
            stopped = &mut stop => return Ok(stopped?),
        }
    }
}

/// The table, once.
async fn table(file: &Path, client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut records = client.dump_routes(DumpRoutesRequest {}).await?.into_inner();
    let mut part = Part::create(file)?;
    while let Some(piece) = records.next().await {
        part.write(&piece?.records)?;
    }
    part.finish(file, printer)
}

/// What peers send, a file after the other. What was written before a fault is kept.
async fn updates(
    names: &Names,
    client: &mut Client,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let request = RecordUpdatesRequest {};
    let mut records = client.record_updates(request).await?.into_inner();
    let mut stop = pin!(interrupted());
    loop {
        let now = Timestamp::now();
        let (file, next) = (names.at(now)?, names.next(now));
        let mut part = Part::create(&file)?;
        let mut end = pin!(until(next.unwrap_or(Timestamp::MAX)));
        let why = loop {
            tokio::select! {
                piece = records.next() => match piece {
                    Some(Ok(piece)) => part.write(&piece.records)?,
                    Some(Err(status)) => break Some(Err(status.into())),
                    None => break Some(Err(Failure::Unreachable("windrosed ended".to_owned()))),
                },
                () = &mut end => break None,
                stopped = &mut stop => break Some(stopped.map_err(Failure::from)),
            }
        };
        part.finish(&file, printer)?;
        if let Some(why) = why {
            return why;
        }
    }
}

/// Names of files, and when the next one begins.
#[derive(Debug)]
struct Names {
    pattern: PathBuf,
    every: Option<Duration>,
}

impl Names {
    fn new(pattern: PathBuf, every: Option<Duration>, updates: bool) -> Result<Self, Failure> {
        let names = Self { pattern, every };
        let now = Timestamp::now();
        let first = names.at(now)?;
        let Some(every) = every else { return Ok(names) };
        if every < EVERY_LEAST {
            return Err(Failure::refused("--every: a second is the least"));
        }
        let next = names.next(now).unwrap_or(now);
        // A table may take the place of an older one. Of what peers sent, that would be the end.
        if updates && first == names.at(next)? {
            let why =
                "the name of the file must tell one from the next, as in updates.%Y%m%d.%H%M.mrt";
            return Err(Failure::refused(why));
        }
        Ok(names)
    }

    /// The name of a file that begins at `now`.
    fn at(&self, now: Timestamp) -> Result<PathBuf, Failure> {
        let wrong =
            |why: &dyn fmt::Display| Failure::refused(format!("{}: {why}", self.pattern.display()));
        let Some(pattern) = self.pattern.to_str() else {
            return Ok(self.pattern.clone());
        };
        if !pattern.contains('%') {
            return Ok(self.pattern.clone());
        }
        let utc = now.to_zoned(TimeZone::UTC);
        let name = strtime::format(pattern, &utc).map_err(|why| wrong(&why))?;
        Ok(name.into())
    }

    /// When the one after that begins.
    fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let every = i64::try_from(self.every?.as_secs()).ok()?;
        let passed = now.as_second().checked_rem(every)?;
        let next = (now.as_second() - passed).checked_add(every)?;
        Timestamp::from_second(next).ok()
    }
}

async fn until(then: Timestamp) {
    let wait = then.duration_since(Timestamp::now());
    tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await;
}

/// Whoever typed it, or the service manager, has enough.
async fn interrupted() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

/// A file that is not whole yet: it stands beside its place, and goes if it never is.
struct Part {
    path: PathBuf,
    file: Option<File>,
    octets: u64,
}

impl Part {
    fn create(file: &Path) -> Result<Self, Failure> {
        let mut name = OsString::from(file);
        name.push(".part");
        let path = PathBuf::from(name);
        let created = File::create(&path).map_err(|error| refused(&path, &error))?;
        Ok(Self {
            path,
            file: Some(created),
            octets: 0,
        })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.octets += piece.len() as u64;
        let written = self.file.as_mut().map_or(Ok(()), |f| f.write_all(piece));
        written.map_err(|error| refused(&self.path, &error))
    }

    fn finish(mut self, file: &Path, printer: &mut Printer<'_>) -> Result<(), Failure> {
        let synced = self.file.take().map_or(Ok(()), |f| f.sync_all());
        let done = synced.and_then(|()| fs::rename(&self.path, file));
        done.map_err(|error| {
            // The first error is the one that counts.
            let _ = fs::remove_file(&self.path);
            refused(file, &error)
        })?;
        let (file, octets) = (file.to_owned(), self.octets);
        let line = format!("{octets} octets written to {}", file.display());
        Ok(printer.done(&Dumped { file, octets }, || line)?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.file.is_some() {
            // It may be gone, or never have been ours to take away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refused(path: &Path, error: &io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
