//! Each call over a Unix socket, against a real speaker.

mod injections;
mod lab;
mod links;
mod peers;
mod policies;
mod routes;
mod server;
mod system;
