//! docs/write-a-definition.md, done as it says: every block of it, in order, in an empty folder.
//!
//! A block whose language is followed by a name is that file. A block `sh` is run; a `text` behind it is what it prints. With
//! `BACKFLOW_WRITE_DOCS=1` in the environment, what is printed is written into the page.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use backflow_tests::program::program;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/write-a-definition.md");
/// The port that the page names; another one is taken here.
const PORT: &str = "8087";

/// A fenced block: what stands behind the fence, and what is in it.
struct Block {
    info: String,
    text: String,
    /// Number of its first line in the page.
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new(), line: at + 2 }),
            (Some(_), Some("")) => blocks.extend(open.take()),
            (Some(block), _) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end");
    blocks
}

/// Without what differs from one run to the next: how long it took, and what was seen of it on the way.
fn same(text: &str) -> String {
    let seconds = regex::Regex::new(r"\b\d+\.\d+s\b").unwrap();
    let progress = regex::Regex::new(r"^[a-z-]+: (reading|comparing|sending|finishing|delivering)").unwrap();
    let lines = text.lines().filter(|line| !progress.is_match(line));
    lines.map(|line| seconds.replace_all(line, "0.1s").trim_end().to_owned() + "\n").collect()
}

/// Processes that go on while the page does.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Reader {
    folder: tempfile::TempDir,
    port: String,
    path: String,
    running: Running,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("backflow-guide-").tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        let backflow = program("backflow-cli", "backflow").unwrap();
        let path = format!("{}:{}", backflow.parent().unwrap().display(), std::env::var("PATH").unwrap());
        Self { folder, port, path, running: Running(Vec::new()) }
    }

    fn write(&self, name: &str, text: &str) {
        assert!(Path::new(name).components().count() == 1, "{name} is beside the others");
        std::fs::write(self.folder.path().join(name), text.replace(PORT, &self.port)).unwrap();
    }

    fn shell(&self, command: &str) -> Command {
        let mut shell = Command::new("bash");
        shell.args(["-c", command]).current_dir(self.folder.path()).env("PATH", &self.path).stdin(Stdio::null());
        shell
    }

    /// What a command prints, as a person sees it.
    fn run(&mut self, command: &str) -> String {
        if let Some(command) = command.trim_end().strip_suffix(" &") {
            let mut child = self.shell(&format!("exec {command}")).stdout(Stdio::piped()).spawn().unwrap();
            let mut first = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
            assert_eq!(first, "listening\n", "{command} did not begin");
            self.running.0.push(child);
            return String::new();
        }
        let output = self.shell(&format!("{{ {command}\n}} 2>&1")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().replace(&self.port, PORT)
    }
}

#[test]
fn every_block_does_what_the_page_says() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let mut reader = Reader::new();
    let mut said: Option<String> = None;
    let (mut files, mut commands, mut wrong) = (0, 0, Vec::new());
    let mut lines: Vec<String> = page.lines().map(str::to_owned).collect();
    let mut written = Vec::new();
    for block in blocks(&page) {
        match block.info.split_once(' ') {
            Some((_, name)) => {
                files += 1;
                reader.write(name, &block.text);
            }
            None if block.info == "sh" => {
                commands += 1;
                said = Some(reader.run(&block.text));
            }
            None if block.info == "text" => {
                let printed = said.take().expect("a command before it");
                if same(&printed) != same(&block.text) {
                    wrong.push(format!("line {}: it prints\n{printed}instead of\n{}", block.line, block.text));
                    written.push((block.line, block.text.lines().count(), same(&printed)));
                }
            }
            None => panic!("line {}: nobody knows what to do with a block of {:?}", block.line, block.info),
        }
    }
    if std::env::var_os("BACKFLOW_WRITE_DOCS").is_some() {
        for (line, count, text) in written.into_iter().rev() {
            drop(lines.splice(line - 1..line - 1 + count, text.lines().map(str::to_owned)));
        }
        std::fs::write(PAGE, lines.join("\n") + "\n").unwrap();
        return;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!((files, commands) >= (7, 8), "{files} files, {commands} commands");
    let arrived = std::fs::read_to_string(reader.folder.path().join("contacts.txt")).unwrap();
    assert!(arrived.contains("ada@example.com") && !arrived.contains("nobody"), "{arrived}");
}
