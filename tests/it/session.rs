//! A property of the pure part, on random sessions: for any pieces and any replies of the server, each side sees what it would
//! see without the wrapper, except for the messages that are replaced.

mod model;

use model::judge;

/// What a client says: all that matters, right and wrong.
const WORDS: [&str; 24] = [
    "EHLO x\r\n",
    "MAIL FROM:<a@b>\r\n",
    "RCPT TO:<a@b>\r\n",
    "DATA\r\n",
    "DATA\n",
    "data \r\n",
    "DATA x\r\n",
    "A: b\r\n",
    "\r\n",
    "\n",
    "..x\r\n",
    ".x\n",
    ".\r\n",
    ".\n",
    ".\r\r\n",
    "\r.\r\n",
    "x",
    "\r",
    ".",
    "BDAT 6 LAST\r\n",
    "STARTTLS\r\n",
    "RSET\r\n",
    "QUIT\r\n",
    "NOOP\n",
];

#[test]
fn each_side_sees_the_same_as_without_the_wrapper_except_for_replaced_messages() {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut below = |limit: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % limit as u64).unwrap()
    };
    let mut judged = 0;
    for round in 0..20_000 {
        let mut script = String::new();
        for _ in 0..below(30) {
            // Seldom what ends the looking.
            let word = WORDS[below(WORDS.len())];
            if !(word.starts_with("BDAT") || word.starts_with("STARTTLS")) || below(8) == 0 {
                script.push_str(word);
            }
            if below(6) == 0 {
                script.push_str("DATA\r\nA: b\r\n\r\nx\r\n.\r\n");
            }
        }
        let chance: Vec<u8> = (0..16).map(|_| u8::try_from(below(256)).unwrap()).collect();
        match judge(&chance, script.as_bytes()) {
            Ok(replaced) => judged += replaced,
            Err(why) => panic!("round {round}: {script:?}, {chance:?}: {why}"),
        }
    }
    assert!(judged > 10_000, "{judged}");
}
