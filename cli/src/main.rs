//! windrose, the command: it can do only what the API can.

mod args;
mod bfd;
mod client;
mod drain;
mod dump;
mod fib;
mod import;
mod inject;
mod link;
mod output;
mod path;
mod peer;
mod policy;
mod route;
mod system;
mod text;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::{Command, Windrose};
use crate::client::Failure;
use crate::output::Printer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let windrose = match Windrose::try_parse() {
        Ok(windrose) => windrose,
        Err(error) => {
            // Help was asked for, or the words make no sense; 2 would mean "not reachable".
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match run(windrose, &mut out).await {
        Ok(()) => out.flush().map_err(Failure::from),
        Err(failure) => out.flush().map_err(Failure::from).and(Err(failure)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has read enough, as `head` does.
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(io::stderr(), "windrose: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(windrose: Windrose, out: &mut dyn Write) -> Result<(), Failure> {
    let Windrose {
        server,
        output,
        tls,
        command,
    } = windrose;
    match &command {
        Command::Completion { shell } => {
            // Into memory first: the generator panics where it cannot write.
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Windrose::command(), "windrose", &mut script);
            out.write_all(&script)?;
            return Ok(());
        }
        Command::Man { dir } => return Ok(man(dir)?),
        Command::Import(command) => {
            return import::run(command, &mut Printer::new(output, output::colour(), out));
        }
        Command::Status
        | Command::Peer(_)
        | Command::Route(_)
        | Command::Fib(_)
        | Command::Bfd(_)
        | Command::Link(_)
        | Command::Dump(_)
        | Command::Drain { .. }
        | Command::Undrain
        | Command::Policy(_)
        | Command::Config(_) => {}
    }
    let channel = client::connect(&server, &tls).await?;
    let printer = &mut Printer::new(output, output::colour(), out);
    match command {
        Command::Status => system::status(channel, printer).await,
        Command::Peer(command) => peer::run(command, channel, printer).await,
        Command::Route(command) => route::run(command, channel, printer).await,
        Command::Dump(order) => dump::run(order, channel, printer).await,
        Command::Drain { grace, wait } => drain::drain(grace, wait, channel, printer).await,
        Command::Undrain => drain::undrain(channel, printer).await,
        Command::Fib(command) => fib::run(command, channel, printer).await,
        Command::Link(command) => link::run(command, channel, printer).await,
        Command::Bfd(command) => bfd::run(command, channel, printer).await,
        Command::Policy(command) => policy::run(command, channel, printer).await,
        Command::Config(command) => system::config(command, channel, printer).await,
        Command::Completion { .. } | Command::Man { .. } | Command::Import(_) => Ok(()),
    }
}

fn man(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Windrose::command(), dir)
}
