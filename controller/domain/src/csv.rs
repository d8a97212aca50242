//! Fields of CSV (RFC 4180).

/// With what a spreadsheet takes a text for a formula, or may do so after it has cut what is before it. The last four are
/// those of East Asian keyboards, which spreadsheets read like the first.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text as a field. One that a spreadsheet would take for a formula gets an apostrophe before it: names and facts come from
/// strangers too.
#[must_use]
pub fn field(text: &str) -> String {
    let apostrophe = if text.starts_with(FORMULA) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{apostrophe}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_or_two_fields() {
        for (text, expected) in [
            ("dc1", "dc1"),
            ("a-b=c", "a-b=c"),
            ("", ""),
            (" edge", "\" edge\""),
            ("a,b", "\"a,b\""),
            ("say \"a\"", "\"say \"\"a\"\"\""),
            ("=1+1", "'=1+1"),
            ("@a,b", "\"'@a,b\""),
            ("\n=1", "\"'\n=1\""),
            ("＝1", "'＝1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠a", "'＠a"),
        ] {
            assert_eq!(field(text), expected, "{text:?}");
        }
    }
}
