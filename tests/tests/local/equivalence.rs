//! The same rows by Segment's open action code and by ours. `cargo xtask equivalence` installs that code and names its folder; without it,
//! ours alone sends each case to the fake vendors, which refuse what the vendors do.

mod cases;
mod compare;
mod ours;
mod page;
mod read;
mod tests;
mod theirs;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use backflow_tests::destinations::Fakes;
use serde_json::Value;

use cases::{Case, Tool, tools};
use compare::{Difference, Listed, differences};
use read::{Request, document};

/// The folder that `cargo xtask equivalence` names, and the tools that it is asked for.
const PACKAGE: &str = "BACKFLOW_EQUIVALENCE";
const TOOLS: &str = "BACKFLOW_EQUIVALENCE_TOOLS";

/// What one case shows.
struct Shown {
    line: String,
    /// What is not listed, or why nothing could be compared.
    wrong: Vec<String>,
    /// Listed differences that it has, by number.
    has: BTreeSet<usize>,
}

fn compared(
    tool: &Tool,
    case: &Case,
    segment: Result<Vec<Request>, String>,
    ours: Result<Vec<Request>, String>,
) -> Shown {
    let place = format!("{} {}", tool.name, case.name);
    let both = segment.and_then(|segment| Ok((segment, ours?)));
    let read = both.and_then(|(segment, ours)| {
        let counts = (segment.len(), ours.len());
        Ok((document(tool, &segment)?, document(tool, &ours)?, counts))
    });
    let (segment, ours, counts) = match read {
        Ok(read) => read,
        Err(why) => {
            return Shown {
                line: format!("{place:<60} not compared"),
                wrong: vec![format!("{place}: {why}")],
                has: BTreeSet::new(),
            };
        }
    };
    let Judged { wrong, has } = judge(&case.name, differences(&segment, &ours), &tool.differences);
    let verdict = match (wrong.len(), has.len()) {
        (0, 0) => "equal".to_owned(),
        (0, listed) => format!("equal but for {listed} listed differences"),
        (wrong, _) => format!("{wrong} differences that are not listed"),
    };
    let line = format!("{place:<60} {:>4} {:>9} {:>5}  {verdict}", case.rows.len(), counts.0, counts.1);
    let said = |difference: &Difference| {
        let text = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        format!(
            "{place}: {}\n    Segment: {}\n    ours:    {}",
            difference.at,
            text(&difference.segment),
            text(&difference.ours)
        )
    };
    Shown { line, wrong: wrong.iter().map(said).collect(), has }
}

struct Judged {
    wrong: Vec<Difference>,
    has: BTreeSet<usize>,
}

/// Parts differences that are listed from those that are not.
fn judge(case: &str, found: Vec<Difference>, listed: &[Listed]) -> Judged {
    let mut judged = Judged { wrong: Vec::new(), has: BTreeSet::new() };
    for difference in found {
        match listed.iter().position(|listed| listed.is(case, &difference)) {
            Some(n) => {
                judged.has.insert(n);
            }
            None => judged.wrong.push(difference),
        }
    }
    judged
}

/// Listed differences that are gone.
fn gone(tool: &Tool, shown: &[(&str, BTreeSet<usize>)]) -> Vec<String> {
    let mut gone = Vec::new();
    for (n, listed) in tool.differences.iter().enumerate() {
        let mut lacking =
            shown.iter().filter(|(case, has)| listed.of(case) && !has.contains(&n)).map(|(case, _)| *case);
        let place = format!("{}: {} is listed ({})", tool.name, listed.at, listed.reason);
        match &listed.cases {
            Some(_) => gone.extend(lacking.map(|case| format!("{place}, but {case} has no such difference"))),
            None if lacking.by_ref().count() == shown.len() => gone.push(format!("{place}, but no case has it")),
            None => {}
        }
    }
    gone
}

/// Compares all cases of a tool; what is wrong.
async fn tool(package: &Path, fakes: &Fakes, tool: &Tool) -> Vec<String> {
    let theirs = theirs::run(package, tool, &fakes.credentials()[&tool.name]).await;
    let (mut wrong, mut shown) = (Vec::new(), Vec::new());
    for (case, segment) in tool.cases.iter().zip(theirs.runs) {
        let ours = ours::run(fakes, tool, case).await;
        let one = compared(tool, case, segment, ours);
        eprintln!("{}", one.line);
        wrong.extend(one.wrong);
        shown.push((case.name.as_str(), one.has));
    }
    wrong.extend(gone(tool, &shown));
    let compared: BTreeSet<&String> = tool.cases.iter().map(|case| &case.segment.action).collect();
    for action in &theirs.actions {
        if compared.contains(action) == tool.only_segment.contains_key(action) {
            wrong.push(format!("{}: Segment's {action} must either have a case or be named in onlySegment", tool.name));
        }
    }
    let unknown = tool.only_segment.keys().filter(|name| !theirs.actions.contains(*name));
    wrong.extend(unknown.map(|name| format!("{}: Segment has no action {name}", tool.name)));
    wrong
}

/// Sends all cases of a tool by ours alone; what is wrong.
async fn alone(fakes: &Fakes, tool: &Tool) -> Vec<String> {
    let mut wrong = Vec::new();
    for case in &tool.cases {
        let sent = ours::run(fakes, tool, case).await.and_then(|requests| document(tool, &requests));
        wrong.extend(sent.err().map(|why| format!("{} {}: {why}", tool.name, case.name)));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_is_taken_and_as_segments_but_for_what_is_listed() {
    let package = std::env::var_os(PACKAGE).map(PathBuf::from);
    let asked = std::env::var(TOOLS).unwrap_or_default();
    let asked: BTreeSet<&str> = asked.split(',').filter(|name| !name.is_empty()).collect();
    let all = tools();
    let names: BTreeSet<&str> = all.iter().map(|tool| tool.name.as_str()).collect();
    assert!(asked.is_subset(&names), "there are {names:?}");
    let fakes = Fakes::start().await.unwrap();
    if package.is_some() {
        eprintln!("{:<60} {:>4} {:>9} {:>5}", "CASE", "ROWS", "SEGMENT'S", "OURS");
    }
    let mut wrong = Vec::new();
    for one in all.iter().filter(|tool| asked.is_empty() || asked.contains(tool.name.as_str())) {
        wrong.extend(match &package {
            Some(package) => tool(package, &fakes, one).await,
            None => alone(&fakes, one).await,
        });
    }
    for (n, what) in wrong.iter().enumerate() {
        eprintln!("{}. {what}", n + 1);
    }
    assert!(wrong.is_empty(), "{} are wrong: see above", wrong.len());
    if package.is_some() {
        std::fs::write(page::path(), page::page(&all)).unwrap();
    }
}
