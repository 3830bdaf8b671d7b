//! Ctrl-C, SIGTERM (a batch system's) and SIGHUP (a terminal's that closes). A handler sets flags before
//! anything else, and what it says goes to the screen's thread: a signal counts also where stderr blocks.
use std::sync::atomic::{AtomicBool, Ordering};

use seedbed::error::{Error, Result};

use crate::screen::{self, say};

/// Exit code of what a signal ended.
pub const INTERRUPT_CODE: u8 = 130;

/// Set by the first signal, or by an error that ends everything.
pub static STOP: AtomicBool = AtomicBool::new(false);
/// Set by the first signal only.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// Whether signals are caught for workers already.
static CATCHING: AtomicBool = AtomicBool::new(false);
/// Whether signals are caught for arrays already.
static LISTENING: AtomicBool = AtomicBool::new(false);
/// Whether there are workers to stop.
static TRAINING: AtomicBool = AtomicBool::new(false);

/// Undoes what who started this process may have said of signals: a file that grows beyond its limit is an error
/// like a full disk and ends nothing unsaid, and the ends of workers are told.
pub fn take_over() {
    // SAFETY: sets no handler of ours
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Says whether a signal has come.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Lends the flag that the first signal sets.
pub fn interrupt_flag() -> &'static AtomicBool {
    &INTERRUPTED
}

/// Does something that workers train for, so that the first signal stops them; the second ends this
/// process, and with it they end. Afterwards the first ends it.
///
/// # Errors
/// `Failed` where signals cannot be caught, and those of what is done.
pub fn stopping_workers<T>(train: impl FnOnce() -> Result<T>) -> Result<T> {
    // a verification may train twice
    if !CATCHING.swap(true, Ordering::SeqCst) {
        let ignored = ignores_hangup();
        catch(|| {
            if INTERRUPTED.swap(true, Ordering::SeqCst) || !TRAINING.load(Ordering::SeqCst) {
                end_now(INTERRUPT_CODE);
            }
            STOP.store(true, Ordering::SeqCst);
            say("stopping the workers; finished runs are kept; once more ends at once");
        })?;
        if ignored {
            ignores_hangup();
        }
    }
    TRAINING.store(true, Ordering::SeqCst);
    let trained = train();
    TRAINING.store(false, Ordering::SeqCst);
    trained
}

/// Listens for signals while an array of tasks works: the first cancels the array, the second ends this
/// process and leaves it. A terminal that closes (SIGHUP) leaves it at once.
///
/// # Errors
/// `Failed` where signals cannot be caught.
pub fn cancelling_arrays() -> Result<()> {
    // there may be one array after another
    if LISTENING.swap(true, Ordering::SeqCst) {
        return Ok(());
    }
    let ignored = ignores_hangup();
    catch(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            say("the array is left as it is; --cancel cancels it");
            screen::settle();
            end_now(INTERRUPT_CODE);
        }
        say("cancelling the array; finished runs are kept; once more ends at once");
    })?;
    let hangup = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: sets no handler of ours
    unsafe {
        libc::signal(libc::SIGHUP, hangup);
    }
    Ok(())
}

fn catch(handler: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(handler)
        .map_err(|error| Error::Failed(format!("cannot listen for Ctrl-C: {error}")))
}

/// Ignores SIGHUP from now on; says whether it was ignored before, as under `nohup`.
fn ignores_hangup() -> bool {
    // SAFETY: sets no handler of ours
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) == libc::SIG_IGN }
}

/// Ends this process now, whatever its threads are at: handlers that run at a usual exit could wait for
/// them.
pub fn end_now(code: u8) -> ! {
    // SAFETY: has no preconditions
    unsafe { libc::_exit(i32::from(code)) }
}
