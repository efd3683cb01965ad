//! `include`: columns under their own names.

use std::collections::BTreeSet;

use backflow_core::plan::{Include, OnNull};

use crate::compile::Compiler;
use crate::demands::null_policy;
use crate::path::{joined, split};

impl Compiler<'_> {
    pub(crate) fn include(&mut self, include: &Include) {
        let into = match include.into.as_deref().map(split).transpose() {
            Ok(into) => into.unwrap_or_default(),
            Err(error) => {
                self.find("include.into", "InvalidPath", format!("include.into: {error}"));
                return;
            }
        };
        let except: BTreeSet<&str> = include.except.iter().map(String::as_str).collect();
        for name in &except {
            self.known("include.except", name);
        }
        let mut chosen: Vec<&str> = Vec::new();
        for name in &include.columns {
            let all = self.columns.unwrap_or_default().iter().map(|column| column.name.as_str());
            if name == "*" {
                chosen.extend(all);
            } else if self.known("include.columns", name) {
                chosen.push(name);
            }
        }
        let mut seen = BTreeSet::new();
        chosen.retain(|name| !except.contains(name) && seen.insert(*name));
        for name in &chosen {
            let path: Vec<String> = into.iter().cloned().chain([(*name).to_owned()]).collect();
            let label = joined(&path);
            let fit = self.fit("include.columns", &path);
            let on_null = self.target.map_or(OnNull::Send, |target| null_policy(&target.action.fields, &path));
            let leaf = self.plain_column("include.columns", name, on_null, &label, fit);
            self.insert("include.columns", &path, leaf, "; list the column in include.except");
        }
        if chosen.is_empty() && (self.columns.is_some() || !include.columns.iter().any(|name| name == "*")) {
            let message = "no column is left to include: name columns in include.columns, or remove include";
            self.find("include.columns", "EmptyInclude", message.to_owned());
        }
    }
}
