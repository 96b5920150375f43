//! `windrose dump`: the table as an MRT file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use proto::v1::DumpRoutesRequest;
use proto::v1::route_service_client::RouteServiceClient;
use serde::Serialize;
use tokio_stream::StreamExt;
use tonic::transport::Channel;

use crate::client::{ANSWER_MAX, Failure};
use crate::output::Printer;

/// What was written.
#[derive(Debug, Serialize)]
struct Dumped {
    file: PathBuf,
    octets: u64,
}

pub(crate) async fn run(
    file: PathBuf,
    channel: Channel,
    printer: &mut Printer<'_>,
) -> Result<(), Failure> {
    let mut client = RouteServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX);
    let mut records = client.dump_routes(DumpRoutesRequest {}).await?.into_inner();
    let mut part = Part::create(&file)?;
    let mut octets = 0;
    while let Some(piece) = records.next().await {
        let piece = piece?.records;
        octets += piece.len() as u64;
        part.write(&piece)?;
    }
    part.finish(&file)?;
    let line = format!("{octets} octets written to {}", file.display());
    Ok(printer.done(&Dumped { file, octets }, || line)?)
}

/// A file that is not whole yet: it stands beside its place, and goes if it never is.
struct Part {
    path: PathBuf,
    file: Option<File>,
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
        })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let written = self.file.as_mut().map_or(Ok(()), |f| f.write_all(piece));
        written.map_err(|error| refused(&self.path, &error))
    }

    fn finish(mut self, file: &Path) -> Result<(), Failure> {
        let synced = self.file.take().map_or(Ok(()), |f| f.sync_all());
        let done = synced.and_then(|()| fs::rename(&self.path, file));
        done.map_err(|error| {
            // The first error is the one that counts.
            let _ = fs::remove_file(&self.path);
            refused(file, &error)
        })
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

fn refused(path: &Path, error: &std::io::Error) -> Failure {
    Failure::refused(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests;
