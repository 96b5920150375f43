//! `RecordUpdates`: what peers send, as MRT records.

use std::time::Duration;

use proto::v1;
use speaker::Recorder;
use speaker::record::RECORD_MAX;
use tokio::sync::mpsc;
use tonic::Status;

use crate::core::Core;

/// Between two looks at what came.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(crate) type Message = Result<v1::RecordUpdatesResponse, Status>;

/// Sends `client` what comes, until it goes away.
pub(crate) async fn run(core: Core, recorder: Recorder, client: mpsc::Sender<Message>) {
    let clock = core.clock;
    let mut recorder = Some(recorder);
    while let Some(held) = recorder.take() {
        let asked = core.ask(move |speaker, now, _| {
            speaker.set_clock(now, clock());
            let recorded = speaker.recorded(&held);
            (held, recorded)
        });
        let records = match asked.await {
            Ok((held, Ok(records))) => {
                recorder = Some(held);
                records
            }
            Ok((_, Err(_))) => {
                let why = format!("too slow: more than {RECORD_MAX} octets waited to be read");
                return drop(client.send(Err(Status::data_loss(why))).await);
            }
            Err(status) => return drop(client.send(Err(status)).await),
        };
        if !records.is_empty() {
            let records = records.to_vec();
            let message = v1::RecordUpdatesResponse { records };
            if client.send(Ok(message)).await.is_err() {
                return;
            }
            continue;
        }
        tokio::select! {
            () = client.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
