//! Text that compresses like log lines do: words of a vocabulary, and numbers that occur once.

use crate::random::{Random, mix};

/// Words of the vocabulary; a power of two, for a draw takes some bits of a random word.
const WORDS: usize = 1024;
const WORD_BITS: u32 = WORDS.trailing_zeros();
/// Words drawn from 64 random bits.
const WORDS_PER_DRAW: usize = 5;
const SYLLABLES: [&str; 16] = [
    "re", "con", "ser", "ta", "que", "li", "mo", "ver", "ex", "port", "in", "der", "cha", "ne", "sto", "load",
];

/// A vocabulary. It is the same in all runs.
#[derive(Debug)]
pub struct Vocabulary {
    words: Vec<String>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        let word = |number: usize| {
            let mut bits = mix(0x776f_7264, number as u64);
            let mut word = String::new();
            for _ in 0..2 + bits % 3 {
                bits >>= 4;
                word.push_str(SYLLABLES.get(bits as usize % SYLLABLES.len()).copied().unwrap_or("re"));
            }
            word.push(' ');
            word
        };
        Vocabulary { words: (0..WORDS).map(word).collect() }
    }
}

impl Vocabulary {
    /// Appends exactly `length` bytes of text: five words, a number, five words, and so on.
    pub fn put(&self, out: &mut Vec<u8>, length: usize, random: &mut Random) {
        let end = out.len() + length;
        while out.len() < end {
            let mut bits = random.next_u64();
            for _ in 0..WORDS_PER_DRAW {
                if let Some(word) = self.words.get(bits as usize % WORDS) {
                    out.extend_from_slice(word.as_bytes());
                }
                bits >>= WORD_BITS;
            }
            put_decimal(out, bits & 0x3fff);
            out.push(b' ');
        }
        out.truncate(end);
    }
}

/// Appends `length` bytes without any redundancy.
pub fn put_noise(out: &mut Vec<u8>, length: usize, random: &mut Random) {
    let end = out.len() + length;
    while out.len() < end {
        out.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    out.truncate(end);
}

/// Appends a number in decimal digits.
pub fn put_decimal(out: &mut Vec<u8>, number: u64) {
    if number >= 10 {
        put_decimal(out, number / 10);
    }
    out.push(b'0' + (number % 10) as u8);
}

/// Appends the 16 hexadecimal digits of a word.
pub fn put_hex(out: &mut String, word: u64) {
    for shift in (0..16).rev() {
        let digit = (word >> (4 * shift)) as u32 & 15;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_length_asked_for_and_follows_from_its_seed() {
        let vocabulary = Vocabulary::default();
        let text = |length, seed| {
            let mut out = b"x".to_vec();
            vocabulary.put(&mut out, length, &mut Random::new(seed));
            out
        };
        for length in [0, 1, 7, 200, 4_000] {
            assert_eq!(text(length, 1).len(), length + 1);
            assert!(text(length, 1).is_ascii());
        }
        assert_eq!(text(300, 1), text(300, 1));
        assert_ne!(text(300, 1), text(300, 2));
        let mut noise = Vec::new();
        put_noise(&mut noise, 13, &mut Random::new(1));
        assert_eq!(noise.len(), 13);
    }

    #[test]
    fn numbers_are_written_like_anybody_writes_them() {
        let mut out = Vec::new();
        for number in [0, 9, 10, 16_383, u64::MAX] {
            out.clear();
            put_decimal(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
        let mut hex = String::new();
        put_hex(&mut hex, 0x0123_4567_89ab_cdef);
        assert_eq!(hex, "0123456789abcdef");
    }
}
