//! The Unicorn engine behind the [`Vcpu`](vadose_cpu::Vcpu) trait: a JIT whose translations come from our own page
//! walk over tables in guest RAM.

mod block_exits;
mod code_cache;
mod cpu;
mod descriptors;
mod double_fault;
mod engine;
mod exception;
mod hooks;
mod instruction;
mod register_file;

pub use cpu::UnicornCpu;
pub use descriptors::ProcessorPage;
