//! The binary: arguments → [`rutter::cli`] → exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    rutter::cli::run(std::env::args_os())
}
