//! Words, texts and signs of a query.

/// A piece of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Word(String),
    /// In single quotes.
    Text(String),
    /// A bracket, a comma, or an operator such as `<=`.
    Sign(&'static str),
}

const SIGNS: [&str; 11] = ["!=", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ","];

/// The tokens of a query, read one after the other.
pub struct Tokens {
    tokens: Vec<Token>,
    next: usize,
}

impl Tokens {
    pub fn of(mut text: &str) -> Tokens {
        let mut tokens = Vec::new();
        loop {
            text = text.trim_start();
            if text.is_empty() {
                return Tokens { tokens, next: 0 };
            }
            if let Some(rest) = text.strip_prefix('\'') {
                let (inner, rest) = rest.split_once('\'').unwrap_or_else(|| panic!("an open text: {rest}"));
                tokens.push(Token::Text(inner.replace("\\n", "\n")));
                text = rest;
            } else if let Some(sign) = SIGNS.iter().find(|sign| text.starts_with(**sign)) {
                tokens.push(Token::Sign(sign));
                text = &text[sign.len()..];
            } else {
                let ends = |c: char| c.is_whitespace() || "!=<>()[],'".contains(c);
                let (word, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
                tokens.push(Token::Word(word.to_owned()));
                text = rest;
            }
        }
    }

    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    pub fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    /// The next token, which must be a word.
    pub fn word(&mut self) -> String {
        match self.next() {
            Some(Token::Word(word)) => word,
            other => panic!("{other:?} where a word should be"),
        }
    }

    /// Takes the next token if it is this word.
    pub fn take_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Word(found)) if found == word);
        self.next += usize::from(is_it);
        is_it
    }

    /// Takes the next token if it is this sign.
    pub fn take_sign(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.next += usize::from(is_it);
        is_it
    }

    pub fn expect_sign(&mut self, sign: &str) {
        assert!(self.take_sign(sign), "{:?} where {sign:?} should be", self.peek());
    }
}
