//! The engine's tests: hand-made guests of a few pages, and Unicorn's own walk as an oracle.

mod exits;
mod memory;
mod page_borders;
mod program_oracle;
mod stopping;
mod support;
mod walk_oracle;
