//! Analyzers for plain ASCII text, written from the tables of the specification.

/// The tokens of a text by the analyzer of this name; an unknown name and none leave it whole.
pub fn tokens(analyzer: &str, text: &str) -> Vec<String> {
    assert!(text.is_ascii(), "this is for plain text");
    match analyzer {
        "simple" => words(text, |c| c.is_ascii_alphabetic()).iter().map(|word| word.to_lowercase()).collect(),
        "url" => words(text, |c| c.is_ascii_alphanumeric()),
        "standard" => {
            let joined = words(text, |c| c.is_ascii_alphanumeric() || c == '.');
            let trimmed = joined.iter().map(|word| word.trim_matches('.').to_lowercase());
            trimmed.filter(|word| !word.is_empty()).collect()
        }
        _ => vec![text.to_owned()],
    }
}

fn words(text: &str, inside: impl Fn(char) -> bool) -> Vec<String> {
    text.split(|c| !inside(c)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_examples_of_the_specification() {
    let text = "Foo-BAR 42/baz";
    assert_eq!(tokens("", text), [text]);
    assert_eq!(tokens("simple", text), ["foo", "bar", "baz"]);
    assert_eq!(tokens("standard", text), ["foo", "bar", "42", "baz"]);
    assert_eq!(tokens("url", text), ["Foo", "BAR", "42", "baz"]);
    assert_eq!(tokens("standard", "Hello, wi-fi 3.14"), ["hello", "wi", "fi", "3.14"]);
    assert_eq!(tokens("standard", "..."), [""; 0]);
}
