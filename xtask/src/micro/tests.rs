//! What callgrind says, and tables that were printed before.

use super::*;

const SAID: &str = "==7== Callgrind, a call-graph generating cache profiler\n==7== Command: micro decode/full\n==7== \n\
    ==7== Events    : Ir\n==7== Collected : 31415926\n==7== \n==7== I   refs:      31,415,926\n";

fn row(name: &str, instructions: f64, unit: &str) -> Row {
    Row {
        name: name.to_owned(),
        instructions,
        unit: unit.to_owned(),
    }
}

#[test]
fn what_was_collected_is_read() {
    assert_eq!(collected(SAID), Some(31_415_926));
    assert_eq!(
        collected("==7== Events    : Ir\n==7== Collected : \n"),
        None
    );
    assert_eq!(collected("valgrind: no such tool"), None);
}

#[test]
fn it_is_divided_by_how_many_there_were() {
    assert_eq!(each(31_415, 1_000), Some(31.415));
    assert_eq!(each(31_415, 0), None);
}

#[test]
fn a_line_is_read_as_it_was_written() {
    let written = row("decode/six-prefixes", 1234.5, "message");
    assert_eq!(Row::read(&written.to_string()), Some(written.clone()));
    assert_eq!(Row::read(&format!("{written}    -3.0 %")), Some(written));
    assert_eq!(Row::read("benchmark  instructions  of a"), None);
    assert_eq!(Row::read(""), None);
}

#[test]
fn the_change_is_to_the_same_benchmark() {
    let before = [
        row("plan/new", 1000.0, "route"),
        row("plan/gone", 50.0, "route"),
    ];
    assert_eq!(row("plan/gone", 25.0, "route").change(&before), Some(-50.0));
    assert_eq!(row("plan/gone", 25.0, "message").change(&before), None);
    assert_eq!(row("plan/moved", 25.0, "route").change(&before), None);
}
