//! dkimctl(8) against the tables.

use super::*;

const PAGE: &str = "packaging/man/dkimctl.8";

/// A word of a usage in mdoc(7).
fn word(text: &str) -> String {
    match text {
        "|" => "|".to_owned(),
        "--" => "Fl -".to_owned(),
        _ if text.starts_with('-') => format!("Fl {}", text.strip_prefix('-').unwrap()),
        "ADDR[:PORT]" => "Ar addr Ns Oo : Ns Ar port Oc".to_owned(),
        _ if text.contains('|') => format!("Cm {}", text.replace('|', " | ")),
        _ if text.starts_with(char::is_uppercase) => {
            format!("Ar {}", text.to_lowercase().replace("...", " ..."))
        }
        _ => format!("Cm {text}"),
    }
}

/// The operands and alternatives of a usage: each pair of brackets is a line.
fn usage(usage: &str) -> String {
    let (mut lines, mut is_open) = (String::new(), false);
    for text in usage.split(' ') {
        let opens = text.starts_with('[');
        let bare = text.strip_prefix('[').unwrap_or(text);
        is_open |= opens;
        let closes = is_open && bare.ends_with(']') && !bare.ends_with("[:PORT]");
        let bare = if closes { bare.strip_suffix(']').unwrap() } else { bare };
        match (opens, lines.is_empty() || lines.ends_with('\n')) {
            (true, true) => lines.push_str(".Op "),
            (true, false) => lines.push_str(" Op "),
            (false, true) => lines.push('.'),
            (false, false) => lines.push(' '),
        }
        lines.push_str(&word(bare));
        if closes {
            is_open = false;
            lines.push('\n');
        }
    }
    if !lines.ends_with('\n') {
        lines.push('\n');
    }
    lines
}

/// The synopsis of a subcommand: options, then operands.
fn synopsis(command: &Subcommand) -> String {
    let mut text = format!(".Nm\n.Cm {}\n", command.name());
    let is_in_usage = |option: &&Opt| {
        let mut words = command.usage().split(['[', ']', ' ']);
        let spelled = [option.parts().0.to_owned(), format!("-{}", letter(option).unwrap_or('-'))];
        words.any(|word| word.len() > 1 && word != "--" && spelled.iter().any(|one| one == word))
    };
    let others: Vec<&Opt> = command.options.iter().filter(|option| !is_in_usage(option)).collect();
    let is_flag = |option: &&&Opt| option.parts().1.is_empty();
    let letters: String =
        others.iter().filter(is_flag).filter_map(|option| letter(option)).collect();
    if !letters.is_empty() {
        text.push_str(&format!(".Op Fl {letters}\n"));
    }
    for option in others {
        let (name, placeholder) = option.parts();
        let value =
            if placeholder.is_empty() { String::new() } else { format!(" {}", word(placeholder)) };
        match letter(option) {
            Some(_) if value.is_empty() => {}
            Some(letter) => text.push_str(&format!(".Op Fl {letter}{value}\n")),
            None => text.push_str(&format!(".Op Fl {}{value}\n", name.replacen('-', "", 1))),
        }
    }
    if !command.usage().is_empty() {
        text.push_str(&usage(command.usage()));
    }
    text
}

/// The line of an option in a list.
fn item(option: &Opt) -> String {
    let (name, placeholder) = option.parts();
    let letter = letter(option).map_or_else(String::new, |letter| format!("{letter} , Fl "));
    let value =
        if placeholder.is_empty() { String::new() } else { format!(" {}", word(placeholder)) };
    format!(".It Fl {letter}{}{value}\n", name.replacen('-', "", 1))
}

/// The text of an option in a list: a sentence, and its default as another one.
fn sentence(help: &str) -> String {
    let (text, default) = help.split_once(" (default: ").unwrap_or((help, ""));
    let mut letters = text.chars();
    let first = letters.next().unwrap().to_uppercase();
    let default = default.strip_suffix(')').map(|default| format!(" The default is {default}."));
    format!("{first}{}.{}", letters.as_str(), default.unwrap_or_default())
}

/// A page in mdoc(7) as text: enough for the sentences that the tables have.
fn text(page: &str) -> String {
    let mut lines = Vec::new();
    for line in page.lines() {
        let Some(macros) = line.strip_prefix('.') else {
            lines.push(line.replace("\\-", "-").replace("\\&", ""));
            continue;
        };
        let is_macro = |word: &str| {
            word.len() == 2
                && word.starts_with(char::is_uppercase)
                && word.ends_with(char::is_lowercase)
        };
        let (mut shown, mut joins, mut dash, mut closing) = (String::new(), true, "", "");
        for word in macros.split(' ') {
            match word {
                "Pq" => (shown, joins, closing) = (shown + " (", true, ")"),
                "Ql" => (shown, joins, closing) = (shown + " `", true, "`"),
                "Ns" => joins = true,
                "Fl" => dash = "-",
                _ if is_macro(word) => dash = "",
                "." | "," | ";" | ":" => {
                    shown.push_str(&format!("{}{word}", std::mem::take(&mut closing)));
                }
                "8" | "5" | "1" => shown.push_str(&format!("({word})")),
                _ => {
                    shown.push_str(&format!("{}{dash}{word}", if joins { "" } else { " " }));
                    joins = false;
                }
            }
        }
        lines.push(shown.trim_start().to_owned() + closing);
    }
    lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_synopses_of_the_manual_page_are_made_of_the_tables() {
    let page = fs::read_to_string(project(PAGE)).unwrap();
    let mut parts = page.split("\n.Ss ");
    let mut made = parts.next().unwrap().to_owned();
    let mut names = Vec::new();
    for part in parts {
        let (name, rest) = part.split_once('\n').unwrap();
        let (_, rest) = rest.split_once(".Pp\n").unwrap();
        let command = SUBCOMMANDS.iter().find(|command| command.name() == name).unwrap();
        made.push_str(&format!("\n.Ss {name}\n{}.Pp\n{rest}", synopsis(command)));
        names.push(name);
    }
    assert_eq!(names, SUBCOMMANDS.iter().map(Subcommand::name).collect::<Vec<_>>());
    assert_file(PAGE, &made);
}

#[test]
fn the_manual_page_explains_each_option_and_the_exit_codes_as_the_help_does() {
    let page = fs::read_to_string(project(PAGE)).unwrap();
    let mut wrong = Vec::new();
    for command in SUBCOMMANDS.iter().chain([DKIMCTL]) {
        let name = command.name();
        let section = match name {
            "" => page.split("\n.Ss ").next().unwrap(),
            _ => page.split(&format!("\n.Ss {name}\n")).nth(1).unwrap(),
        };
        let section = section.split("\n.Ss ").next().unwrap().split("\n.Sh FILES").next().unwrap();
        let items: Vec<_> = section.split("\n.It Fl ").skip(1).collect();
        if items.len() != command.options.len() {
            wrong.push(format!("{name} has {} options", items.len()));
        }
        for (item_of_page, option) in items.iter().zip(command.options) {
            let (line, rest) = item_of_page.split_once('\n').unwrap();
            let rest = rest.split("\n.El").next().unwrap();
            let (line, expected) = (format!(".It Fl {line}\n"), item(option));
            if line != expected {
                wrong.push(format!("{name}: {line}  expected: {expected}"));
            }
            let (shown, expected) = (text(rest), sentence(option.1));
            if !shown.starts_with(&expected) {
                wrong.push(format!("{name}: {}: {shown}\n  expected: {expected}", option.0));
            }
        }
        let shown = text(section);
        let exits = command.help.trim_end().rsplit("\n\n").next().unwrap().replace('\n', " ");
        let summary = format!("{}.", command.summary());
        for sentence in [summary, exits] {
            let is_looked_for = sentence.contains("xit") || sentence.starts_with(command.summary());
            if !name.is_empty() && is_looked_for && !shown.contains(&sentence) {
                wrong.push(format!("{name}: lacks: {sentence}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{PAGE}:\n{}", wrong.join("\n"));
}
