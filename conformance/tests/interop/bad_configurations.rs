//! What an operator gets wrong, and what windrosed says to it.

use anyhow::Result;
use conformance::lab::{Bird, RawPeer, Windrosed};

use crate::star::{ROUTER, Star, bird, peer};

/// Each wrong line carries a mark; each mark's line must be named.
const WRONG: &str = r#"[router]
asn = "sixty"                           # WRONG a type
router-id = "192.0.1.300"               # WRONG no address
multi-path = 4                          # WRONG no such key

[[originate]]
prefix = "10.1.0.0/33"                  # WRONG no prefix

[[peer]]
address = "192.0.1.2"
asn = 65002
import = ["from-nodes"]                 # WRONG no such policy
hold-time = "90"                        # WRONG no unit

[[peer]]
address = "192.0.1.2"                   # WRONG twice
asn = 65003
"#;

#[test]
fn check_names_every_wrong_line() -> Result<()> {
    let Some(star) = Star::new(&[], 0)? else {
        return Ok(());
    };
    let file = star.hub.dir().join("bad.toml");
    std::fs::write(&file, WRONG)?;
    let (code, said) = Windrosed::check(&file)?;
    assert_eq!(code, 1, "{said}");
    for (index, line) in WRONG.lines().enumerate() {
        let (at, at_colon) = (format!("line {}", index + 1), format!(":{}", index + 1));
        if line.contains("WRONG") {
            let named = said.contains(&at) || said.contains(&at_colon);
            assert!(named, "{at} is not named: {line}\n{said}");
        }
    }
    Ok(())
}

#[test]
fn check_shows_what_holds() -> Result<()> {
    let Some(star) = Star::new(&[], 0)? else {
        return Ok(());
    };
    let file = star.hub.dir().join("good.toml");
    std::fs::write(&file, format!("{ROUTER}{}", peer("192.0.1.2", 65002, "")))?;
    let (code, said) = Windrosed::check(&file)?;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("192.0.1.2"), "{said}");
    Ok(())
}

/// A reload is all or nothing: a bad file changes nothing, and the sessions do not notice.
#[test]
fn a_bad_reload_changes_nothing() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let good = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let windrosed = star.windrosed(&good)?;
    let bird = Bird::start(
        &star.lab,
        &star.spokes[0],
        &bird(1, 65002, "", &["10.1.0.0/16"]),
    )?;
    star.soon("the route", || windrosed.path("10.1.0.0/16"))?;
    let since = bird.since("w")?;
    windrosed.reload(&good.replace("asn = 65002", "asn = \"many\""))?;
    star.lab
        .throughout("the session", std::time::Duration::from_secs(2), || {
            windrosed.path("10.1.0.0/16").map(drop)
        })?;
    windrosed.reload(&format!(
        "{good}\n[[originate]]\nprefix = \"10.9.0.0/16\"\n"
    ))?;
    star.soon("the new route at BIRD", || bird.path("10.9.0.0/16"))?;
    assert!(bird.since("w")?.is(since));
    Ok(())
}

#[test]
fn a_taken_port_names_who_has_it() -> Result<()> {
    let Some(star) = Star::new(&["bird"], 1)? else {
        return Ok(());
    };
    let config = bird(1, 65002, "", &[])
        .replace("neighbor 192.0.1.1", "neighbor 192.0.1.2")
        .replace("local 192.0.1.2", "local 192.0.1.1");
    let _bird = Bird::start(&star.lab, &star.hub, &config)?;
    let listener = "192.0.1.1".parse()?;
    star.soon("BIRD to listen", || RawPeer::connect(&star.hub, listener))?;
    let config = format!("{ROUTER}{}", peer("192.0.1.2", 65002, ""));
    let (code, said) = Windrosed::fail(&star.lab, &star.hub, &config)?;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("179") && said.contains("bird"), "{said}");
    Ok(())
}

#[test]
fn a_socket_that_cannot_be_made_is_named() -> Result<()> {
    let Some(star) = Star::new(&[], 0)? else {
        return Ok(());
    };
    let config = format!("{ROUTER}\n[api]\nlisten = [\"unix:/proc/windrose/api.sock\"]\n");
    let (code, said) = Windrosed::fail(&star.lab, &star.hub, &config)?;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("/proc/windrose"), "{said}");
    Ok(())
}
