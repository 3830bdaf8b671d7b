//! What a program says on stderr, copied to the run's log: the beginning as it comes and the end when it
//! has come, so that a program that never stops talking fills no disk and its last words are there.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes from the beginning.
const HEAD: usize = 1 << 20;

/// Bytes from the end.
const TAIL: usize = 1 << 16;

/// How long the last words are waited for once the program has ended: what it leaves behind may hold its
/// stderr open for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A stream that is being copied.
pub struct Copied {
    bounded: Arc<Mutex<Bounded>>,
    ended: Receiver<()>,
}

impl Copied {
    /// Copies a stream on a thread of its own.
    pub fn of(mut stream: impl Read + Send + 'static, out: impl Write + Send + 'static) -> Self {
        let bounded = Arc::new(Mutex::new(Bounded::new(Box::new(out))));
        let (ending, ended) = mpsc::channel();
        let shared = Arc::clone(&bounded);
        thread::spawn(move || {
            let mut bytes = vec![0; TAIL];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                shared.lock().unwrap_or_else(PoisonError::into_inner).take(&bytes[..count]);
            }
            // nobody may listen any more
            let _ = ending.send(());
        });
        Self { bounded, ended }
    }

    /// Writes the last words. Nothing that is said after them is copied.
    pub fn end(self) {
        let _ = self.ended.recv_timeout(LAST_WORDS);
        self.bounded.lock().unwrap_or_else(PoisonError::into_inner).end();
    }
}

/// Passes on the beginning of what it is given, and keeps the end.
struct Bounded {
    out: Box<dyn Write + Send>,
    /// Bytes that are still passed on.
    left: usize,
    tail: VecDeque<u8>,
    left_out: u64,
    is_over: bool,
}

impl Bounded {
    fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, left: HEAD, tail: VecDeque::new(), left_out: 0, is_over: false }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        let (head, rest) = bytes.split_at(self.left.min(bytes.len()));
        self.left -= head.len();
        // a log that cannot be written ends no run
        drop(self.out.write_all(head).and_then(|()| self.out.flush()));
        self.tail.extend(rest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        self.left_out += excess as u64;
    }

    fn end(&mut self) {
        self.is_over = true;
        if self.left_out > 0 {
            let note = format!("\n… {} bytes are left out …\n", self.left_out);
            drop(self.out.write_all(note.as_bytes()));
        }
        let (first, second) = self.tail.as_slices();
        drop(self.out.write_all(first).and_then(|()| self.out.write_all(second)));
        drop(self.out.flush());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What others can read of a log.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn copied(stream: impl Read + Send + 'static) -> String {
        let out = Shared::default();
        Copied::of(stream, out.clone()).end();
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn little_is_copied_as_it_is() {
        assert_eq!(copied(&b""[..]), "");
        assert_eq!(copied(&b"Traceback\nValueError\n"[..]), "Traceback\nValueError\n");
        let whole = "x".repeat(HEAD + TAIL);
        assert_eq!(copied(std::io::Cursor::new(whole.clone())), whole);
    }

    #[test]
    fn of_very_much_the_beginning_and_the_end_are_copied_and_the_rest_is_counted() {
        let endless = b"first words\n".chain(std::io::repeat(b'y').take(1 << 26));
        let text = copied(endless.chain(&b"\nlast words\n"[..]));
        assert!(text.starts_with("first words\n") && text.ends_with("\nlast words\n"));
        assert!(text.len() < HEAD + TAIL + 100, "{}", text.len());
        let all = 12 + (1 << 26) + 12;
        assert!(text.contains(&format!("… {} bytes are left out …", all - HEAD - TAIL)));
    }
}
