//! Users and groups of the host as the tree's own, by ranges: no file is touched.

use std::str::FromStr;

/// What an owner is shown as that no range maps: the kernel's overflow id.
pub const UNMAPPED_ID: u32 = 65534;

/// The id that means "leave it": it can belong to nobody.
const NO_ID: u32 = u32::MAX;

/// A run of ids that the host and the tree number differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id as processes on the host have it.
    pub host: u32,
    /// The first id as the tree stores it.
    pub tree: u32,
    /// How many follow each other.
    pub count: u32,
}

/// How ids of the tree are shown on the host and back; without a range they are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap {
    ranges: Vec<IdRange>,
}

impl IdMap {
    /// The map of these ranges, which may not overlap on either side; else what is wrong.
    pub fn new(ranges: Vec<IdRange>) -> Result<IdMap, String> {
        for side in [|range: &IdRange| range.host, |range: &IdRange| range.tree] {
            let mut runs: Vec<_> = ranges
                .iter()
                .map(|range| {
                    (u64::from(side(range)), u64::from(side(range)) + u64::from(range.count))
                })
                .collect();
            runs.sort_unstable();
            if runs.iter().any(|run| run.0 == run.1 || run.1 > u64::from(NO_ID)) {
                return Err(
                    "a range of ids holds at least one and ends below 4294967295".to_owned()
                );
            }
            if runs.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Err("ranges of ids overlap".to_owned());
            }
        }
        Ok(IdMap { ranges })
    }

    /// Whether ids are the same on both sides.
    pub fn is_identity(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The host's id for one of the tree; [`UNMAPPED_ID`] where no range has it.
    pub fn to_host(&self, tree: u32) -> u32 {
        self.map(tree, |range| range.tree, |range| range.host).unwrap_or(UNMAPPED_ID)
    }

    /// The tree's id for one of the host, where a range has it.
    pub fn to_tree(&self, host: u32) -> Option<u32> {
        self.map(host, |range| range.host, |range| range.tree)
    }

    fn map(
        &self,
        id: u32,
        from: impl Fn(&IdRange) -> u32,
        to: impl Fn(&IdRange) -> u32,
    ) -> Option<u32> {
        if self.is_identity() {
            return Some(id);
        }
        self.ranges.iter().find_map(|range| {
            let distance = id.checked_sub(from(range))?;
            (distance < range.count).then(|| to(range) + distance)
        })
    }
}

impl FromStr for IdRange {
    type Err = String;

    /// Reads `HOST:TREE:COUNT`.
    fn from_str(text: &str) -> Result<IdRange, String> {
        let numbers: Result<Vec<u32>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[host, tree, count]) => Ok(IdRange { host, tree, count }),
            _ => Err(format!("{text:?} is not HOST:TREE:COUNT in decimal numbers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_go_there_and_back() {
        let map = IdMap::new(vec![
            IdRange { host: 100_000, tree: 0, count: 65_536 },
            IdRange { host: 1000, tree: 70_000, count: 1 },
        ])
        .unwrap();
        assert_eq!(map.to_host(0), 100_000);
        assert_eq!(map.to_host(65_535), 165_535);
        assert_eq!(map.to_host(65_536), UNMAPPED_ID);
        assert_eq!(map.to_tree(1000), Some(70_000));
        assert_eq!(map.to_tree(1001), None);
        assert_eq!(map.to_tree(0), None);
        assert_eq!(IdMap::default().to_tree(5), Some(5));
        assert_eq!(IdMap::default().to_host(5), 5);
    }

    #[test]
    fn what_overlaps_or_ends_too_late_is_refused() {
        let range = |host, tree, count| IdRange { host, tree, count };
        assert!(IdMap::new(vec![range(0, 0, 10), range(9, 100, 1)]).is_err());
        assert!(IdMap::new(vec![range(0, 0, 10), range(100, 9, 1)]).is_err());
        assert!(IdMap::new(vec![range(0, 0, 0)]).is_err());
        assert!(IdMap::new(vec![range(u32::MAX, 0, 1)]).is_err());
        assert!(IdMap::new(vec![range(0, u32::MAX - 1, 1)]).is_ok());
        assert!(IdMap::new(vec![range(0, 0, 10), range(10, 10, 1)]).is_ok());
    }

    #[test]
    fn ranges_are_typed_with_colons() {
        assert_eq!("1:2:3".parse(), Ok(IdRange { host: 1, tree: 2, count: 3 }));
        for bad in ["", "1:2", "1:2:3:4", "a:2:3", "-1:2:3", "1:2:4294967296"] {
            assert!(bad.parse::<IdRange>().is_err(), "{bad}");
        }
    }
}
