//! `check`: verifies every structure of the store, and writes nothing.

mod read_only;
mod trees;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use sapwood::ErrorKind;
use sapwood::inspect::{self, CheckOptions, CheckProgress, CheckReport, Finding};
use sapwood::store::Store;
use serde::Serialize;

use self::read_only::ReadOnly;
use self::trees::{Found, Told, check_trees};
use crate::args::CheckArgs;
use crate::context::Context;
use crate::error::{CliError, MEND_OWN_FILE, Result, Verdict};
use crate::obstacles::ways_out;
use crate::output::size::counted;
use crate::output::{Report, Text, printable};

#[derive(Serialize)]
struct Checked {
    store: String,
    is_sound: bool,
    /// Nothing is of a newer version, which only that can look at.
    is_whole: bool,
    layers: u64,
    names: u64,
    indexes: u64,
    runs: u64,
    records: u64,
    extents: u64,
    data_blocks: u64,
    torn_tails: u64,
    trees: u64,
    trees_not_whole: u64,
    files: u64,
    findings: Vec<Row>,
    findings_left_out: u64,
    /// What takes what stops `gc` out of its way.
    ways_out: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    severity: &'static str,
    path: String,
    offset_bytes: Option<u64>,
    layer: Option<String>,
    block: Option<u64>,
    what: String,
    #[serde(skip)]
    line: String,
}

impl Row {
    fn new(finding: &Finding) -> Row {
        Row {
            severity: finding.severity.as_str(),
            path: finding.path.display().to_string(),
            offset_bytes: finding.offset,
            layer: finding.layer.map(|layer| layer.to_string()),
            block: finding.block.map(|block| block.0),
            what: finding.what.clone(),
            line: finding.to_string(),
        }
    }

    fn of_tree(found: &Found) -> Row {
        let Found { name, layer, severity, what } = found;
        Row {
            severity,
            path: name.clone(),
            offset_bytes: None,
            layer: Some(layer.to_string()),
            block: None,
            what: what.clone(),
            line: format!("{severity}: {name}: {what}"),
        }
    }
}

impl Report for Checked {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        for finding in &self.findings {
            writeln!(text, "{}", printable(&finding.line))?;
        }
        if self.findings_left_out > 0 {
            writeln!(text, "and {} more", self.findings_left_out)?;
        }
        for way in &self.ways_out {
            writeln!(text, "stops `gc`: {}", printable(way))?;
        }
        let verdict = match (self.is_sound, self.is_whole) {
            (false, _) => "damaged",
            (true, false) => "sound, but for what is of a newer version",
            (true, true) => "sound",
        };
        let looked_at = [
            (self.layers, "layer"),
            (self.names, "name"),
            (self.runs, "run"),
            (self.records, "record"),
            (self.extents, "extent"),
            (self.data_blocks, "data block"),
        ];
        let looked_at = looked_at.map(|(count, noun)| counted(count, noun)).join(", ");
        write!(text, "{verdict}: {looked_at}")?;
        if self.trees > 0 {
            let (trees, files) = (counted(self.trees, "tree"), counted(self.files, "file"));
            write!(text, ", {trees} of {files}")?;
        }
        if self.trees_not_whole > 0 {
            write!(text, ", {} that cannot be read whole", counted(self.trees_not_whole, "tree"))?;
        }
        writeln!(text)
    }
}

pub fn run(args: &CheckArgs, context: &Context<'_>) -> Result<Verdict> {
    let path = context.store_path()?;
    let host = context.open_host()?;
    let bar = context.output.progress("checking", None);
    let options = CheckOptions { data: args.data };
    let mut tell = |progress: CheckProgress| bar.set(progress.data_bytes);
    let report = inspect::check(&host, Path::new(""), &options, &mut tell);
    let report = report.map_err(|cause| match cause.kind() {
        // One that has lost its own file is not one that nobody made.
        ErrorKind::NoStore if host.list(Path::new("layers")).is_ok_and(|it| !it.is_empty()) => {
            CliError::Advised { cause, advice: MEND_OWN_FILE.to_owned() }
        }
        _ => cause.into(),
    })?;
    drop(bar);
    let store = Store::open_on(Arc::new(ReadOnly(host)), &context.store_options());
    let looked = store.map_err(CliError::from).and_then(|store| {
        let trees = check_trees(&store, &mut Told::by(&report))?;
        // Where not even that can be told, the findings say why.
        let ways =
            if report.is_sound() { Vec::new() } else { ways_out(&store).unwrap_or_default() };
        Ok((trees, ways))
    });
    let (trees, ways_out) = match looked {
        // Of what keeps the names from being listed the findings tell.
        Err(CliError::Engine(error)) if is_told(&report, &error) => Default::default(),
        looked => looked?,
    };
    let of_trees = trees.findings.iter().map(Row::of_tree);
    let findings: Vec<Row> = report.findings.iter().map(Row::new).chain(of_trees).collect();
    let has = |severity| findings.iter().any(|finding: &Row| finding.severity == severity);
    let is_sound = report.is_sound() && !has("damage");
    let is_whole = !has("newer");
    let counts = report.counts;
    context.print(&Checked {
        store: path.display().to_string(),
        is_sound,
        is_whole,
        layers: counts.layers,
        names: counts.names,
        indexes: counts.indexes,
        runs: counts.runs,
        records: counts.records,
        extents: counts.extents,
        data_blocks: counts.data_blocks,
        torn_tails: counts.torn_tails,
        trees: trees.trees,
        trees_not_whole: trees.trees_not_whole,
        files: trees.files,
        findings,
        findings_left_out: report.findings_left_out,
        ways_out,
    })?;
    Ok(match (is_sound, is_whole) {
        (false, _) => Verdict::No,
        (true, false) => Verdict::Damaged,
        (true, true) => Verdict::Done,
    })
}

/// Whether the findings say why a store of which they are cannot be opened, or its names not listed.
fn is_told(report: &CheckReport, error: &sapwood::Error) -> bool {
    error.is_newer() || error.is_damage() && !report.is_sound()
}
