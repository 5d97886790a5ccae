//! Texts that were damaged at random: an answer or a refusal, never a panic.

use proptest::prelude::*;

use edm_agent::agent::exit::Exit;
use edm_agent::ground::redact::REDACTED;

use super::read_with;

const EXAMPLE: &str = include_str!("../../../config/agent.toml");

/// What breaks TOML, and what settings are made of.
const PIECES: [&str; 24] = [
    "\"",
    "'",
    "\"\"\"",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "\r",
    "#",
    "\\u",
    "\u{0}",
    "\u{feff}",
    "ä",
    "[[table]]\n",
    "[upload]\n",
    "= 1979-05-27\n",
    "-9223372036854775809",
    "1e999",
];

#[derive(Debug, Clone)]
enum Damage {
    Cut(usize, usize),
    Put(usize, usize),
    Byte(usize, u8),
    Twice(usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = 0..EXAMPLE.len();
    prop_oneof![
        (at.clone(), 1..400_usize).prop_map(|(at, length)| Damage::Cut(at, length)),
        (at.clone(), 0..PIECES.len()).prop_map(|(at, piece)| Damage::Put(at, piece)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (at, 1..400_usize).prop_map(|(at, length)| Damage::Twice(at, length)),
    ]
}

fn damaged(damages: &[Damage]) -> Vec<u8> {
    // The prose is left out, so that damage finds keys and values.
    let code = |line: &&str| !line.starts_with("# ");
    let mut text = EXAMPLE.lines().filter(code).map(|line| format!("{}\n", line.trim_start_matches('#')));
    let mut text = text.by_ref().collect::<String>().into_bytes();
    for damage in damages {
        let within = |at: usize| at % text.len().max(1);
        match *damage {
            Damage::Cut(at, length) => {
                let at = within(at);
                let end = (at + length).min(text.len());
                text.drain(at..end);
            }
            Damage::Put(at, piece) => {
                let at = within(at);
                text.splice(at..at, PIECES[piece].bytes());
            }
            Damage::Byte(at, byte) => {
                let at = within(at);
                text.splice(at..(at + 1).min(text.len()), [byte]);
            }
            Damage::Twice(at, length) => {
                let at = within(at);
                let again = text[at..(at + length).min(text.len())].to_vec();
                text.splice(at..at, again);
            }
        }
    }
    text
}

#[test]
fn a_file_nested_without_end_is_refused_and_overflows_no_stack() {
    let deep = |piece: &str| piece.repeat(((1 << 20) - 100) / piece.len());
    for text in [
        format!("a = {}", deep("[")),
        format!("a = {}", deep("{a=")),
        format!("{}a = 1", deep("a.")),
        format!("[{}a]", deep("a.")),
        format!("[[{}a]]", deep("a.")),
        format!("[table]\nupload.{}a = 1", deep("a.")),
        deep("[a]\n"),
        deep("[[table]]\n"),
        format!("{} = 1", deep("a")),
        format!("\"{}\" = 1", deep("\\u001b")),
    ] {
        let trouble = read_with(&text, &[]).unwrap_err();
        assert!(trouble.message.contains("agent.toml:") && trouble.message.len() < 400, "{:.400}", trouble.message);
        assert!(!trouble.message.contains('\u{1b}'), "it steers a terminal");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_file_is_read_or_refused_and_nothing_else(damages in prop::collection::vec(damage(), 1..4)) {
        if let Err(trouble) = read_with(damaged(&damages), &[]) {
            prop_assert_eq!(trouble.exit, Exit::BadConfiguration);
            // Where damage made the name of a secret, what follows it is taken out, and that may be the place.
            let has_place = trouble.message.contains("agent.toml:") || trouble.message.contains(REDACTED);
            prop_assert!(has_place, "no place: {}", trouble.message);
        }
    }

    #[test]
    fn a_variable_of_any_text_is_read_or_refused_and_nothing_else(
        key in 0..edm_agent::cli::config::keys().len(),
        value in "\\PC{0,20}|[\\[\\]{}\"'=\\\\,.0-9a-z\\n -]{0,20}",
    ) {
        let key = edm_agent::cli::config::keys()[key].to_uppercase().replace('.', "__");
        let name = format!("EDM_AGENT__{key}");
        if let Err(trouble) = read_with("", &[(&name, &value)]) {
            prop_assert_eq!(trouble.exit, Exit::BadConfiguration);
            prop_assert!(trouble.message.contains(&name), "no name: {}", trouble.message);
        }
    }
}
