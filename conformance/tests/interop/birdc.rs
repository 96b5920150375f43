//! BIRD's own clients at windrosed's control socket.

use std::process::{Command, Output};

use anyhow::{Result, ensure};
use conformance::lab::Bird;

use crate::star::{ROUTER, Star, bird, bird_with, peer};

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
        let said = say("show route where net ~ 10.1.0.0/16 count")?;
        ensure!(said.contains("250 of"), "{said}");
        let said = say("show route where preference = 100")?;
        ensure!(said.contains("cannot ask for `preference`"), "{said}");
        let said = say("show interfaces summary")?;
        ensure!(said.contains("192.0.1.1"), "{said}");
        // What is no command at all the clients refuse by themselves.
        let said = say("show route nonsense")?;
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

/// The same router twice.
const BIRD: &str = "
router id 192.0.1.1;
protocol static static1 { ipv4; route 10.99.0.0/16 blackhole; }
filter taken { if net = 10.3.0.0/16 then reject; if net = 10.6.0.0/16 then bgp_local_pref = 50; accept; }
template bgp t {
  local as 65001;
  ipv4 { import keep filtered on; import filter taken; export all; };
  ipv6 { import all; export all; };
}
protocol bgp bgp_192_0_1_2 from t { neighbor 192.0.1.2 as 65002; }
protocol bgp bgp_192_0_2_2 from t {
  neighbor 192.0.2.2 as 65003;
  ipv4 { import filter taken; export where net != 10.2.0.0/16; };
}
";
const WINDROSE: &str = r#"
[[originate]]
prefix = "10.99.0.0/16"
[[policy]]
name = "taken"
default = "accept"
[[policy.rule]]
match = { prefixes = ["10.3.0.0/16"] }
then = "reject"
[[policy.rule]]
match = { prefixes = ["10.6.0.0/16"] }
set = { local-pref = 50 }
[[policy]]
name = "told"
default = "accept"
[[policy.rule]]
match = { prefixes = ["10.2.0.0/16"] }
then = "reject"
[[peer]]
address = "192.0.1.2"
asn = 65002
families = ["ipv4", "ipv6"]
import = ["taken"]
export = ["accept"]
[[peer]]
address = "192.0.2.2"
asn = 65003
families = ["ipv4", "ipv6"]
import = ["taken"]
export = ["told"]
"#;

/// What is asked of both.
const ASKED: [&str; 24] = [
    "show route count",
    "show route table master4 count",
    "show route table master6",
    "show route",
    "show route all",
    "show route primary",
    "show route primary count",
    "show route filtered",
    "show route filtered count",
    "show route protocol bgp_192_0_1_2",
    "show route protocol bgp_192_0_2_2 count",
    "show route protocol static1",
    "show route export bgp_192_0_1_2",
    "show route export bgp_192_0_2_2",
    "show route export bgp_192_0_2_2 count",
    "show route noexport bgp_192_0_2_2",
    "show route for 10.1.7.9",
    "show route for 10.1.7.9 all",
    "show route 10.1.0.0/16 all",
    "show route where bgp_path.len > 1",
    "show route where (65002,7) ~ bgp_community",
    "show route where source = RTS_STATIC",
    "show route where source = RTS_BGP && bgp_local_pref < 100 all",
    "show route where proto = \"bgp_192_0_2_2\" && net ~ [10.0.0.0/8{16,17}] count",
];

/// An answer without what differs from run to run: times, and the devices that BIRD alone names; its routes in order.
fn plain(answer: &str) -> Vec<String> {
    let is_time = |word: &str| {
        let word = word.trim_end_matches(']');
        word.matches(':').count() == 2
            && word.contains('.')
            && word
                .bytes()
                .all(|b| b.is_ascii_digit() || b == b':' || b == b'.')
    };
    let mut blocks: Vec<String> = Vec::new();
    for line in answer.lines().filter(|line| !line.starts_with("BIRD")) {
        let line = line.split(" on eth").next().unwrap_or(line);
        // Link-local addresses are the machine's own.
        let words = line
            .split_whitespace()
            .filter(|word| !word.starts_with("fe80:"));
        let words = words.map(|word| match is_time(word) {
            true if word.ends_with(']') => "T]",
            true => "T",
            false => word,
        });
        let words = words.collect::<Vec<_>>().join(" ");
        match blocks.last_mut() {
            Some(block) if line.starts_with([' ', '\t']) => {
                block.push('\n');
                block.push_str(&words);
            }
            Some(_) | None => blocks.push(words),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks.sort();
    blocks
}

/// The rows of counts, where windrosed has numbers.
fn counts(answer: &str) -> Vec<String> {
    let is_count = |line: &&str| {
        ["Routes:", "Import ", "Export "]
            .iter()
            .any(|w| line.trim().starts_with(w))
    };
    let rows = answer.lines().filter(is_count).map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // What was told to one of many is known by the last column alone.
        match words.first() {
            Some(&"Export") => [&words[..2], &words[6..]].concat().join(" "),
            // BIRD counts withdrawals of its own among those that it ignored.
            Some(&"Import") if words[1] == "withdraws:" => {
                [&words[..4], &words[6..]].concat().join(" ")
            }
            // BIRD names them only where it keeps them.
            Some(_) | None => words.join(" ").replace(" 0 filtered,", ""),
        }
    });
    rows.collect()
}

/// Two peers, one after the other: so all is told once, and in the same order.
fn feeds(star: &Star) -> Result<[Bird; 2]> {
    let export = "if net = 10.2.0.0/16 then bgp_community.add((65002, 7));
        if net = 10.5.0.0/16 then bgp_path.prepend(65009);
        bgp_med = 5; accept;";
    let routes = [
        "10.1.0.0/16",
        "10.2.0.0/16",
        "10.3.0.0/16",
        "10.5.0.0/16",
        "10.6.0.0/16",
        "2001:db8:100::/48",
    ];
    let first = bird_with(1, 65002, "", &routes, export);
    let first = Bird::start(&star.lab, &star.spokes[0], &first)?;
    let limit = std::time::Duration::from_secs(60);
    star.lab
        .eventually("a session", limit, || first.established("w"))?;
    let export = "if net = 10.1.0.0/16 then bgp_path.prepend(65008);
        if net = 10.4.0.0/16 then bgp_large_community.add((65003, 1, 2));
        accept;";
    let second = bird_with(2, 65003, "", &["10.1.0.0/16", "10.4.0.0/16"], export);
    let second = Bird::start(&star.lab, &star.spokes[1], &second)?;
    star.lab
        .eventually("a session", limit, || second.established("w"))?;
    Ok([first, second])
}

#[test]
fn windrosed_answers_as_bird_does_about_the_same_routes() -> Result<()> {
    let (Some(one), Some(two)) = (
        Star::new(&["bird", "birdc"], 2)?,
        Star::new(&["bird", "birdc"], 2)?,
    ) else {
        return Ok(());
    };
    let real = Bird::start(&one.lab, &one.hub, BIRD)?;
    let windrosed = two.windrosed(&format!("{ROUTER}{WINDROSE}"))?;
    let socket = windrosed.socket().with_file_name("birdc.sock");
    let (first, second) = (feeds(&one)?, feeds(&two)?);
    two.soon("the same answers", || {
        let mut differ = Vec::new();
        for line in ASKED {
            let expected = plain(&real.ask(line)?);
            let found = plain(&ask(&two, "birdc", &socket, line)?);
            ensure!(!expected.is_empty(), "BIRD says nothing to {line}");
            if expected != found {
                differ.push(format!(
                    "{line}: BIRD says {expected:#?}, windrosed {found:#?}"
                ));
            }
        }
        ensure!(differ.is_empty(), "{}", differ.join("\n"));
        Ok(())
    })?;
    // Routes go, and come again as they were; another comes once more as it is.
    for feeds in [&first, &second] {
        let without = bird_with(2, 65003, "", &["10.1.0.0/16"], "accept;");
        feeds[1].configure(&without)?;
        feeds[0].ask("reload out w")?;
    }
    for peer in ["bgp_192_0_1_2", "bgp_192_0_2_2"] {
        let line = format!("show protocols all {peer}");
        two.soon(&line, || {
            let expected = counts(&real.ask(&line)?);
            let found = counts(&ask(&two, "birdc", &socket, &line)?);
            ensure!(expected.len() == 10, "{expected:#?}");
            ensure!(
                expected == found,
                "{peer}: BIRD counts {expected:#?}, windrosed {found:#?}"
            );
            Ok(())
        })?;
    }
    Ok(())
}
