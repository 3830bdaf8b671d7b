//! `seedbed man`: manual pages, made of the command line as it is.
use std::path::Path;

use clap::CommandFactory;
use clap_mangen::Man;

use seedbed::error::{Error, Result};
use seedbed::store::whole;
use seedbed::text::nearest;

use crate::args::Cli;
use crate::output::print;

/// Prints a page, or writes all of them into a folder and prints their paths.
pub fn man(of: Option<&str>, to: Option<&Path>) -> Result<u8> {
    let mut program = Cli::command().disable_help_subcommand(true);
    // gives each subcommand its whole name, and the options that all have
    program.build();
    let Some(folder) = to else {
        let command = match of {
            None => &program,
            Some(name) => subcommand(&program, name)?,
        };
        print(&page(command)?)?;
        return Ok(0);
    };
    std::fs::create_dir_all(folder).map_err(|error| Error::of_file("make", folder, &error))?;
    let subcommands = program.get_subcommands().filter(|command| !command.is_hide_set());
    for command in std::iter::once(&program).chain(subcommands) {
        let path = folder.join(format!("{}.1", title(command)));
        whole::write(&path, &page(command)?)
            .map_err(|error| Error::of_file("write", &path, &error))?;
        print(&format!("{}\n", path.display()))?;
    }
    Ok(0)
}

fn subcommand<'a>(program: &'a clap::Command, name: &str) -> Result<&'a clap::Command> {
    program.find_subcommand(name).ok_or_else(|| {
        let known: Vec<&str> = program
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        Error::Usage(format!(
            "there is no subcommand '{name}'{}; there are: {}",
            nearest(name, &known),
            known.join(" ")
        ))
    })
}

/// `seedbed-run`, as git names its pages.
fn title(command: &clap::Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).replace(' ', "-")
}

fn page(command: &clap::Command) -> Result<String> {
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(title(command))
        .render(&mut text)
        .map_err(|error| Error::Failed(format!("cannot write a manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}
