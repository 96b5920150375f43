//! Tables, JSON and colour.

use super::*;

#[derive(Serialize)]
struct Ship {
    name: &'static str,
    guns: u64,
    #[serde(skip)]
    flag: &'static str,
}

impl Row for Ship {
    const COLUMNS: &'static [Column] = &[
        Column::text("NAME"),
        Column::number("GUNS"),
        Column::text("FLAG"),
        Column::text("LENGTH").wide(),
    ];

    fn lines(&self) -> Vec<Vec<Word>> {
        vec![vec![
            self.name.into(),
            self.guns.into(),
            Word::new(self.flag, Tone::Good),
            "long".into(),
        ]]
    }
}

const VICTORY: Ship = Ship {
    name: "Victory",
    guns: 104,
    flag: "",
};
const SNAKE: Ship = Ship {
    name: "Snake",
    guns: 9,
    flag: "",
};
const FRAM: Ship = Ship {
    name: "Fram",
    guns: 0,
    flag: "no",
};

fn list(format: Format, colour: bool, ships: &[Ship]) -> String {
    let mut out = Vec::new();
    let mut printer = Printer::new(format, colour, &mut out);
    let mut list = printer.list();
    ships.iter().for_each(|ship| list.row(ship).unwrap());
    list.finish::<Ship>().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_are_aligned_and_empty_ones_are_left_out() {
    let expected = "\
NAME     GUNS
Victory   104
Snake       9
";
    assert_eq!(list(Format::Table, false, &[VICTORY, SNAKE]), expected);
    let expected = "\
NAME     GUNS  FLAG  LENGTH
Victory   104        long
Fram        0  no    long
";
    assert_eq!(list(Format::Wide, false, &[VICTORY, FRAM]), expected);
    assert_eq!(list(Format::Table, false, &[]), "NAME  GUNS  FLAG\n");
}

#[test]
fn colour_is_there_only_when_asked_for() {
    assert!(list(Format::Table, true, &[FRAM]).contains("\u{1b}["));
    assert!(!list(Format::Table, false, &[FRAM]).contains('\u{1b}'));
    assert!(!list(Format::Json, true, &[FRAM]).contains('\u{1b}'));
}

#[test]
fn a_list_in_json_is_one_array_or_a_line_a_row() {
    let json: serde_json::Value =
        serde_json::from_str(&list(Format::Json, false, &[VICTORY, SNAKE])).unwrap();
    assert_eq!(json[1]["guns"], 9);
    assert_eq!(list(Format::Json, false, &[]), "[]\n");
    assert_eq!(
        list(Format::Ndjson, false, &[VICTORY, SNAKE]),
        "{\"name\":\"Victory\",\"guns\":104}\n{\"name\":\"Snake\",\"guns\":9}\n"
    );
    assert_eq!(list(Format::Ndjson, false, &[]), "");
}

#[test]
fn details_stand_behind_their_labels() {
    let mut out = Vec::new();
    let mut printer = Printer::new(Format::Table, false, &mut out);
    let details = || {
        vec![
            ("name", "Fram".into()),
            ("flag", "".into()),
            ("guns on deck", 0.into()),
        ]
    };
    printer.details(&FRAM, details).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "name          Fram\nguns on deck  0\n"
    );
}
