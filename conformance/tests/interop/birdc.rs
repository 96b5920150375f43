//! BIRD's own clients at windrosed's control socket.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use conformance::lab::Bird;

use crate::star::{ROUTER, Star, bird, peer};

/// More than a page of routes.
const MANY: usize = 600;

fn ask(star: &Star, client: &str, socket: &std::path::Path, line: &str) -> Result<String> {
    let mut command: Command = star.hub.command(client);
    command.arg("-s").arg(socket).args(line.split_whitespace());
    let Output { stdout, stderr, .. } = command.output()?;
    Ok(format!(
        "{}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    ))
}

#[test]
fn birdc_and_birdcl_read_status_protocols_and_routes() -> Result<()> {
    let Some(star) = Star::new(&["bird", "birdc", "birdcl"], 1)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&format!("{ROUTER}{}", peer("192.0.1.2", 65002, "")))?;
    let socket = windrosed.socket().with_file_name("birdc.sock");
    let many: Vec<String> = (0..MANY)
        .map(|n| format!("10.{}.{}.0/24", n / 250, n % 250))
        .collect();
    let mut routes: Vec<&str> = many.iter().map(String::as_str).collect();
    routes.push("2001:db8:100::/48");
    let _bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    for client in ["birdc", "birdcl"] {
        let say = |line: &str| ask(&star, client, &socket, line);
        star.soon("the count", || {
            let said = say("show route count")?;
            let total = format!("Total: {0} of {0} routes for {0} networks", MANY + 1);
            ensure!(said.contains(&total), "{said}");
            Ok(())
        })?;
        let said = say("show status")?;
        ensure!(said.contains("Router ID is 192.0.1.1"), "{said}");
        ensure!(said.contains("Daemon is up and running"), "{said}");
        let said = say("show protocols all bgp_192_0_1_2")?;
        ensure!(said.contains("Established"), "{said}");
        ensure!(said.contains(&format!("{MANY} imported, ")), "{said}");
        let said = say("show route")?;
        ensure!(
            said.matches("[bgp_192_0_1_2 ").count() == MANY + 1,
            "{said}"
        );
        let said = say("show route for 10.1.7.9 all")?;
        ensure!(
            said.contains("10.1.7.0/24 ") && said.contains("via 192.0.1.2"),
            "{said}"
        );
        ensure!(said.contains("BGP.as_path: 65002"), "{said}");
        let said = say("show bfd sessions")?;
        ensure!(said.contains("IP address"), "{said}");
        for line in ["configure", "down", "disable bgp_192_0_1_2"] {
            let said = say(line)?;
            ensure!(said.contains("Access denied"), "{line}: {said}");
        }
        // What is no command at all the clients refuse by themselves.
        let said = say("show route where true")?;
        ensure!(said.contains("syntax error"), "{said}");
    }
    // Nothing of it has disturbed the session.
    windrosed.established("192.0.1.2")
}

#[test]
fn a_client_that_reads_nothing_is_no_trouble_to_others() -> Result<()> {
    use std::io::Write as _;
    let Some(star) = Star::new(&["bird", "birdcl"], 1)? else {
        return Ok(());
    };
    let windrosed = star.windrosed(&format!("{ROUTER}{}", peer("192.0.1.2", 65002, "")))?;
    let socket = windrosed.socket().with_file_name("birdc.sock");
    let many: Vec<String> = (0..MANY)
        .map(|n| format!("10.{}.{}.0/24", n / 250, n % 250))
        .collect();
    let routes: Vec<&str> = many.iter().map(String::as_str).collect();
    let _bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &routes))?;
    star.soon("the session", || windrosed.established("192.0.1.2"))?;
    // Far more answers than a socket's buffer holds.
    let mut deaf = std::os::unix::net::UnixStream::connect(&socket)?;
    deaf.set_nonblocking(true)?;
    // The daemon stops reading when its answers are not taken: then this fails, as it may.
    let _ = deaf.write_all("show route all\n".repeat(200).as_bytes());
    for _ in 0..3 {
        let said = ask(&star, "birdcl", &socket, "show status")?;
        ensure!(said.contains("up and running"), "{said}");
    }
    windrosed.established("192.0.1.2")
}
