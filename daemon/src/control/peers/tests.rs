//! Orders about peers against a real speaker: what is taken, what is refused, what is kept.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use grpc_api::{ConfigControl as _, Job};
use speaker::Speaker;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::*;

const ADDED: &str = "address = \"10.0.0.9\"\nasn = 65009\ngroup = \"mesh\"\n";

struct Lab {
    control: Arc<Control>,
    file: PathBuf,
    dir: TempDir,
}

fn text(dir: &Path, more: &str) -> String {
    format!(
        "[router]\nasn = 65001\nrouter-id = \"10.255.0.1\"\n[api]\nstate-dir = \"{}\"\n\
         [[peer-group]]\nname = \"mesh\"\nimport = [\"accept\"]\nexport = [\"accept\"]\n\
         [[peer]]\naddress = \"10.0.0.2\"\nasn = 65002\ngroup = \"mesh\"\n{more}",
        dir.display()
    )
}

fn control(file: &Path) -> Arc<Control> {
    let loaded = with_kept(config::load(file, &[]).unwrap(), file);
    let (jobs, mut taken) = mpsc::channel::<Job>(4);
    let mut speaker = Speaker::new(loaded.speaker.clone(), Instant::now(), 1).unwrap();
    speaker.start(Instant::now(), &mut Vec::new());
    std::thread::spawn(move || {
        while let Some(job) = taken.blocking_recv() {
            job(&mut speaker, Instant::now(), &mut Vec::new());
        }
    });
    Arc::new(Control::new(file.to_owned(), jobs, loaded))
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("windrose.toml");
        fs::write(&file, text(dir.path(), "")).unwrap();
        let control = control(&file);
        Self { control, file, dir }
    }

    fn write(&self, more: &str) {
        fs::write(&self.file, text(self.dir.path(), more)).unwrap();
    }

    fn restart(&mut self) {
        self.control = control(&self.file);
    }

    async fn add(&self, config: &str, keep: bool) -> Result<PeerDone, Refusal> {
        let config = config.to_owned();
        let order = PeerOrder::Add { config, keep };
        self.control.change_peer(order, "a test".into()).await
    }

    async fn update(&self, config: &str, keep: bool) -> Result<PeerDone, Refusal> {
        let config = config.to_owned();
        let order = PeerOrder::Update { config, keep };
        self.control.change_peer(order, "a test".into()).await
    }

    async fn delete(&self, peer: &str, keep: bool) -> Result<PeerDone, Refusal> {
        let peer = name(peer);
        let order = PeerOrder::Delete { peer, keep };
        self.control.change_peer(order, "a test".into()).await
    }

    /// The peers that the core has, in order.
    async fn peers(&self) -> Vec<String> {
        let peers = self.control.ask(|speaker, _, _| speaker.peers()).await;
        let peers = peers.unwrap().into_iter();
        peers.map(|peer| peer.address.to_string()).collect()
    }
}

fn name(address: &str) -> PeerName {
    PeerName::new(address.parse().unwrap(), None)
}

fn code(done: Result<PeerDone, Refusal>) -> &'static str {
    match done.unwrap_err() {
        Refusal::NotFound(_) => "not found",
        Refusal::Exists(_) => "exists",
        Refusal::Precondition(_) => "precondition",
        Refusal::Invalid { .. } => "invalid",
        Refusal::Exhausted(_) => "exhausted",
    }
}

#[tokio::test]
async fn a_peer_comes_changes_and_goes() {
    let lab = Lab::new();
    let done = lab.add(ADDED, false).await.unwrap();
    assert_eq!((done.peer, done.report), (Some(name("10.0.0.9")), None));
    assert_eq!(done.changes, ["peer 10.0.0.9: added (AS 65009)"]);
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.9"]);
    let added = lab.control.added_peers();
    assert_eq!(added.into_iter().next(), Some((name("10.0.0.9"), false)));
    let shown = lab.control.effective();
    assert!(shown.contains("address = \"10.0.0.9\""), "{shown}");

    let other = format!("{ADDED}hold-time = \"30s\"\n");
    let done = lab.update(&other, false).await.unwrap();
    assert_eq!(
        done.changes,
        ["peer 10.0.0.9: hold-time 90s -> 30s (session restarts)"]
    );
    assert!(done.warnings.is_empty());

    lab.delete("10.0.0.9", false).await.unwrap();
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
    assert!(lab.control.added_peers().is_empty());
    assert_eq!(code(lab.delete("10.0.0.9", false).await), "not found");
}

#[tokio::test]
async fn all_mistakes_are_told_at_once_by_the_checks_of_the_file_and_nothing_changes() {
    let lab = Lab::new();
    let bad = "address = \"10.255.0.1\"\nasn = 0\ngroup = \"mash\"\nhold-time = \"1s\"\npasword = \"x\"\nport = 179";
    let report = lab.add(bad, true).await.unwrap().report.unwrap();
    for what in [
        "the request:1:11: 10.255.0.1 is an address of ours, by `router-id`",
        "the request:2:7: AS 0 is nobody's",
        "the request:3:9: there is no peer group `mash`",
        "did you mean `mesh`?",
        "the request:4:13: a hold time below three seconds",
        "the request:5:1: unknown key `pasword`",
        "did you mean `password`?",
        "5 mistakes in the request",
    ] {
        assert!(report.contains(what), "{what:?} is not in\n{report}");
    }
    assert!(!report.contains("\"x\""), "{report}");
    for (bad, what) in [
        ("= 5", "this is no TOML"),
        ("", "`address` is missing"),
        ("[[peer]]\naddress = \"10.0.0.9\"", "unknown key `peer`"),
        ("[router]\nasn = 5", "unknown key `router`"),
        ("address = \"fe80::9\"\nasn = 65009", "link-local"),
    ] {
        let report = lab.add(bad, true).await.unwrap().report.unwrap();
        assert!(report.contains(what), "{what:?} is not in\n{report}");
    }
    let huge = format!("{ADDED}# {}", "x".repeat(ADDED_OCTETS_MAX));
    assert_eq!(code(lab.add(&huge, false).await), "invalid");
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
    assert!(!lab.dir.path().join("peers").exists());
}

#[tokio::test]
async fn a_peer_of_the_file_is_the_file_s_and_one_that_was_added_is_not_added_again() {
    let lab = Lab::new();
    let of_file = ADDED.replace("10.0.0.9", "10.0.0.2");
    assert_eq!(code(lab.add(&of_file, false).await), "exists");
    assert_eq!(code(lab.update(&of_file, false).await), "precondition");
    assert_eq!(code(lab.delete("10.0.0.2", false).await), "precondition");
    assert_eq!(code(lab.update(ADDED, false).await), "not found");
    lab.add(ADDED, false).await.unwrap();
    assert_eq!(code(lab.add(ADDED, false).await), "exists");
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.9"]);
}

#[tokio::test]
async fn a_reload_leaves_an_added_peer_alone_and_gives_it_what_its_group_has_now() {
    let lab = Lab::new();
    lab.add(ADDED, false).await.unwrap();
    lab.write("[[peer]]\naddress = \"10.0.0.3\"\nasn = 65003\ngroup = \"mesh\"\n");
    assert_eq!(
        lab.control.reload().await.unwrap(),
        ["peer 10.0.0.3: added (AS 65003)"]
    );
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.3", "10.0.0.9"]);
    let other = text(lab.dir.path(), "")
        .replace("name = \"mesh\"", "name = \"mesh\"\nconnect-retry = \"9s\"");
    let changes = lab.control.diff(Some(&other)).unwrap();
    let of_added = "peer 10.0.0.9: connect-retry 5s -> 9s (in place)".to_owned();
    assert!(changes.contains(&of_added), "{changes:?}");

    // The file names it, too: that is refused as a whole.
    let both = "[[peer]]\naddress = \"10.0.0.9\"\nasn = 65009\ngroup = \"mesh\"\n";
    lab.write(both);
    let report = lab.control.reload().await.unwrap_err();
    let what = "peer 10.0.0.9, added over the API:1:11: 10.0.0.9 is a peer of the file, too";
    assert!(report.contains(what), "{report}");
    assert!(
        report.contains("`windrose peer delete 10.0.0.9`"),
        "{report}"
    );
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.3", "10.0.0.9"]);
    lab.delete("10.0.0.9", false).await.unwrap();
    lab.control.reload().await.unwrap();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.9"]);
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_nothing_else() {
    let mut lab = Lab::new();
    lab.add(ADDED, true).await.unwrap();
    let passing = ADDED.replace("10.0.0.9", "10.0.0.8");
    lab.add(&passing, false).await.unwrap();
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.9"]);
    let added = lab.control.added_peers();
    assert_eq!(added.into_iter().next(), Some((name("10.0.0.9"), true)));

    // Until the next restart only.
    lab.delete("10.0.0.9", true).await.unwrap();
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.9"]);
    // An update that is not to be kept is no longer.
    lab.update(ADDED, false).await.unwrap();
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
    lab.add(ADDED, true).await.unwrap();
    lab.delete("10.0.0.9", false).await.unwrap();
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
}

#[tokio::test]
async fn one_that_no_longer_fits_keeps_nobody_down_and_can_be_deleted() {
    let mut lab = Lab::new();
    lab.add(ADDED, true).await.unwrap();
    let alone = ADDED.replace("10.0.0.9", "10.0.0.8");
    lab.add(&alone, true).await.unwrap();
    lab.write("[[peer]]\naddress = \"10.0.0.9\"\nasn = 65010\n");
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.8", "10.0.0.9"]);
    let added = lab.control.added_peers();
    assert_eq!(added.into_keys().collect::<Vec<_>>(), [name("10.0.0.8")]);
    lab.write("");
    lab.control.reload().await.unwrap();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.8"]);
    lab.delete("10.0.0.9", false).await.unwrap();
    assert_eq!(code(lab.delete("10.0.0.9", false).await), "not found");
    lab.restart();
    assert_eq!(lab.peers().await, ["10.0.0.2", "10.0.0.8"]);
}

#[tokio::test]
async fn where_nothing_can_be_kept_nothing_is_added() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join("peers"), "no directory").unwrap();
    assert_eq!(code(lab.add(ADDED, true).await), "precondition");
    assert_eq!(lab.peers().await, ["10.0.0.2"]);
    lab.add(ADDED, false).await.unwrap();
}
