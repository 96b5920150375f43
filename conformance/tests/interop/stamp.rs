//! STAMP with an implementation of others, `stamp-suite`: as reflector of our probes, and as a sender that we answer.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Host, Process, Windrosed, run};
use serde_json::Value;

use crate::star::{ROUTER, Star, peer};

/// The secret, and what `stamp-suite` is told of it.
const SECRET: &str = "0123456789abcdef";
const SECRET_IN_HEX: &str = "30313233343536373839616263646566";

/// The program that a variable names, or the one that the shell finds.
fn program() -> String {
    std::env::var("STAMP_SUITE").unwrap_or_else(|_| "stamp-suite".to_owned())
}

fn suite(host: &Host, secret: Option<&str>) -> Command {
    let mut command = host.command(&program());
    if let Some(secret) = secret {
        command.args(["--auth-mode", "A", "--hmac-key", secret]);
    }
    command
}

/// At the other end of the first link.
fn reflector(star: &Star, secret: Option<&str>) -> Result<Process> {
    let mut command = suite(&star.spokes[0], secret);
    command.args(["--is-reflector", "--stateful-reflector"]);
    command.args(["--local-addr", "192.0.1.2", "--local-port", "862"]);
    star.spokes[0].start("reflector", command)
}

/// What is said of a hundred probes to us.
fn probe(star: &Star, secret: Option<&str>) -> Result<Value> {
    let mut command = suite(&star.spokes[0], secret);
    command.args(["--remote-addr", "192.0.1.1", "--local-addr", "192.0.1.2"]);
    command.args(["--count", "100", "--send-delay", "5", "--timeout", "1"]);
    let said = run(command.args(["--output-format", "json"]))?;
    let summary = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let mut summary = summary.filter(|value: &Value| value["type"] == "summary");
    summary
        .next()
        .with_context(|| format!("no summary in {said}"))
}

fn link(windrosed: &Windrosed) -> Result<Value> {
    let rows = windrosed.rows("link list")?;
    rows.into_iter().next().context("no link")
}

fn config(more: &str) -> String {
    format!(
        "{ROUTER}{}",
        peer("192.0.1.2", 65002, &format!("probe = true\n{more}"))
    )
}

/// Loses a third of what comes to us from the other end.
fn lose(star: &Star, is_lossy: bool) -> Result<()> {
    star.hub.run("nft add table inet loss")?;
    star.hub.run("nft delete table inet loss")?;
    if is_lossy {
        star.hub.run("nft add table inet loss")?;
        star.hub
            .run("nft add chain inet loss in { type filter hook prerouting priority -300; }")?;
        star.hub
            .run("nft add rule inet loss in iifname eth1 numgen random mod 100 < 33 drop")?;
    }
    Ok(())
}

fn measured_by_their_reflector(secret: Option<&str>, more: &str) -> Result<()> {
    let Some(star) = Star::new(&[&program(), "nft"], 1)? else {
        return Ok(());
    };
    let _reflector = reflector(&star, secret)?;
    let windrosed = star.windrosed(&config(more))?;
    star.soon("a good link", || {
        let row = link(&windrosed)?;
        let rtt = row["rtt_us"].as_u64().unwrap_or_default();
        ensure!(
            row["state"] == "good" && row["probe"] == "stamp" && rtt > 0,
            "{row}"
        );
        Ok(())
    })?;
    lose(&star, true)?;
    star.soon("loss on the way back alone", || {
        let row = link(&windrosed)?;
        let of = |key: &str| row[key].as_f64().unwrap_or_default();
        ensure!(row["state"] == "lossy" && of("loss_in") > 0.1, "{row}");
        ensure!(of("loss_out") < 0.02, "{row}");
        Ok(())
    })
}

#[test]
fn their_reflector_answers_our_probes_and_tells_the_two_ways_apart() -> Result<()> {
    measured_by_their_reflector(None, "")
}

#[test]
fn their_reflector_answers_our_authenticated_probes() -> Result<()> {
    let key = format!("probe-password = \"{SECRET}\"");
    measured_by_their_reflector(Some(SECRET_IN_HEX), &key)
}

#[test]
fn their_sender_gets_an_answer_to_every_probe() -> Result<()> {
    let Some(star) = Star::new(&[&program()], 1)? else {
        return Ok(());
    };
    let _windrosed = star.windrosed(&config(""))?;
    let said = star.soon("an answer to each", || {
        let said = probe(&star, None)?;
        ensure!(said["packets_received"] == 100, "{said}");
        Ok(said)
    })?;
    ensure!(said["packets_lost"] == 0, "{said}");
    Ok(())
}

#[test]
fn their_sender_is_answered_with_our_key_and_not_without_it() -> Result<()> {
    let Some(star) = Star::new(&[&program()], 1)? else {
        return Ok(());
    };
    let key = format!("probe-password = \"{SECRET}\"");
    let _windrosed = star.windrosed(&config(&key))?;
    star.soon("an answer to each", || {
        let said = probe(&star, Some(SECRET_IN_HEX))?;
        ensure!(said["packets_received"] == 100, "{said}");
        Ok(())
    })?;
    for secret in [None, Some("ffffffffffffffffffffffffffffffff")] {
        let said = probe(&star, secret)?;
        ensure!(said["packets_received"] == 0, "{secret:?}: {said}");
    }
    Ok(())
}
