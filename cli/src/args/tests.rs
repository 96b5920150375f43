//! The command line: what is taken, and what is refused with which words.

use clap::CommandFactory;

use super::*;

fn parse(words: &str) -> Result<Windrose, clap::Error> {
    Windrose::try_parse_from(std::iter::once("windrose").chain(words.split(' ')))
}

#[test]
fn the_definitions_are_consistent() {
    Windrose::command().debug_assert();
}

#[test]
fn all_commands_are_there_by_their_names() {
    let commands = [
        "status",
        "peer list",
        "peer show 10.0.0.2",
        "peer enable 10.0.0.2",
        "peer disable 10.0.0.2 --message bye",
        "peer reset fe80::2%eth0",
        "peer refresh 10.0.0.2 --family ipv6",
        "peer add 10.0.0.2 --asn 65002 --group mesh --import accept --export a --export b --set hold-time=30s --keep",
        "peer add -f peer.toml",
        "peer update 10.0.0.2 --asn 65002",
        "peer delete 10.0.0.2 --keep",
        "peer watch",
        "route list",
        "route list 10.0.0.0/8 --best --longer --family ipv4",
        "route list --received 10.0.0.2",
        "route list --advertised 10.0.0.2",
        "route explain 10.0.0.0/8",
        "route watch --resume 1-2",
        "route inject 10.0.0.0/8 --next-hop 10.0.0.2 --community 65001:1 --community no-export \
         --large-community 65001:1:2 --ext-community rt:65001:5 --med 5 --local-pref 200 --origin egp \
         --aigp 7 --as-path 65010 --lease 30s --owner me --install --path-id 1 --hold",
        "route inject -f batch.toml",
        "route withdraw 10.0.0.0/8 --owner me",
        "route owners",
        "fib list --diff",
        "fib show 10.0.0.0/8",
        "bfd list",
        "fib diff",
        "link list",
        "link show 10.0.0.2",
        "link history 10.0.0.2",
        "link watch",
        "drain",
        "drain --grace 5m --wait",
        "undrain",
        "config check windrose.toml",
        "config diff windrose.toml",
        "config reload",
        "config show",
        "import bird bird.conf",
        "import bird bird.conf --to windrose.toml -o json",
        "completion bash",
        "man /tmp",
    ];
    for command in commands {
        let words = command.split_whitespace().collect::<Vec<_>>().join(" ");
        parse(&words).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

#[test]
fn server_and_output_may_stand_anywhere() {
    for words in [
        "-s /run/x.sock -o json peer list",
        "peer list -o json -s unix:/run/x.sock",
    ] {
        let windrose = parse(words).unwrap();
        assert_eq!(windrose.server, Address::Unix("/run/x.sock".into()));
        assert_eq!(windrose.output, Format::Json);
    }
}

#[test]
fn words_that_make_no_sense_are_refused() {
    let wrong = [
        "route inject",
        "route inject 10.0.0.0/8 -f batch.toml",
        "route inject 10.0.0.0/8 --lease 30",
        "route list --longer",
        "route list --received 10.0.0.2 --advertised 10.0.0.2",
        "peer show",
        "drain --grace soon",
        "-o yaml status",
        "-s localhost status",
    ];
    for words in wrong {
        let error = parse(words).expect_err(words);
        assert!(error.use_stderr(), "{words}");
    }
}
