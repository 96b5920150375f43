//! MRT: our table and BIRD's of the same routes, and what BIRD sends us, read by a reader of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use bgpkit_parser::models::{Bgp4MpEnum, BgpMessage, BgpState, MrtMessage, TableDumpV2Message};
use bgpkit_parser::parser::mrt::mrt_record::parse_mrt_record;
use conformance::lab::Bird;

use crate::star::{ROUTER, Star, bird, peer};

/// What a file says of a path: of whom it is, and its attributes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Row {
    peer: (String, u32),
    as_path: String,
    origin: String,
    med: Option<u32>,
    communities: Vec<String>,
    next_hop: String,
}

type Table = BTreeMap<String, BTreeSet<Row>>;

fn read(file: &Path) -> Result<Table> {
    let octets = std::fs::read(file)?;
    let mut rest = octets.as_slice();
    let (mut table, mut peers) = (Table::new(), BTreeMap::new());
    while !rest.is_empty() {
        let record = parse_mrt_record(&mut rest).map_err(|e| anyhow::anyhow!("{}", e.error))?;
        match record.message {
            MrtMessage::TableDumpV2Message(TableDumpV2Message::PeerIndexTable(index)) => {
                // BIRD begins anew for each of its tables.
                peers.clear();
                for number in 0..=u16::MAX {
                    let Some(peer) = index.id_peer_map.get(&number) else {
                        break;
                    };
                    peers.insert(number, (peer.peer_ip.to_string(), peer.peer_asn.to_u32()));
                }
            }
            MrtMessage::TableDumpV2Message(TableDumpV2Message::RibAfi(rib)) => {
                for entry in rib.rib_entries {
                    let attributes = &entry.attributes;
                    let peer = peers.get(&entry.peer_index).context("no such peer")?;
                    let reach = attributes.get_reachable_nlri().and_then(|r| r.next_hop);
                    let hop = reach.map(|hop| hop.addr()).or(attributes.next_hop());
                    let row = Row {
                        peer: peer.clone(),
                        as_path: attributes
                            .as_path()
                            .map(ToString::to_string)
                            .unwrap_or_default(),
                        origin: attributes.origin().to_string(),
                        med: attributes.multi_exit_discriminator(),
                        communities: attributes
                            .iter_communities()
                            .map(|c| c.to_string())
                            .collect(),
                        next_hop: hop.map(|hop| hop.to_string()).unwrap_or_default(),
                    };
                    table
                        .entry(rib.prefix.prefix.to_string())
                        .or_default()
                        .insert(row);
                }
            }
            other @ (MrtMessage::TableDumpMessage(_)
            | MrtMessage::TableDumpMessageBatch(_)
            | MrtMessage::TableDumpV2Message(_)
            | MrtMessage::Bgp4Mp(_)
            | MrtMessage::LegacyBgp(_)) => anyhow::bail!("{other:?}"),
        }
    }
    Ok(table)
}

/// What windrosed says of its own routes is what BIRD, which heard them, says; what BIRD announced is in our file.
#[test]
fn our_table_and_birds_say_the_same() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = format!(
        r#"{ROUTER}{}
[[originate]]
prefix = "10.100.0.0/16"
med = 7
communities = ["65001:100", "65001:200"]
[[originate]]
prefix = "2001:db8:100::/48"
communities = ["65001:6"]
"#,
        peer("192.0.1.2", 65002, "")
    );
    let windrosed = star.windrosed(&config)?;
    let routes = ["10.1.0.0/16", "10.2.0.0/24", "2001:db8:1000::/40"];
    let theirs = star.spokes[0].dir().join("bird.mrt");
    let mrt = format!(
        "{}protocol mrt {{ table \"master*\"; filename \"{}\"; period 1; }}\n",
        bird(1, 65002, "", &routes),
        theirs.display()
    );
    let bird = Bird::start(&star.lab, &star.spokes[0], &mrt)?;
    star.soon("the sessions", || bird.established("w"))?;
    star.soon("all routes at both ends", || {
        bird.path("10.100.0.0/16")?;
        bird.path("2001:db8:100::/48")?;
        routes
            .iter()
            .try_for_each(|route| windrosed.path(route).map(drop))
    })?;

    let file = star.hub.dir().join("rib.mrt");
    windrosed.ask(&format!("dump {}", file.display()))?;
    let ours = read(&file)?;
    ensure!(ours.len() == 5, "{ours:?}");
    let of_bird = ("192.0.1.2".to_owned(), 65002);
    for route in routes {
        let rows = ours.get(route).with_context(|| format!("no {route}"))?;
        let row = rows.first().context("no path")?;
        ensure!(
            rows.len() == 1 && row.peer == of_bird && row.as_path == "65002",
            "{rows:?}"
        );
        let hop = if route.contains(':') {
            "2001:db8:1::2"
        } else {
            "192.0.1.2"
        };
        ensure!(row.next_hop == hop, "{row:?}");
    }
    let own = |table: &Table, prefix: &str| {
        let row = table.get(prefix).and_then(|rows| rows.first()).cloned();
        row.with_context(|| format!("no {prefix} in {table:?}"))
    };
    for prefix in ["10.100.0.0/16", "2001:db8:100::/48"] {
        // BIRD writes a file a second, and empties it first.
        let heard = star.soon("BIRD's file", || own(&read(&theirs)?, prefix))?;
        let said = own(&ours, prefix)?;
        ensure!(said.peer == ("0.0.0.0".to_owned(), 65001), "{said:?}");
        ensure!(heard.peer == ("192.0.1.1".to_owned(), 65001), "{heard:?}");
        ensure!(
            heard.as_path == "65001" && said.as_path.is_empty(),
            "{heard:?} {said:?}"
        );
        let same = |row: &Row| (row.origin.clone(), row.med, row.communities.clone());
        ensure!(same(&said) == same(&heard), "{said:?} and {heard:?}");
    }
    Ok(())
}

/// What is in the files of a folder, in the order of their names.
fn events(dir: &Path) -> Result<Vec<String>> {
    let mut files: Vec<_> = std::fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut events = Vec::new();
    for file in files {
        let octets = std::fs::read(&file)?;
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let record = parse_mrt_record(&mut rest).map_err(|e| anyhow::anyhow!("{}", e.error))?;
            let MrtMessage::Bgp4Mp(record) = record.message else {
                anyhow::bail!("{record:?}");
            };
            match record {
                Bgp4MpEnum::StateChange(change) => {
                    let is_up = change.new_state == BgpState::Established;
                    let what = if is_up { "up" } else { "down" };
                    events.push(format!("{what} {}", change.peer_ip));
                }
                Bgp4MpEnum::Message(message) => {
                    let BgpMessage::Update(update) = message.bgp_message else {
                        anyhow::bail!("{message:?}");
                    };
                    let v6 = update.attributes.get_reachable_nlri();
                    let gone = update.attributes.get_unreachable_nlri();
                    let plus = update.announced_prefixes.iter();
                    let plus = plus.chain(v6.iter().flat_map(|nlri| &nlri.prefixes));
                    events.extend(plus.map(|p| format!("+ {}", p.prefix)));
                    let minus = update.withdrawn_prefixes.iter();
                    let minus = minus.chain(gone.iter().flat_map(|nlri| &nlri.prefixes));
                    events.extend(minus.map(|p| format!("- {}", p.prefix)));
                }
            }
        }
    }
    Ok(events)
}

/// What BIRD announces and withdraws, and that its session goes and comes, is in the record, in its order: files that
/// follow each other without a gap.
#[test]
fn what_bird_sends_is_recorded() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let windrosed = star.windrosed(&config)?;
    let (both, one) = (["10.1.0.0/16", "2001:db8:1000::/40"], ["10.1.0.0/16"]);
    let bird = Bird::start(&star.lab, &star.spokes[0], &bird(1, 65002, "", &one))?;
    star.soon("the route", || windrosed.path(one[0]).map(drop))?;

    let dir = star.hub.dir().join("updates");
    std::fs::create_dir(&dir)?;
    let mut command = windrosed.command();
    command.arg("dump").arg(dir.join("%s.mrt"));
    command.args(["--updates", "--every", "1s"]);
    let mut recorder = star.hub.start("recorder", command)?;
    star.soon("its first file", || {
        let any = std::fs::read_dir(&dir)?.next();
        any.map(drop).context("no file")
    })?;
    bird.configure(&crate::star::bird(1, 65002, "", &both))?;
    star.soon("the other route", || windrosed.path(both[1]).map(drop))?;
    bird.configure(&crate::star::bird(1, 65002, "", &one))?;
    star.soon("its end", || {
        ensure!(windrosed.path(both[1]).is_err());
        Ok(())
    })?;
    bird.ask("disable w")?;
    star.soon("the session's end", || {
        ensure!(windrosed.path(one[0]).is_err());
        Ok(())
    })?;
    bird.ask("enable w")?;
    star.soon("the session", || windrosed.path(one[0]).map(drop))?;
    let expected = [
        "+ 2001:db8:1000::/40",
        "- 2001:db8:1000::/40",
        "down 192.0.1.2",
        "up 192.0.1.2",
        "+ 10.1.0.0/16",
    ];
    star.soon("all of it in the files", || {
        recorder.check()?;
        let events = events(&dir)?;
        ensure!(events == expected, "{events:?}");
        Ok(())
    })?;
    star.soon("another file", || {
        let files = std::fs::read_dir(&dir)?.count();
        ensure!(files > 1, "{files}");
        Ok(())
    })?;
    recorder.stop()?;
    for file in std::fs::read_dir(&dir)? {
        let file = file?.path();
        ensure!(file.extension().is_some_and(|e| e == "mrt"), "{file:?}");
    }
    ensure!(events(&dir)? == expected);
    Ok(())
}
