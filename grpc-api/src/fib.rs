//! `FibService`.

use proto::v1;
use proto::v1::fib_service_server::FibService;
use tonic::{Request, Response, Status};

use crate::convert;
use crate::core::Core;
use crate::page;

#[derive(Debug)]
pub(crate) struct Fib(pub(crate) Core);

#[tonic::async_trait]
impl FibService for Fib {
    async fn list_fib(
        &self,
        request: Request<v1::ListFibRequest>,
    ) -> Result<Response<v1::ListFibResponse>, Status> {
        let v1::ListFibRequest {
            diff_only,
            page_size,
            page_token,
        } = request.into_inner();
        let size = page::size(page_size);
        let after = convert::prefix_token(&page_token).map_err(convert::status)?;
        let page = self
            .0
            .ask(move |speaker, _, _| speaker.fib(after, size, diff_only))
            .await?;
        let next = page.next.map(|prefix| prefix.to_string());
        let (routes, next_page_token) =
            page::fill(page.rows, next, convert::fib_route, |route| &route.prefix);
        Ok(Response::new(v1::ListFibResponse {
            routes,
            next_page_token,
        }))
    }

    async fn show_fib(
        &self,
        request: Request<v1::ShowFibRequest>,
    ) -> Result<Response<v1::ShowFibResponse>, Status> {
        let prefix =
            convert::prefix("prefix", &request.into_inner().prefix).map_err(convert::status)?;
        let detail = self
            .0
            .ask(move |speaker, _, _| speaker.fib_detail(prefix))
            .await?;
        let detail = detail.ok_or_else(|| convert::no_route(prefix))?;
        Ok(Response::new(convert::fib_detail(detail)))
    }
}
