//! Arbitrary text as a Containerfile: read, or an error with a place that the text has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sapwood_build::containerfile::{Kind, parse, parse_trigger};

fuzz_target!(|data: &[u8]| {
    match parse(data) {
        Ok(file) => {
            let all = file.stages.iter().flat_map(|stage| &stage.instructions);
            for instruction in file.arguments.iter().chain(all) {
                assert!(instruction.position().line >= 1);
                if let Kind::OnBuild(trigger) = &instruction.kind {
                    // What is kept was read once already; an escape of its own may change it.
                    let _ = parse_trigger(trigger);
                }
            }
        }
        Err(error) => {
            let lines = data.split(|&byte| byte == b'\n').count();
            assert!(error.position.line as usize <= lines, "{error}");
        }
    }
});
