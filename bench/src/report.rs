//! What is printed: a line of JSON for each benchmark, then a table with goals.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::measure::{Cost, median};

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// `BM1`.
    pub id: String,
    /// What was done.
    pub work: String,
    values: Map<String, Value>,
    goals: Vec<(String, bool)>,
    notes: Vec<String>,
    wrong: Vec<String>,
}

impl Line {
    /// A benchmark without values yet.
    #[must_use]
    pub fn new(id: &str, work: impl Into<String>) -> Self {
        Self { id: id.into(), work: work.into(), ..Self::default() }
    }

    /// Sets a value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.into(), value.into());
    }

    /// Sets the medians of both sides, their ratio, and all that was measured.
    pub fn compare(&mut self, ours: &[Cost], floor: &[Cost]) {
        let seconds = |costs: &[Cost]| median(costs.iter().map(|cost| cost.wall_s));
        let (ours_s, floor_s) = (seconds(ours), seconds(floor));
        self.set("ours_s", rounded(ours_s));
        self.set("floor_s", rounded(floor_s));
        self.set("ratio", rounded(ours_s / floor_s));
        self.set("rss_mib", rounded(ours.iter().map(|cost| cost.rss_mib).fold(0.0, f64::max)));
        self.set("requests", ours.iter().map(|cost| cost.requests).max().unwrap_or_default());
        let cpu = |costs: &[Cost]| rounded(median(costs.iter().map(|cost| cost.cpu_s)));
        self.set("ours_cpu_s", cpu(ours));
        self.set("floor_cpu_s", cpu(floor));
        self.set("ours", json!(ours));
        self.set("floor", json!(floor));
        let others = median(ours.iter().chain(floor).map(|cost| cost.others_percent));
        if others > 5.0 {
            self.note(format!("others used {others:.0} % of the machine meanwhile: measure again on a quiet one"));
        }
    }

    /// A number that was set; 0 if it was not.
    #[must_use]
    pub fn number(&self, name: &str) -> f64 {
        self.values.get(name).and_then(Value::as_f64).unwrap_or_default()
    }

    /// A value must not be above a bound.
    pub fn at_most(&mut self, name: &str, bound: f64, text: &str) {
        let value = self.number(name);
        self.goal(format!("{text} (is {value})"), value <= bound);
    }

    /// What should be, and whether it is.
    pub fn goal(&mut self, text: impl Into<String>, met: bool) {
        self.goals.push((text.into(), met));
    }

    /// Something to know about the figures.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What is not as it must be: then speed does not count.
    pub fn wrong(&mut self, text: impl Into<String>) {
        self.wrong.push(text.into());
    }

    /// Whether everything that arrived was right.
    #[must_use]
    pub fn right(&self) -> bool {
        self.wrong.is_empty()
    }

    fn json(&self) -> Value {
        let mut all = Map::new();
        all.insert("id".into(), self.id.clone().into());
        all.insert("work".into(), self.work.clone().into());
        all.extend(self.values.clone());
        let goals = self.goals.iter().map(|(text, met)| json!({"goal": text, "met": met}));
        all.insert("goals".into(), goals.collect::<Vec<_>>().into());
        all.insert("notes".into(), self.notes.clone().into());
        all.insert("wrong".into(), self.wrong.clone().into());
        Value::Object(all)
    }

    fn row(&self) -> Vec<String> {
        let value = |name: &str| self.values.get(name).map_or_else(|| "-".to_owned(), ToString::to_string);
        let mut row = vec![self.id.clone()];
        row.extend(["ours_s", "floor_s", "ratio", "rss_mib", "requests"].map(value));
        row.push(match (self.right(), self.goals.iter().all(|(_, met)| *met)) {
            (false, _) => "WRONG".into(),
            (true, true) => "met".into(),
            (true, false) => "missed".into(),
        });
        row
    }
}

/// To three digits behind the point.
#[must_use]
pub fn rounded(value: f64) -> f64 {
    if value.is_finite() { (value * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// Where lines go as soon as they are there.
pub struct Report {
    file: File,
    lines: Vec<Line>,
}

impl Report {
    /// Writes JSON lines into a file, too.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(file: &Path) -> anyhow::Result<Self> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { file: File::create(file)?, lines: Vec::new() })
    }

    /// Takes a line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&mut self, line: Line) -> anyhow::Result<()> {
        let json = line.json();
        println!("{json}");
        writeln!(self.file, "{json}")?;
        self.lines.push(line);
        Ok(())
    }

    /// Prints the table; `true` if all that arrived was right.
    #[must_use]
    pub fn end(&self) -> bool {
        println!();
        let head = ["", "ours s", "floor s", "ratio", "MiB", "requests", ""].map(str::to_owned).to_vec();
        for row in std::iter::once(head).chain(self.lines.iter().map(Line::row)) {
            println!("{:<6}{:>9}{:>9}{:>8}{:>9}{:>10}   {}", row[0], row[1], row[2], row[3], row[4], row[5], row[6]);
        }
        println!();
        for line in &self.lines {
            println!("{}  {}", line.id, line.work);
            for (goal, met) in &line.goals {
                println!("       {} {goal}", if *met { "met:   " } else { "MISSED:" });
            }
            for text in &line.notes {
                println!("       note:   {text}");
            }
            for text in &line.wrong {
                println!("       WRONG:  {text}");
            }
        }
        self.lines.iter().all(Line::right)
    }
}
