//! Whatever is read, the end is a file or a line: never a panic, never without end.

use proptest::prelude::*;

use super::*;

const CALICO: &str = include_str!("../../tests/data/calico/bird.cfg");
const GATEWAY: &str = include_str!("../../tests/data/gateway.conf");
const DN42: &str = include_str!("../../tests/data/dn42/bird.conf");

/// Includes whatever is asked for: itself.
struct Mirror(String);

impl Files for Mirror {
    fn include(&mut self, pattern: &str, _from: &str) -> Result<Vec<(String, String)>, String> {
        match pattern.len() % 3 {
            0 => Err("no".to_owned()),
            1 => Ok(Vec::new()),
            _ => Ok(vec![("inner".to_owned(), self.0.clone())]),
        }
    }
}

fn ends(text: &str) {
    let mut files = Mirror(text.to_owned());
    let lines = u32::try_from(text.lines().count()).unwrap().max(1);
    match import("bird.conf", text, &mut files) {
        Ok(made) => {
            let notes = made.lost.iter().chain(&made.notes);
            notes.for_each(|note| assert!((1..=lines).contains(&note.line), "{note}"));
        }
        Err(note) => assert!((1..=lines).contains(&note.line), "{note}"),
    }
}

/// Words of bird.conf, good and bad.
const WORDS: &str = r#"protocol bgp kernel static template from filter function define include router id local as neighbor range ipv4
ipv6 import export all none where if then else case accept reject return int bool net bgp_path bgp_community
bgp_med add delete prepend len route via blackhole limit action x y z 65001 4294967296 10.0.0.0 / 8
2001:db8::1 "text" { } ( ) [ ] [= =] ; ; , . .. = != ~ !~ && || ! + - * ? : < > 'q' # /* */ " -empty- é"#;

fn word() -> impl Strategy<Value = String> {
    let words = WORDS.split_whitespace().chain(["\n"]);
    prop::sample::select(words.collect::<Vec<_>>()).prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_words_end_in_a_file_or_a_line(words in prop::collection::vec(word(), 0..120)) {
        ends(&words.join(" "));
    }

    #[test]
    fn random_statements_in_a_filter_end(words in prop::collection::vec(word(), 0..60)) {
        ends(&format!("filter f {{ {} }}\nprotocol bgp p {{ local as 1; neighbor 10.0.0.2 as 2; import filter f; }}", words.join(" ")));
    }

    #[test]
    fn real_files_with_holes_end(
        which in 0..3_usize,
        at in 0..4000_usize,
        length in 0..200_usize,
        instead in prop::collection::vec(word(), 0..6),
    ) {
        let text = [CALICO, GATEWAY, DN42][which];
        let text: Vec<char> = text.chars().collect();
        let (from, to) = (at.min(text.len()), (at + length).min(text.len()));
        let before: String = text[..from].iter().collect();
        let after: String = text[to..].iter().collect();
        ends(&format!("{before}{}{after}", instead.join(" ")));
    }
}

#[test]
fn what_lies_deep_within_itself_ends() {
    for (open, close) in [
        ("(", ")"),
        ("{", "}"),
        ("[", "]"),
        ("[=", "=]"),
        ("!", ""),
        ("if true then ", ""),
        ("if true then {", "}"),
        ("case 1 { 1: ", "}"),
        ("1 + ", ""),
        ("f(", ")"),
        ("a.", ""),
    ] {
        for count in [40, 400, 5_000] {
            let deep = format!("{}{}", open.repeat(count), close.repeat(count));
            ends(&format!("define a = {deep};"));
            ends(&format!(
                "filter f {{ if {deep} then accept; }} protocol bgp p {{ local as 1; neighbor 1.2.3.4 as 2; import filter f; }}"
            ));
            ends(&format!(
                "filter f {{ {deep} }} protocol bgp p {{ local as 1; neighbor 1.2.3.4 as 2; import filter f; }}"
            ));
            ends(&format!("protocol bgp p {deep}"));
        }
    }
}

#[test]
fn filters_with_more_branches_than_are_followed_end() {
    let mut body = String::from("int a = 0;\n");
    for bit in 0..40 {
        body.push_str(&format!(
            "if ({bit}, 1) ~ bgp_community then a = a + {};\n",
            1_u64 << bit
        ));
    }
    body.push_str("if a = 77 then accept; reject;");
    let text = format!(
        "router id 1.1.1.1; protocol bgp p {{ local as 1; neighbor 1.2.3.4 as 2; import filter {{ {body} }}; }}"
    );
    let made = imported(&text);
    assert!(
        made.lost.iter().any(|note| note.what.contains("branches")),
        "{:?}",
        made.lost
    );
}
