//! The memory manager's tests: scenarios through the one door, and random calls against a plain model.

mod argument_tables;
mod aslr;
mod awe;
#[path = "../../../facts/tests/pe/builder.rs"]
#[expect(dead_code, reason = "the builder can do more than these images need")]
mod builder;
mod door;
mod faults;
#[path = "../../../facts/tests/pe/full.rs"]
mod full;
mod given_up;
mod images;
mod kept_images;
mod large_pages;
mod look;
mod lost_tables;
mod model;
mod paging;
mod paging_rules;
mod paging_simulator;
mod placeholders;
mod places;
mod private_memory;
mod promises;
mod random_calls;
mod random_paging;
mod random_sections;
mod section_simulator;
mod section_sizes;
mod sections;
mod shortage;
mod simulator;
mod stacks;
mod tables;
mod view_places;
mod working_set;
mod write_watch;
