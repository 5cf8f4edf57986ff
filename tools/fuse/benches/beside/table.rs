//! What was measured, of whom, and the medians beside each other.

use std::collections::BTreeMap;
use std::time::Duration;

/// A figure under a name.
pub struct Row {
    pub name: &'static str,
    pub figure: Figure,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    Time(Duration),
    Bytes(u64),
}

/// Rows in the order in which they came, each with the figures of all who were measured.
#[derive(Default)]
pub struct Table {
    names: Vec<&'static str>,
    figures: BTreeMap<(usize, &'static str), Vec<Figure>>,
}

impl Table {
    /// Adds a row of the one with this number.
    pub fn add(&mut self, number: usize, Row { name, figure }: Row) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.figures.entry((number, name)).or_default().push(figure);
    }

    /// Prints the medians, and the first one's over each of the others'.
    pub fn print(&mut self, heads: &[&str]) {
        print!("{:<42}", "");
        heads.iter().for_each(|head| print!("{head:>24}"));
        heads[1..].iter().for_each(|head| print!("{:>26}", format!("x {head}")));
        println!();
        for &name in &self.names {
            let medians: Vec<Figure> = (0..heads.len())
                .map(|number| {
                    let all = self.figures.get_mut(&(number, name)).expect("each ran each row");
                    all.sort_unstable();
                    all[all.len() / 2]
                })
                .collect();
            print!("{name:<42}");
            medians.iter().for_each(|median| print!("{:>24}", median.shown()));
            for median in &medians[1..] {
                print!("{:>26}", format!("{:.4}", medians[0].number() / median.number()));
            }
            println!();
        }
    }
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Figure::Time(time) => time.as_secs_f64(),
            Figure::Bytes(bytes) => bytes as f64,
        }
    }

    fn shown(self) -> String {
        match self {
            Figure::Time(time) if time < Duration::from_millis(1) => {
                format!("{:.1} us", time.as_secs_f64() * 1e6)
            }
            Figure::Time(time) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
            Figure::Bytes(bytes) if bytes < 1 << 20 => format!("{:.1} KiB", bytes as f64 / 1024.0),
            Figure::Bytes(bytes) => format!("{} MiB", bytes >> 20),
        }
    }
}
