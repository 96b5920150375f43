//! `DumpRoutes`: the table as an MRT file, a piece whenever the client can take one.

use bytes::BytesMut;
use proto::v1;
use speaker::{Speaker, TableDump};
use tokio::sync::mpsc;
use tonic::Status;

use crate::core::Core;

/// A piece ends behind the records that take it over so many octets …
const PIECE_OCTETS: usize = 256 << 10;
/// … or after so many prefixes: BGP waits no longer than for these.
const PIECE_NETS: u32 = 4096;
/// Prefixes between two looks at the size.
const STEP_NETS: u32 = 16;

pub(crate) type Message = Result<v1::DumpRoutesResponse, Status>;

/// Sends the whole table to `client`, or until it goes away. A slow one holds up nobody: a dump that waits holds
/// nothing of the core.
pub(crate) async fn run(core: Core, client: mpsc::Sender<Message>) {
    let clock = core.clock;
    let begin = core
        .ask(move |speaker, now, _| {
            let mut out = BytesMut::new();
            let dump = speaker.dump_begin(now, clock(), &mut out);
            (dump, out)
        })
        .await;
    let mut next = match begin {
        Ok((dump, out)) => Some((dump, out, true)),
        Err(status) => return drop(client.send(Err(status)).await),
    };
    while let Some((mut dump, out, more)) = next.take() {
        let records = out.to_vec();
        if !records.is_empty() && send(&client, records).await.is_none() || !more {
            return;
        }
        let piece = core.ask(move |speaker, _, _| {
            let (out, more) = piece(speaker, &mut dump);
            (dump, out, more)
        });
        next = match piece.await {
            Ok(piece) => Some(piece),
            Err(status) => return drop(client.send(Err(status)).await),
        };
    }
}

/// `None`: the client is gone.
async fn send(client: &mpsc::Sender<Message>, records: Vec<u8>) -> Option<()> {
    let message = v1::DumpRoutesResponse { records };
    client.send(Ok(message)).await.ok()
}

fn piece(speaker: &Speaker, dump: &mut TableDump) -> (BytesMut, bool) {
    let (mut out, mut nets) = (BytesMut::new(), 0);
    while out.len() < PIECE_OCTETS && nets < PIECE_NETS {
        if !speaker.dump_next(dump, STEP_NETS, &mut out) {
            return (out, false);
        }
        nets += STEP_NETS;
    }
    (out, true)
}
