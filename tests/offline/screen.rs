//! What a terminal of 72 columns shows while runs are made, seen through a pseudo-terminal.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::Read;
use std::os::fd::FromRawFd;
use std::process::Stdio;

use crate::sandbox::Sandbox;

/// A terminal of so many columns: what a program is given, and where its user looks.
fn terminal(columns: u16) -> (File, File) {
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    let (mut user, mut program) = (0, 0);
    let nothing = std::ptr::null_mut();
    // SAFETY: the places for both descriptors and the size are ours, and live longer than the call
    let made = unsafe {
        libc::openpty(
            &raw mut user,
            &raw mut program,
            nothing,
            std::ptr::null_mut(),
            &raw const size,
        )
    };
    assert_eq!(made, 0, "a pseudo-terminal");
    // SAFETY: the two descriptors are open, and nobody else's
    unsafe { (File::from_raw_fd(user), File::from_raw_fd(program)) }
}

/// What a terminal of so many columns shows of a command, and its exit code.
fn shown(sandbox: &Sandbox, arguments: &str, columns: u16) -> (String, Option<i32>) {
    let (mut user, program) = terminal(columns);
    let mut command = sandbox.command(arguments);
    let out = || Stdio::from(program.try_clone().expect("a descriptor"));
    let mut child = command.stdout(out()).stderr(out()).spawn().expect("seedbed starts");
    // the last descriptors of the program's side are the child's
    drop((command, program));
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    // the side of the user ends with an error once nobody holds the other
    while let Ok(got @ 1..) = user.read(&mut buffer) {
        bytes.extend(&buffer[..got]);
    }
    let code = child.wait().expect("it ends").code();
    (String::from_utf8_lossy(&bytes).into_owned(), code)
}

/// The lines of a text that stay, without their colours: what moves the cursor draws bars, which are cut to
/// their terminal.
fn lines(text: &str) -> Vec<String> {
    let plain = |line: &str| {
        let mut parts = line.split("\u{1b}[");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.try_fold(first, |line, part| {
            let end = part.find(|c: char| c.is_ascii_alphabetic())?;
            part[end..].strip_prefix('m').map(|rest| line + rest)
        })
    };
    let lines = text.split(['\n', '\r']).filter_map(plain);
    lines.map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn nothing_is_wider_than_the_terminal_while_runs_are_made_and_when_they_end() {
    let sandbox = Sandbox::new();
    sandbox.seedbed("new mine").expect(0);
    for columns in [72, 100] {
        let out = format!("run mine -n 3 --out results-{columns}");
        let (text, code) = shown(&sandbox, &out, columns);
        assert_eq!(code, Some(0), "{text}");
        let lines = lines(&text);
        let widest = lines.iter().map(|line| line.chars().count()).max().expect("a line");
        assert!(widest <= columns.into(), "{widest} of {columns}:\n{text}");
        assert!(text.contains("/3 runs"), "the bars are shown:\n{text}");
        assert!(text.contains("mine: no published figure: F1"), "{text}");
        // a run that ended well is a step of the bar, and a line only where that is asked for
        assert!(!text.contains("mine base seed 1: f1"), "{text}");
    }
    let (text, _) = shown(&sandbox, "run mine -n 3 -v --out loud", 100);
    assert!(text.contains("mine base seed 1: f1"), "{text}");
    let (text, _) = shown(&sandbox, "tables mine --out loud", 72);
    assert!(text.contains("\u{1b}[1mmine\u{1b}[0m"), "a terminal has colours:\n{text}");
    assert!(lines(&text).iter().any(|line| line.contains("no room here for:")), "{text}");
}
