//! Values as TOML.

/// A text: as it is where it can be.
pub(crate) fn text(text: &str) -> String {
    let plain = |c: char| c != '"' && c != '\\' && !c.is_control();
    if text.chars().all(plain) {
        return format!("\"{text}\"");
    }
    if !text.contains('\'') && !text.chars().any(char::is_control) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A list of texts; numbers stand without quotes.
pub(crate) fn list(items: &[String]) -> String {
    let item = |item: &String| match item.bytes().all(|b| b.is_ascii_digit()) && item.len() < 18 {
        true if !item.is_empty() => item.clone(),
        true | false => text(item),
    };
    format!(
        "[{}]",
        items.iter().map(item).collect::<Vec<_>>().join(", ")
    )
}

/// A key: as it is where it can be.
pub(crate) fn key(name: &str) -> String {
    let bare = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare && !name.is_empty() {
        name.to_owned()
    } else {
        text(name)
    }
}

/// What fits into a comment.
pub(crate) fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
