//! Function sizes: past a screenful a function is a design question, unless it is a table.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::Finding;
use crate::source::Source;

const MAX_LINES: usize = 70;

/// What exempts a function: a comment on the lines right above it or on its own first lines.
const TABLE_MARK: &str = concat!("// tidy", ": table");

/// How many lines into a function the mark may stand, for its head may take several.
const MARK_WITHIN: usize = 4;

/// Finds functions that are too long.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut sizes = Sizes { source, findings: Vec::new() };
    sizes.visit_file(&source.tree);
    sizes.findings
}

struct Sizes<'a> {
    source: &'a Source,
    findings: Vec<Finding>,
}

impl Sizes<'_> {
    fn measure(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let last = block.span().end().line;
        let lines = last + 1 - first;
        if lines > MAX_LINES && !self.is_table(first) {
            self.findings.push(Finding::error(
                format!("{}:{first}", self.source.name),
                format!(
                    "function {} has {lines} lines, {MAX_LINES} are the limit; split it, or mark a dispatch table `{TABLE_MARK}`",
                    signature.ident
                ),
            ));
        }
    }

    fn is_table(&self, first: usize) -> bool {
        let marked = |line: usize| self.source.line(line).contains(TABLE_MARK);
        let above = (1..first).rev().take_while(|line| {
            let text = self.source.line(*line).trim();
            text.starts_with("//") || text.starts_with('#')
        });
        above.into_iter().any(marked) || (first..first + MARK_WITHIN).any(marked)
    }
}

impl<'tree> Visit<'tree> for Sizes<'_> {
    fn visit_item_fn(&mut self, function: &'tree syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'tree syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'tree syn::TraitItemFn) {
        if let Some(block) = &function.default {
            self.measure(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINES, TABLE_MARK, check};
    use crate::source::Source;

    fn findings(before: &str, lines: usize) -> usize {
        let body = "    step();\n".repeat(lines - 2);
        let text = format!("{before}fn long() {{\n{body}}}\n");
        check(&Source::parse("a.rs".to_owned(), text).expect("Rust")).len()
    }

    /// The limit is the last size that passes; a marked table may be longer.
    #[test]
    fn long_functions_are_found() {
        assert_eq!(findings("", MAX_LINES), 0);
        assert_eq!(findings("", MAX_LINES + 1), 1);
        assert_eq!(findings(&format!("{TABLE_MARK}\n#[inline]\n"), MAX_LINES + 1), 0);
        assert_eq!(findings(&format!("{TABLE_MARK}\n\n"), MAX_LINES + 1), 1);
    }
}
