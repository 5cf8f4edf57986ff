//! Check and dump on mutated real files: whatever is found, no panic, and every item can be shown.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sapwood::inspect::{CheckOptions, DumpOptions, Severity, Verdict, check_layer, dump};
use sapwood_fuzz::{host_with, repair};

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else { return };
    let path = Path::new(match how % 4 {
        0 | 1 => "a.layer",
        2 => "a.index",
        _ => "a.name",
    });
    let mut bytes = bytes.to_vec();
    if how % 4 == 1 {
        repair::layer(&mut bytes);
    }
    let host = host_with(path, &bytes);
    let mut broken = 0;
    let mut length = 0;
    let options = DumpOptions { extents: how & 4 == 0 };
    dump(&host, path, &options, &mut |item| {
        broken += usize::from(matches!(item.verdict, Verdict::Broken(_)));
        length += item.to_string().len();
        Ok(())
    })
    .expect("a file in memory can be read");
    assert!(length > 0, "the file itself is always an item");
    if path == Path::new("a.layer") {
        let options = CheckOptions { data: how & 8 == 0 };
        let report = check_layer(&host, path, &options, &mut |_| ());
        let report = report.expect("a file in memory can be read");
        let noticed = report.findings.iter().any(|finding| finding.severity > Severity::Note);
        // A slot or a piece that the dump calls broken is never passed over by the check.
        assert!(broken == 0 || noticed || !report.findings.is_empty(), "{broken} broken items");
    }
});
