//! `BfdService`.

use proto::v1;
use proto::v1::bfd_service_server::BfdService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;
use crate::page;

#[derive(Debug)]
pub(crate) struct Bfd(pub(crate) Core);

#[tonic::async_trait]
impl BfdService for Bfd {
    async fn list_bfd_sessions(
        &self,
        request: Request<v1::ListBfdSessionsRequest>,
    ) -> Result<Response<v1::ListBfdSessionsResponse>, Status> {
        let v1::ListBfdSessionsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let first = convert::offset(&page_token).map_err(convert::status)?;
        let (now, watches) = self
            .0
            .ask(|speaker, now, _| (now, speaker.watches()))
            .await?;
        let all = self.0.liveness.sessions().await;
        let size = page::size(page_size);
        let rows = all.iter().skip(first).take(size);
        let sessions = rows.map(|row| {
            let watch = watches.iter().find(|watch| watch.path == row.path);
            convert::bfd_session(row, watch, now)
        });
        let next = first.saturating_add(size);
        Ok(Response::new(v1::ListBfdSessionsResponse {
            sessions: sessions.collect(),
            next_page_token: if next < all.len() {
                next.to_string()
            } else {
                String::new()
            },
        }))
    }
}
