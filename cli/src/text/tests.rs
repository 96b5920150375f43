//! Text for people: durations, lists, absent values.

use super::*;

#[test]
fn a_duration_has_a_unit() {
    assert_eq!(parse_duration("50ms"), Ok(Duration::from_millis(50)));
    assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
    assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
    for wrong in [
        "",
        "30",
        "s",
        "-1s",
        "1.5s",
        "3 s",
        "3w",
        "99999999999999999999s",
        "18446744073709551615d",
    ] {
        assert!(parse_duration(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn an_age_has_the_two_units_that_matter() {
    let ages = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 864_000].map(age);
    assert_eq!(
        ages,
        [
            "0s", "59s", "1m00s", "59m59s", "1h00m", "23h59m", "1d00h", "10d00h"
        ]
    );
}

#[test]
fn an_as_path_is_read_as_it_is_written() {
    let written = "65001 65002 {65003,65004} (65010 65011) [65012]";
    let path = parse_as_path(written).unwrap();
    assert_eq!(path.len(), 4);
    assert_eq!(as_path(&path), written);
    assert_eq!(
        parse_as_path(" 1,2  {3 4}5").map(|path| as_path(&path)),
        Ok("1 2 {3,4} 5".into())
    );
    assert_eq!(parse_as_path(""), Ok(vec![]));
    for wrong in ["x", "1 {2", "1 }", "4294967296", "-1", "1 2.5"] {
        assert!(parse_as_path(wrong).is_err(), "{wrong}");
    }
}
