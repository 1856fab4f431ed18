//! The binary: arguments → [`rutter::cli`] → exit code.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Huge pages make 17 MiB of what takes 4. The allocator asks for none (`no_thp`); this is for
    // systems that give them unasked. A kernel that does not know the call does without.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    rutter::cli::run(std::env::args_os())
}
