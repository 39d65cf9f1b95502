//! Patterns of names with wildcards, as file systems take them.

/// One element of a pattern of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// This letter.
    Letter(char),
    /// `*`: any run.
    Run,
    /// `<`: any run without the name's last dot.
    RunToLastDot,
    /// `?`: one character.
    One,
    /// `>`: one character other than a dot, or nothing before a dot or at the end.
    Place,
    /// `"`: a dot, or nothing at the end.
    Dot,
}

/// Whether a name fits a pattern of `*`, `?` and the wildcards `<`, `>` and `"` that the Win32 functions make of them;
/// letters without case.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let elements: Vec<Element> = pattern.to_lowercase().chars().map(element).collect();
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // The dots are names without an extension.
    let is_dots = name == ['.'] || name == ['.', '.'];
    fits(&elements, &name) || is_dots && elements.contains(&Element::RunToLastDot) && fits(&elements, &[])
}

fn element(letter: char) -> Element {
    match letter {
        '*' => Element::Run,
        '<' => Element::RunToLastDot,
        '?' => Element::One,
        '>' => Element::Place,
        '"' => Element::Dot,
        letter => Element::Letter(letter),
    }
}

/// The elements against the name from behind: whether what follows element `e` fits what follows letter `n`, one row
/// for each element. The work is the product of the two lengths.
pub(crate) fn fits(elements: &[Element], name: &[char]) -> bool {
    let last_dot = name.iter().rposition(|letter| *letter == '.');
    let mut below = vec![false; name.len() + 1];
    below[name.len()] = true;
    for element in elements.iter().rev() {
        let mut row = vec![false; name.len() + 1];
        for at in (0..=name.len()).rev() {
            let letter = name.get(at).copied();
            let step = letter.is_some() && below[at + 1];
            let stay = letter.is_some() && row[at + 1];
            row[at] = match element {
                Element::Letter(wanted) => letter == Some(*wanted) && step,
                Element::One => step,
                Element::Run => below[at] || stay,
                Element::RunToLastDot => below[at] || last_dot != Some(at) && stay,
                Element::Place => match letter {
                    Some('.') | None => below[at],
                    Some(_) => step,
                },
                Element::Dot => match letter {
                    Some('.') => step,
                    Some(_) => false,
                    None => below[at],
                },
            };
        }
        below = row;
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of `FsRtlIsNameInExpression`.
    #[test]
    fn each_wildcard_stands_for_what_it_should() {
        for (pattern, name, expected) in [
            ("*", "a.txt", true),
            ("*.*", "noext", false),
            ("*.*", "a.b", true),
            ("?", "a", true),
            ("?", "", false),
            ("a?c", "a.c", true),
            ("a??", "ab", false),
            (">>>", "ab", true),
            ("a>>.txt", "a.txt", true),
            ("a>c", "a.c", false),
            ("<.txt", "a.b.txt", true),
            ("<", "a.b", false),
            ("<", "noext", true),
            ("<\"*", "noext", true),
            ("a\"", "a", true),
            ("a\"b", "a.b", true),
            ("a\"b", "ab", false),
            ("ABC", "abc", true),
            ("<", ".", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
