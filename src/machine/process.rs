//! What is asked of the operating system for a process that is to be started.

#[cfg(target_os = "linux")]
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Asks the kernel to kill a process when the thread that waits for it ends, also while it still loads its
/// libraries. Elsewhere than on Linux nobody is asked: a worker watches its stdin, and a program's group is ended
/// by the worker that it belongs to.
pub(crate) fn end_with_this_thread(command: &mut Command) {
    #[cfg(target_os = "linux")]
    // SAFETY: may be called between fork and exec, and stays set over exec
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}
