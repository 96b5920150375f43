//! From BIRD to windrosed: the same router twice, once with BIRD and its bird.conf, once with windrosed and what `windrose import
//! bird` made of it, each among the same peers. At the end the kernel has the same routes, and the peers were told the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use conformance::lab::{Bird, Windrosed};
use serde_json::Value;

use crate::star::{Star, bird_with};

/// RTPROT_BIRD, and ours.
const BIRDS: u8 = 12;
const OURS: u8 = 186;
/// How long nothing may change until it counts as the end.
const STILL: Duration = Duration::from_secs(4);
/// How long it may take to get there: BIRD waits before it connects.
const LIMIT: Duration = Duration::from_secs(60);

/// A route of the kernel: its type, preferred source and metric, then its ways.
type Kernel = BTreeMap<String, (String, Vec<String>)>;

/// A router and its peers.
struct Move {
    /// Under `bird/tests/data`.
    file: &'static str,
    /// What has no translation, by file and line: the rest is compared.
    lost: &'static [&'static str],
    /// How the file is written for the BIRD that is here, where that is not as it stands.
    rewritten: &'static [(&'static str, &'static str)],
    /// What is done to its kernel before, as `ip` says it.
    before: &'static [&'static str],
    /// Words that the end must have.
    shows: &'static [&'static str],
    /// Its AS.
    asn: u32,
    /// The peers' AS numbers, options, routes, and export filters, from link 1.
    peers: &'static [Peer],
}

struct Peer {
    asn: u32,
    /// Its timers of BFD, if it watches the way: a block of `protocol bfd`.
    bfd: &'static str,
    options: &'static str,
    routes: &'static [&'static str],
    export: &'static str,
}

/// Where all ended.
#[derive(Debug, PartialEq)]
struct End {
    kernel: Kernel,
    told: Vec<BTreeSet<String>>,
    /// The peers' sessions of BFD, with their timers.
    bfd: Vec<String>,
    /// What `birdcl` calls the sessions of BGP, and how they are.
    named: BTreeSet<String>,
}

impl Move {
    fn path(&self) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../bird/tests/data")
            .join(self.file)
    }

    fn star(&self) -> Result<Option<Star>> {
        let windrose = Windrosed::command_line_program();
        let star = Star::new(&["bird", &windrose], self.peers.len())?;
        if let Some(star) = &star {
            for line in self.before {
                star.hub.ip(line)?;
            }
        }
        Ok(star)
    }

    fn feeds(&self, star: &Star) -> Result<Vec<Bird>> {
        let feed = |(peer, number): (&Peer, u16)| {
            let mut options = peer.options.to_owned();
            let mut bfd = String::new();
            if !peer.bfd.is_empty() {
                options.push_str(" bfd on;");
                bfd = format!("protocol bfd {{ {} }}\n", peer.bfd);
            }
            let text = bird_with(number, peer.asn, &options, peer.routes, peer.export);
            let text = bfd + &text;
            let text = text.replace("as 65001;", &format!("as {};", self.asn));
            Bird::start(&star.lab, &star.spokes[usize::from(number) - 1], &text)
        };
        self.peers.iter().zip(1..).map(feed).collect()
    }

    /// The end with BIRD in the middle.
    fn with_bird(&self, star: &Star) -> Result<End> {
        let feeds = self.feeds(star)?;
        let folder = star.hub.dir().join("bird");
        copy(self.path().parent().context("a folder")?, &folder)?;
        rewrite(&folder, self.rewritten)?;
        let config = folder.join(self.path().file_name().context("a file")?);
        let mut command = star.hub.command("bird");
        command
            .current_dir(&folder)
            .arg("-f")
            .arg("-c")
            .arg(&config);
        let socket = star.hub.dir().join("hub.ctl");
        command.arg("-s").arg(&socket);
        let mut process = star.hub.start("bird", command)?;
        star.lab.eventually("sessions with BIRD", LIMIT, || {
            process.check()?;
            feeds.iter().try_for_each(|feed| feed.established("w"))
        })?;
        let look = || end(star, &feeds, BIRDS, &socket);
        let (mut last, mut since) = (look()?, Instant::now());
        star.lab.eventually("BIRD to be done", LIMIT, || {
            let now = look()?;
            if now != last {
                (last, since) = (now, Instant::now());
            }
            ensure!(since.elapsed() > STILL, "it changes still");
            Ok(())
        })?;
        Ok(last)
    }

    /// Waits until windrosed comes to the same end.
    fn with_windrosed(&self, star: &Star, expected: &End) -> Result<()> {
        let toml = self.imported()?;
        let feeds = self.feeds(star)?;
        let windrosed = star.windrosed(&toml)?;
        let socket = windrosed.socket().with_file_name("birdc.sock");
        star.lab
            .eventually("windrosed to come to the same end", LIMIT, || {
                feeds.iter().try_for_each(|feed| feed.established("w"))?;
                let found = end(star, &feeds, OURS, &socket)?;
                ensure!(
                    found.kernel == expected.kernel,
                    "kernel: {}",
                    differs(&expected.kernel, &found.kernel)
                );
                ensure!(
                    found.bfd == expected.bfd,
                    "BFD: {:?} {:?}",
                    expected.bfd,
                    found.bfd
                );
                ensure!(
                    found.named == expected.named,
                    "birdcl: {:?} {:?}",
                    expected.named,
                    found.named
                );
                for (number, (expected, found)) in expected.told.iter().zip(&found.told).enumerate()
                {
                    let missing: Vec<_> = expected.difference(found).collect();
                    let more: Vec<_> = found.difference(expected).collect();
                    ensure!(
                        missing.is_empty() && more.is_empty(),
                        "peer {}: BIRD tells {missing:#?}, windrosed {more:#?}",
                        number + 1
                    );
                }
                Ok(())
            })?;
        star.lab.throughout("the same end", STILL, || {
            let found = end(star, &feeds, OURS, &socket)?;
            ensure!(found == *expected, "it changed again");
            Ok(())
        })?;
        drop(windrosed);
        Ok(())
    }

    /// What the importer makes of the file, which says what it cannot translate.
    fn imported(&self) -> Result<String> {
        let mut command = Command::new(Windrosed::command_line_program());
        command
            .args(["-o", "json", "import", "bird"])
            .arg(self.path());
        let output = command.output()?;
        let said: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        let lines = said["not_translated"].as_array().context("a list")?;
        let lines: Vec<String> = lines
            .iter()
            .map(|line| {
                let file = line["file"].as_str().unwrap_or_default();
                let name = file.rsplit('/').next().unwrap_or_default();
                format!("{name}:{}", line["line"])
            })
            .collect();
        ensure!(
            lines == self.lost,
            "not translated: {:#}",
            said["not_translated"]
        );
        let code = if self.lost.is_empty() { 0 } else { 3 };
        ensure!(output.status.code() == Some(code), "{:?}", output.status);
        Ok(said["toml"].as_str().context("a text")?.to_owned())
    }

    fn run(&self) -> Result<()> {
        let (Some(one), Some(two)) = (self.star()?, self.star()?) else {
            return Ok(());
        };
        let expected = self.with_bird(&one)?;
        // A lab in which nothing happens would be equal to another one.
        ensure!(
            expected.kernel.values().any(|(_, ways)| !ways.is_empty()),
            "BIRD installs nothing that peers told"
        );
        ensure!(
            expected.told.iter().all(|told| !told.is_empty()),
            "BIRD tells nothing: {expected:#?}"
        );
        let all = format!("{expected:?}");
        for words in self.shows {
            ensure!(all.contains(words), "no {words}: {expected:#?}");
        }
        let watched = self.peers.iter().filter(|peer| !peer.bfd.is_empty());
        let up = expected.bfd.iter().filter(|row| row.contains(" Up "));
        ensure!(up.count() == watched.count(), "BFD: {:#?}", expected.bfd);
        self.with_windrosed(&two, &expected)
    }
}

/// Copies a folder of configurations; what BIRD 2.0 does not read yet is written as it reads it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            copy(&path, &to.join(name))?;
        } else {
            let text = std::fs::read_to_string(&path)?.replace(" -> bool", "");
            std::fs::write(to.join(name), text)?;
        }
    }
    Ok(())
}

/// Replaces words of a folder's files; all of them must be there.
fn rewrite(folder: &Path, words: &[(&str, &str)]) -> Result<()> {
    for (from, to) in words {
        let mut found = false;
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                let text = std::fs::read_to_string(&path)?;
                found |= text.contains(from);
                std::fs::write(&path, text.replace(from, to))?;
            }
        }
        ensure!(found, "no file has {from:?}");
    }
    Ok(())
}

/// Where all are, by the kernel, the peers, and what answers `birdcl` at `socket`.
fn end(star: &Star, feeds: &[Bird], protocol: u8, socket: &Path) -> Result<End> {
    let ask = format!("birdcl -s {} show protocols", socket.display());
    let named = star.hub.run(&ask)?;
    let named = named.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [name, "BGP", _, state, _, info, ..] = words.as_slice() else {
            return None;
        };
        // A range is a session of its own in BIRD, which waits; here it is none.
        (*info != "Passive").then(|| format!("{name} {state} {info}"))
    });
    Ok(End {
        kernel: kernel(star, protocol)?,
        told: feeds.iter().map(told).collect::<Result<_>>()?,
        bfd: feeds.iter().flat_map(sessions_of_bfd).collect(),
        named: named.collect(),
    })
}

/// The kernel's routes with this protocol.
fn kernel(star: &Star, protocol: u8) -> Result<Kernel> {
    let mut all = Kernel::new();
    let routes = star.hub.kernel_routes()?;
    for family in ["-4", "-6"] {
        let shown = |of: &str| -> Result<Vec<Value>> {
            let listed = star
                .hub
                .ip(&format!("-j -d {family} route show proto {of}"))?;
            if listed.trim().is_empty() {
                return Ok(Vec::new());
            }
            serde_json::from_str(&listed).with_context(|| listed.clone())
        };
        let connected = shown("kernel")?;
        for route in shown(&protocol.to_string())? {
            let of = |key: &str| route[key].as_str().unwrap_or("any").to_owned();
            let (prefix, kind) = (of("dst"), of("type"));
            let found = routes
                .iter()
                .find(|route| route.prefix == prefix && route.protocol == protocol);
            let ways = found.map_or_else(Vec::new, |route| {
                let hops = route.next_hops.iter();
                hops.map(|hop| format!("{hop:?}")).collect()
            });
            // BIRD 2 repeats what is connected; the kernel has it already.
            if connected.iter().any(|one| one["dst"] == route["dst"]) {
                continue;
            }
            // What is dropped has no source, and no device that matters.
            let (source, ways) = match kind.as_str() {
                "unicast" => (of("prefsrc"), ways),
                _ => ("any".to_owned(), Vec::new()),
            };
            // BIRD's own metric is not carried over.
            let metric = route["metric"]
                .as_u64()
                .filter(|n| ![20, 32, 1024].contains(n));
            let metric = metric.map_or_else(|| "own".to_owned(), |metric| metric.to_string());
            let first = format!("{kind} src {source} metric {metric}");
            all.insert(prefix, (first, ways));
        }
    }
    Ok(all)
}

/// `192.0.1.1 eth0 Up 0.100 0.300`: with whom, the state, how often it says something and how long it waits.
fn sessions_of_bfd(bird: &Bird) -> Vec<String> {
    let said = bird.ask("show bfd sessions").unwrap_or_default();
    let rows = said.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [address, interface, state, _, interval, timeout] = words.as_slice() else {
            return None;
        };
        let is_row = address.starts_with("192.");
        is_row.then(|| format!("{address} {interface} {state} {interval} {timeout}"))
    });
    rows.collect()
}

fn differs(expected: &Kernel, found: &Kernel) -> String {
    let missing: Vec<_> = expected
        .iter()
        .filter(|(prefix, route)| found.get(*prefix) != Some(route))
        .collect();
    let more: Vec<_> = found
        .iter()
        .filter(|(prefix, route)| expected.get(*prefix) != Some(route))
        .collect();
    format!("BIRD has {missing:#?}, windrosed {more:#?}")
}

/// All that a peer heard, each route with all its attributes, in a form that does not tell when and in which order.
fn told(bird: &Bird) -> Result<BTreeSet<String>> {
    let mut routes = BTreeSet::new();
    let mut route = String::new();
    for line in bird.ask("show route all protocol w")?.lines() {
        if line.starts_with("Table") || line.starts_with("BIRD") || line.trim().is_empty() {
            continue;
        }
        let Some(attribute) = line.strip_prefix('\t') else {
            routes.insert(std::mem::take(&mut route));
            // `10.0.0.0/8  unicast [w 12:00:00.000] * (100) [AS65001i]`
            let (before, after) = line.split_once(" [w ").unwrap_or((line, ""));
            let after = after.split_once(']').map_or("", |(_, after)| after);
            let words = before.split_whitespace().chain(after.split_whitespace());
            route = words
                .filter(|word| *word != "*")
                .collect::<Vec<_>>()
                .join(" ");
            continue;
        };
        // The link-local address beside a next hop is the machine's own; BIRD tells none over IPv4.
        let attribute = match attribute.strip_prefix("BGP.next_hop: ") {
            Some(hops) => hops.split(' ').next().unwrap_or_default(),
            None => attribute,
        };
        let mut parts: Vec<_> = attribute.split(" (").collect();
        if attribute.contains("community") {
            parts.sort_unstable();
            let parts: Vec<_> = parts
                .iter()
                .map(|part| part.replace("ommunity: (", "ommunity: ").replace(')', ""))
                .collect();
            route.push_str(&format!("\n{parts:?}"));
        } else {
            route.push_str(&format!("\n{attribute}"));
        }
    }
    routes.insert(route);
    routes.remove("");
    Ok(routes)
}

/// A node with two switches: defaults, pods and services, several paths, a preferred source.
#[test]
fn a_node_with_two_switches() -> Result<()> {
    Move {
        file: "cilium.conf",
        lost: &[],
        rewritten: &[],
        before: &[],
        shows: &[],
        asn: 65100,
        peers: &[
            Peer {
                asn: 65010,
                bfd: "",
                options: "",
                routes: &["0.0.0.0/0", "10.8.0.0/16", "10.9.0.0/16", "172.16.0.0/12"],
                export: "accept;",
            },
            Peer {
                asn: 65010,
                bfd: "",
                options: "",
                routes: &["0.0.0.0/0", "10.9.0.0/16", "10.10.0.0/16"],
                export: "if net = 0.0.0.0/0 then bgp_path.prepend(65010); accept;",
            },
        ],
    }
    .run()
}

/// A node of an overlay: functions with arguments, communities that measure the way, ROA that both fulfil.
#[test]
fn a_node_of_an_overlay() -> Result<()> {
    Move {
        file: "dn42/bird.conf",
        lost: &["bird.conf:40", "bird.conf:41", "bird.conf:43", "bird.conf:132", "bird.conf:160"],
        rewritten: &[],
        before: &[],
        shows: &[],
        asn: 4_242_421_234,
        peers: &[
            Peer {
                asn: 4_242_420_404,
                bfd: "",
                options: "",
                routes: &["172.20.4.0/24", "172.20.4.128/25", "172.23.9.0/27", "192.168.0.0/16", "fd99:1::/48", "fd99:2::/32"],
                export: "if net ~ 172.20.4.128/25 then bgp_community.add((64511, 8)); bgp_community.add((64511, 23)); bgp_community.add((64511, 34)); accept;",
            },
            Peer {
                asn: 4_242_420_505,
                bfd: "",
                options: "",
                routes: &["172.20.4.64/27", "172.20.4.96/29", "fd99:3::/48"],
                export: "if net ~ 172.20.4.0/24 then bgp_path.prepend(4242420404); if net.type = NET_IP4 then { bgp_community.add((64511, 31)); bgp_community.add((64511, 21)); } accept;",
            },
        ],
    }
    .run()
}

/// A gateway: sets, `case`, masks, all kinds of communities, `proto`, a client of a reflector, roles, GTSM and a password.
#[test]
fn a_gateway_between_clouds() -> Result<()> {
    Move {
        file: "gateway.conf",
        lost: &[],
        rewritten: &[],
        before: &[],
        shows: &[],
        asn: 65001,
        peers: &[
            Peer {
        asn: 65010,
                bfd: "",
                options: "local role peer;",
                routes: &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "127.1.0.0/16", "10.0.0.0/8", "2001:db8:1000::/40", "2001:db8:a100::/40"],
                export: "if net = 10.1.0.0/16 then bgp_community.add((65010, 101));
                    if net = 10.2.0.0/16 then { bgp_path.prepend(65099); bgp_community.add((65010, 7)); }
                    if net = 10.3.0.0/16 then bgp_community.add((65535, 666));
                    bgp_med = 9; accept;",
            },
            Peer {
        asn: 65020,
                bfd: "",
                options: "ttl security on; password \"a 'quoted' word\";",
                routes: &["10.1.0.0/16", "10.4.0.0/16", "10.5.0.0/16", "198.51.100.128/25", "2001:db8:1000::/40", "2001:db8:2000::/50"],
                export: "if net = 10.5.0.0/16 then { bgp_path.prepend(23456); bgp_path.prepend(65020); }
                    bgp_large_community.add((65020, 2, 3)); accept;",
            },
            Peer {
        asn: 65001,
                bfd: "",
                options: "",
                routes: &["10.30.1.0/24", "10.31.0.0/16", "12.0.0.0/8"],
                export: "if net ~ 10.30.0.0/16 then bgp_community.add((65001, 99)); accept;",
            },
        ],
    }
    .run()
}

/// A node of a mesh: BIRD 1.6 syntax, functions that decide, blocks of the node, a passive session, a rack with a password.
#[test]
fn a_node_of_a_mesh() -> Result<()> {
    Move {
        file: "calico/bird.cfg",
        lost: &[],
        // BIRD 2 has channels.
        rewritten: &[
            ("protocol static {", "protocol static { ipv4;"),
            ("protocol direct {", "protocol direct { ipv4;"),
            (
                "import all;\n  export filter calico_kernel_programming;",
                "ipv4 { import all; export filter calico_kernel_programming; };",
            ),
            (
                "gateway recursive;\n  add paths on;",
                "ipv4 { gateway recursive; add paths on; };",
            ),
            (
                "  import all;\n  export filter {",
                "  ipv4 { import all; export filter {",
            ),
            ("  import filter {", "  ipv4 { import filter {"),
            (
                "peers(true);\n    reject;\n  };",
                "peers(true); reject; }; };",
            ),
            (
                "peers(false);\n    reject;\n  };",
                "peers(false); reject; }; };",
            ),
        ],
        before: &[],
        shows: &[],
        asn: 64900,
        peers: &[
            Peer {
                asn: 64900,
                bfd: "",
                options: "",
                routes: &[
                    "10.42.8.0/26",
                    "10.8.0.0/16",
                    "10.9.0.0/16",
                    "192.168.7.0/24",
                ],
                export: "accept;",
            },
            Peer {
                asn: 64900,
                bfd: "",
                options: "",
                routes: &["10.42.9.0/26", "10.8.0.0/16", "10.42.200.64/26"],
                export: "if net = 10.42.9.0/26 then bgp_local_pref = 150; accept;",
            },
            Peer {
                asn: 64801,
                bfd: "",
                options: "multihop 2; password \"rack key\";",
                routes: &["0.0.0.0/0", "10.42.50.0/24", "172.16.0.0/12", "10.8.0.0/16"],
                export: "bgp_med = 7; accept;",
            },
        ],
    }
    .run()
}

/// A gateway that tells what its kernel has: connected prefixes and routes of others. Its kernel gets routes by policy, with
/// sources and metrics; paths are edited, and BFD has timers of its own.
#[test]
fn a_gateway_that_tells_what_its_kernel_has() -> Result<()> {
    Move {
        file: "edge.conf",
        lost: &[],
        rewritten: &[],
        before: &[
            "link add pods0 type veth peer name xpods0",
            "link set pods0 up",
            "link set xpods0 up",
            "addr add 10.50.0.1/24 dev pods0",
            "addr add 10.51.0.1/32 dev pods0",
            "addr add 2001:db8:50::1/64 dev pods0 nodad",
            "link add other0 type veth peer name xother0",
            "link set other0 up",
            "link set xother0 up",
            "addr add 10.52.0.1/24 dev other0",
            "route add 10.77.0.0/16 via 10.50.0.9 proto static",
            "route add 10.77.5.0/24 via 10.50.0.9 proto boot",
            "route add 10.77.6.0/25 via 10.50.0.9 proto static",
            "route add 10.78.0.0/16 via 10.50.0.9 proto static",
        ],
        shows: &[
            "src 10.50.0.1 metric own",
            "src 192.0.1.1 metric own",
            "metric 500",
            "src 10.50.0.1 metric 700",
            "65001,50",
            "65001,77",
            "65001,666",
            "BGP.as_path: 65010 64600",
        ],
        asn: 65001,
        peers: &[
            Peer {
                asn: 65010,
                bfd: "interface \"eth0\" { interval 150 ms; multiplier 3; };",
                options: "",
                routes: &["10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16", "10.9.0.0/16", "2001:db8:1000::/40"],
                export: "if net = 10.2.0.0/16 then { bgp_path.prepend(65091); bgp_path.prepend(64600); bgp_path.prepend(65100); }
                    if net = 10.3.0.0/16 then { bgp_path.prepend(65030); bgp_path.prepend(65099); bgp_path.prepend(65031); }
                    accept;",
            },
            Peer {
                asn: 65020,
                bfd: "interface \"eth0\" { min rx interval 250 ms; min tx interval 120 ms; multiplier 5; };",
                options: "",
                routes: &["10.4.0.0/16", "10.5.0.0/16", "10.77.5.0/24", "2001:db8:1000::/40", "2001:db8:2000::/40"],
                export: "if net = 10.5.0.0/16 then { bgp_path.prepend(65030); bgp_path.prepend(65031); } accept;",
            },
            Peer {
                asn: 65001,
                bfd: "multihop { interval 300 ms; multiplier 3; };",
                options: "",
                routes: &["10.6.0.0/16", "2001:db8:3000::/40"],
                export: "accept;",
            },
        ],
    }
    .run()
}
