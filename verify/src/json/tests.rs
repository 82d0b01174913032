use super::*;

fn parse(text: &str) -> Result<Fields, FormatError> {
    Fields::parse("document", text.as_bytes(), 1 << 20)
}

fn syntax(text: &str) -> String {
    match parse(text) {
        Err(FormatError::Syntax { problem, .. }) => problem,
        other => panic!("{text:?} gave {other:?}"),
    }
}

#[test]
fn takes_what_the_formats_allow() {
    let mut fields =
        parse(r#" {"s": "aéb\n", "i": 9007199254740991, "b": true, "o": {"n": 0}, "l": ["x", "y"], "x-more": [{}]} "#)
            .unwrap();
    assert_eq!(fields.string("s").unwrap(), "aéb\n");
    assert_eq!(fields.integer("i", 0..=u64::MAX).unwrap(), LIMITS.integer);
    assert!(fields.boolean("b").unwrap());
    assert_eq!(fields.object("o").unwrap().integer("n", 0..=0).unwrap(), 0);
    assert_eq!(fields.strings("l", 1..=2).unwrap(), ["x", "y"]);
    assert_eq!(fields.optional("absent", Fields::string).unwrap(), None);
    fields.finish().unwrap();
}

#[test]
fn duplicate_names_are_refused_wherever_they_stand() {
    assert!(syntax(r#"{"a": 1, "a": 1}"#).contains(r#"duplicate field "a""#));
    assert!(syntax(r#"{"o": {"a": 1, "\u0061": 2}}"#).contains(r#"duplicate field "a""#));
    assert!(syntax(r#"{"x-o": [{"x-a": 1, "x-a": 1}]}"#).contains("duplicate field"));
}

#[test]
fn numbers_are_integers_below_two_to_the_53() {
    for number in ["1.0", "1e3", "-1", "-0", "9007199254740992", "9223372036854775808", "1e999", "01", "+1", "NaN"] {
        syntax(&format!(r#"{{"n": {number}}}"#));
    }
    assert!(syntax(r#"{"n": 9007199254740992}"#).contains("9007199254740992, wanted at most 9007199254740991"));
    syntax(&format!(r#"{{"n": {}}}"#, "9".repeat(10_000)));
}

#[test]
fn nesting_is_limited() {
    let nested = |arrays: usize| format!(r#"{{"a": {}{}}}"#, "[".repeat(arrays), "]".repeat(arrays));
    assert!(parse(&nested(LIMITS.json_depth - 1)).is_ok());
    assert!(syntax(&nested(LIMITS.json_depth)).contains("nested deeper than 8"));
    syntax(&"[".repeat(1 << 20));
}

#[test]
fn members_are_limited() {
    let list = |count: usize| format!(r#"{{"a": [{}]}}"#, vec!["0"; count].join(","));
    assert!(parse(&list(LIMITS.json_members)).is_ok());
    assert!(syntax(&list(LIMITS.json_members + 1)).contains("more than 1024 members"));
    let fields: Vec<String> = (0..=LIMITS.json_members).map(|n| format!(r#""{n}":0"#)).collect();
    assert!(syntax(&format!("{{{}}}", fields.join(","))).contains("more than 1024 members"));
}

#[test]
fn nul_null_bom_and_trailing_bytes_are_refused() {
    assert!(syntax(r#"{"a": "b\u0000c"}"#).contains("NUL"));
    assert!(syntax(r#"{"a\u0000": 1}"#).contains("NUL"));
    assert!(syntax(r#"{"a": null}"#).contains("null"));
    syntax("{\"a\": \"\0\"}");
    syntax("\u{feff}{}");
    syntax("{}{}");
    syntax("{} x");
    syntax("{}\0");
    syntax("");
    syntax(r#"{"a": "\ud800"}"#);
    syntax(r#"{"a": 1,}"#);
    syntax("{'a': 1}");
}

#[test]
fn bytes_that_are_not_utf8_are_refused() {
    for bytes in [&b"{\"a\": \"\xff\"}"[..], b"{\"\xc0\x80\": 1}", b"\xff\xfe{}"] {
        assert!(matches!(Fields::parse("document", bytes, 64), Err(FormatError::Syntax { .. })), "{bytes:?}");
    }
}

#[test]
fn size_is_checked_before_reading() {
    let refused = Fields::parse("document", b"{}  ", 3).unwrap_err();
    assert_eq!(refused.to_string(), "document has 4 bytes, wanted at most 3");
}

#[test]
fn errors_name_the_path_the_value_and_what_was_wanted() {
    let mut fields = parse(r#"{"o": {"n": 7, "l": [1]}, "s": false, "list": [{}, 3]}"#).unwrap();
    let mut inner = fields.object("o").unwrap();
    assert_eq!(inner.integer("n", 8..=9).unwrap_err().to_string(), "document.o.n is 7, wanted an integer from 8 to 9");
    assert_eq!(inner.strings("l", 1..=1).unwrap_err().to_string(), "document.o.l[0] is 1, wanted a string");
    assert_eq!(inner.string("gone").unwrap_err().to_string(), "document.o.gone is missing");
    assert_eq!(fields.string("s").unwrap_err().to_string(), "document.s is false, wanted a string");
    let list = fields.objects("list", 0..=2).unwrap_err();
    assert_eq!(list.to_string(), "document.list[1] is 3, wanted an object");
    assert_eq!(parse("[]").unwrap_err().to_string(), "document is an array, wanted an object");
}

#[test]
fn counts_are_checked() {
    let refused = parse(r#"{"l": []}"#).unwrap().strings("l", 1..=3).unwrap_err();
    assert_eq!(refused.to_string(), "document.l is an array of 0, wanted an array of 1 to 3");
}

#[test]
fn unknown_fields_are_refused_and_shown_safely() {
    let unknown = parse(r#"{"\u001b[2J": 1}"#).unwrap().finish().unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "document.\"\\u{1b}[2J\" is not a field of this version, and its name does not start with x-"
    );
}
