//! Unsafe code: only in the few places made for it, and never without the reason why it is sound.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;
use crate::source::Source;

/// Where `unsafe` may stand: guest RAM is mapped memory, Unicorn is a C library, fuzz targets are a macro's.
const ALLOWED: [&str; 3] = ["cpu/src/ram", "cpu/unicorn/", "lab/fuzz/"];

/// How far above an `unsafe` its reason may stand.
const REASON_WITHIN: usize = 12;

/// Finds `unsafe` in the wrong place or without its reason.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Ok(tokens) = source.text.parse::<TokenStream>() else {
        // A file that does not lex does not parse either, and reading it has said so.
        return Vec::new();
    };
    let mut lines = Vec::new();
    collect(tokens, &mut lines);
    lines.dedup();
    let allowed = ALLOWED.iter().any(|folder| source.name.starts_with(folder));
    lines
        .into_iter()
        .filter_map(|line| {
            let place = format!("{}:{line}", source.name);
            if !allowed {
                let places = ALLOWED.join(", ");
                return Some(Finding::error(place, format!("`unsafe` is for {places} only; use their safe doors")));
            }
            (!has_reason(source, line)).then(|| {
                Finding::error(place, "`unsafe` without its reason; put a `// SAFETY:` comment right above, or a `# Safety` section for a function")
            })
        })
        .collect()
}

/// The lines of each `unsafe` that promises something, found in the tokens so that macros are seen too.
fn collect(tokens: TokenStream, lines: &mut Vec<usize>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(word) if word == "unsafe" && !is_pointer_type(&tokens[index + 1..]) => {
                lines.push(word.span().start().line);
            }
            TokenTree::Group(group) => collect(group.stream(), lines),
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// The type of a function pointer, `unsafe extern "C" fn(...)`, promises nothing.
fn is_pointer_type(after: &[TokenTree]) -> bool {
    let mut rest = after;
    while let [TokenTree::Ident(_) | TokenTree::Literal(_), more @ ..] = rest {
        let was_fn = matches!(rest.first(), Some(TokenTree::Ident(word)) if word == "fn");
        rest = more;
        if was_fn {
            return matches!(rest.first(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        }
    }
    false
}

fn has_reason(source: &Source, line: usize) -> bool {
    (line.saturating_sub(REASON_WITHIN)..=line)
        .rev()
        .take_while(|at| *at == line || !source.line(*at).trim().is_empty())
        .any(|at| source.line(at).contains("SAFETY:") || source.line(at).contains("# Safety"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::source::Source;

    fn findings(name: &str, text: &str) -> usize {
        check(&Source::parse(name.to_owned(), text.to_owned()).expect("Rust")).len()
    }

    const BLOCK: &str = "fn a() {\n    unsafe { b() }\n}\n";
    const WITH_REASON: &str = "fn a() {\n    // SAFETY: b asks nothing.\n    unsafe { b() }\n}\n";

    /// Outside its places `unsafe` is refused, reason or not.
    #[test]
    fn unsafe_has_its_places() {
        assert_eq!(findings("mm/src/a.rs", WITH_REASON), 1);
        assert_eq!(findings("cpu/src/tlb/mod.rs", WITH_REASON), 1);
        assert_eq!(findings("cpu/src/ram/mod.rs", WITH_REASON), 0);
        assert_eq!(findings("cpu/unicorn/src/lib.rs", WITH_REASON), 0);
    }

    /// Each one has its reason close above, past no blank line.
    #[test]
    fn unsafe_has_its_reason() {
        assert_eq!(findings("cpu/src/ram/mod.rs", BLOCK), 1);
        let far = "// SAFETY: about another.\n\nfn a() { unsafe { b() } }\n";
        assert_eq!(findings("cpu/src/ram/mod.rs", far), 1);
        let function = "/// Reads.\n///\n/// # Safety\n/// Mapped.\nunsafe fn a() {}\n";
        assert_eq!(findings("cpu/src/ram/mod.rs", function), 0);
    }

    /// Macros are looked into; lint names and pointer types are not unsafe code.
    #[test]
    fn unsafe_is_found_in_macros_only_where_it_acts() {
        assert_eq!(findings("mm/src/a.rs", "m! { fn a() { unsafe { b() } } }"), 1);
        assert_eq!(findings("mm/src/a.rs", "#![forbid(unsafe_code)]\n// unsafe\n"), 0);
        assert_eq!(findings("mm/src/a.rs", "type Hook = unsafe extern \"C\" fn(u32);"), 0);
        assert_eq!(findings("mm/src/a.rs", "unsafe extern \"C\" fn hook(a: u32) {}"), 1);
    }
}
