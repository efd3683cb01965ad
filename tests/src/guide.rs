//! Pages whose every block is run by a test: their blocks, and a reader who does them in an empty folder.
//!
//! A block whose language is followed by a name is that file. A block `sh` is run; a `text` behind it is what it prints. With
//! `BACKFLOW_WRITE_DOCS=1` in the environment, what is printed is written into the page.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use regex::Regex;
use tempfile::TempDir;

use crate::program::program;

/// A fenced block: what stands behind the fence, and what is in it.
#[derive(Debug)]
pub struct Block {
    /// Language, and what follows it.
    pub info: String,
    /// Its lines.
    pub text: String,
    /// Number of its first line in the page.
    pub line: usize,
}

/// The blocks of a page, in order.
///
/// # Errors
/// One does not end.
pub fn blocks(page: &str) -> anyhow::Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new(), line: at + 2 }),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => writeln!(block.text, "{line}")?,
            (None, None) => {}
        }
    }
    ensure!(open.is_none(), "a block does not end");
    Ok(blocks)
}

/// Without what differs from one run to the next: how long it took, and what was seen of it on the way.
fn same(text: &str) -> anyhow::Result<String> {
    let took = Regex::new(r"\b(\d+h)?(\d+m)?\d+(\.\d+)?s\b")?;
    let progress = Regex::new(r"^[a-z-]+: (reading|comparing|sending|finishing|delivering)")?;
    let lines = text.lines().filter(|line| !progress.is_match(line));
    Ok(lines.map(|line| took.replace_all(line, "0.1s").trim_end().to_owned() + "\n").collect())
}

/// Somebody who does what a page says, in an empty folder.
pub struct Reader {
    page: PathBuf,
    folder: TempDir,
    /// What stands before the programs of the system.
    programs: TempDir,
    variables: Vec<(&'static str, String)>,
    words: Vec<(String, String)>,
    prints: Vec<(Regex, &'static str)>,
    running: Vec<Child>,
    /// What the last command printed, and whether it ended well.
    said: Option<(String, bool)>,
    wrong: Vec<(usize, usize, String)>,
    /// How many files were written and commands run.
    pub done: (usize, usize),
}

impl Reader {
    /// Somebody who has `backflow`, and `kubectl` as tests have it.
    ///
    /// # Errors
    /// `backflow` does not compile.
    pub fn new(page: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("backflow-guide-").tempdir()?;
        let programs = tempfile::Builder::new().prefix("backflow-guide-programs-").tempdir()?;
        std::os::unix::fs::symlink(program("backflow-cli", "backflow")?, programs.path().join("backflow"))?;
        if let Some(kubectl) = std::env::var_os("BACKFLOW_KUBECTL") {
            std::os::unix::fs::symlink(kubectl, programs.path().join("kubectl"))?;
        }
        Ok(Self {
            page: Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page),
            folder,
            programs,
            variables: Vec::new(),
            words: Vec::new(),
            prints: Vec::new(),
            running: Vec::new(),
            said: None,
            wrong: Vec::new(),
            done: (0, 0),
        })
    }

    /// What the page says, and what it is here.
    pub fn word(&mut self, page: &str, here: &str) {
        self.words.push((page.to_owned(), here.to_owned()));
    }

    /// A port that the page names: another one is taken here.
    ///
    /// # Errors
    /// There is no free port.
    pub fn port(&mut self, page: &str) -> anyhow::Result<()> {
        let free = std::net::TcpListener::bind("127.0.0.1:0")?;
        self.word(page, &free.local_addr()?.port().to_string());
        Ok(())
    }

    /// What commands print that differs from one machine to the next, and what the page has in its place.
    ///
    /// # Errors
    /// It is no regular expression.
    pub fn prints(&mut self, pattern: &str, page: &'static str) -> anyhow::Result<()> {
        self.prints.push((Regex::new(pattern)?, page));
        Ok(())
    }

    /// A variable of all commands' environment.
    pub fn variable(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// A file of the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that is none of the folder's.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn aside(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.programs.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    /// A text of the page as it is here.
    #[must_use]
    pub fn here(&self, text: &str) -> String {
        self.words.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    /// Writes a file of the folder.
    ///
    /// # Errors
    /// It is not beside the others, or cannot be written.
    pub fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        ensure!(Path::new(name).components().count() == 1, "{name} is not beside the others");
        Ok(std::fs::write(self.path(name), self.here(text))?)
    }

    /// What a command prints, as a person sees it, and whether it ended well.
    fn run(&mut self, command: &str) -> anyhow::Result<(String, bool)> {
        let command = self.here(command);
        if let Some(command) = command.trim_end().strip_suffix(" &") {
            let mut child = self.shell(&format!("exec {command}"))?.stdout(Stdio::piped()).spawn()?;
            let mut first = String::new();
            let stdout = child.stdout.take().context("it has no output")?;
            self.running.push(child);
            BufReader::new(stdout).read_line(&mut first)?;
            ensure!(first == "listening\n", "{command} did not begin");
            return Ok((String::new(), true));
        }
        let output = self.shell(&format!("{{ {command}\n}} 2>&1"))?.output()?;
        let printed = String::from_utf8(output.stdout)?;
        let printed = self.words.iter().fold(printed, |text, (page, here)| text.replace(here, page));
        let prints = self.prints.iter();
        let printed = prints.fold(printed, |text, (pattern, page)| pattern.replace_all(&text, *page).into_owned());
        Ok((printed, output.status.success()))
    }

    /// A command whose failure the page does not show has not failed.
    fn heard(&mut self) -> anyhow::Result<()> {
        if let Some((printed, false)) = self.said.take() {
            bail!("a command failed: {printed}");
        }
        Ok(())
    }

    fn shell(&self, command: &str) -> anyhow::Result<Command> {
        let mut path = vec![self.programs.path().to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut shell = Command::new("bash");
        shell.args(["-e", "-c", command]).current_dir(self.folder.path()).env("PATH", std::env::join_paths(path)?);
        shell.envs(self.variables.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        Ok(shell)
    }

    /// The blocks of the page.
    ///
    /// # Errors
    /// It is not there, or a block does not end.
    pub fn blocks(&self) -> anyhow::Result<Vec<Block>> {
        blocks(&std::fs::read_to_string(&self.page).with_context(|| self.page.display().to_string())?)
    }

    /// Does what a block says. False: it is none of a kind that is known here.
    ///
    /// # Errors
    /// It cannot be done.
    pub fn does(&mut self, block: &Block) -> anyhow::Result<bool> {
        if block.info != "text" {
            self.heard()?;
        }
        match (block.info.split_once(' '), block.info.as_str()) {
            (Some(("yaml" | "python", name)), _) => {
                self.done.0 += 1;
                self.write(name, &block.text)?;
            }
            (None, "sh") => {
                self.done.1 += 1;
                self.said = Some(self.run(&block.text)?);
            }
            (None, "text") => {
                let printed = same(&self.said.take().context("there is no command before it")?.0)?;
                if printed != same(&block.text)? {
                    self.wrong.push((block.line, block.text.lines().count(), printed));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Compares what was printed with what the page says, or writes it there.
    ///
    /// # Errors
    /// They differ, or the page cannot be written.
    pub fn ends(&mut self) -> anyhow::Result<()> {
        self.heard()?;
        let page = std::fs::read_to_string(&self.page)?;
        let mut lines: Vec<&str> = page.lines().collect();
        if std::env::var_os("BACKFLOW_WRITE_DOCS").is_some() {
            for (line, count, text) in self.wrong.iter().rev() {
                drop(lines.splice(line - 1..line - 1 + count, text.lines()));
            }
            return Ok(std::fs::write(&self.page, lines.join("\n") + "\n")?);
        }
        let wrong = self.wrong.iter().map(|(line, count, text)| {
            let says = lines.iter().skip(line - 1).take(*count).fold(String::new(), |all, line| all + line + "\n");
            format!("line {line}: it prints\n{text}instead of\n{says}")
        });
        let wrong: Vec<String> = wrong.collect();
        ensure!(wrong.is_empty(), "{}: {}", self.page.display(), wrong.join("\n"));
        Ok(())
    }
}

/// What goes on while the page does ends with it.
impl Drop for Reader {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
