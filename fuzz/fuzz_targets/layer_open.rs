//! Arbitrary bytes as a layer file, with checksums made right: opened, read, looked into, checked.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sapwood::chain::{Layers, View};
use sapwood::format::header::LayerState;
use sapwood::inspect::{CheckOptions, Severity, check_layer};
use sapwood::layer::{Layer, ReadPolicy, read_header};
use sapwood::medium::{Host, OpenMode};
use sapwood::testing::FolderLayers;
use sapwood::units::{ADDRESS_END, BlockAddress};
use sapwood::volume::look_in;
use sapwood_fuzz::{host_with, repair};

/// How many extents are read of what opens.
const EXTENTS_MAX: usize = 1000;

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if how % 4 != 0 {
        repair::layer(&mut bytes);
    }
    let probe = host_with(Path::new("probe"), &bytes);
    let medium = probe.open(Path::new("probe"), OpenMode::Read).expect("it was just made");
    let Ok(slots) = read_header(&*medium, Path::new("probe")) else { return };
    let header = slots.header;
    let path = FolderLayers::layer_path(header.layer);
    let host = host_with(&path, &bytes);
    let report = check_layer(&host, &path, &CheckOptions { data: true }, &mut |_| ())
        .expect("a file in memory can be read");
    let clean = report.findings.iter().all(|finding| finding.severity == Severity::Note);
    match header.state {
        LayerState::Open => match look_in(&host, &path) {
            Ok(layer) => {
                let read = read_extents(&layer);
                assert!(!clean || read.is_ok(), "checked and unreadable: {:?}", read.err());
            }
            Err(error) => assert!(!clean, "checked, and does not open: {error}"),
        },
        LayerState::Frozen => frozen(host, &header, clean),
    }
});

fn frozen(host: Arc<dyn Host>, header: &sapwood::format::Header, clean: bool) {
    let layers = Arc::new(FolderLayers::new(host, ReadPolicy::default(), 4));
    let wanted = header.layer_ref();
    let layer = match layers.layer(&wanted) {
        Ok(layer) => layer,
        Err(error) => {
            assert!(!clean, "checked, and does not open: {error}");
            return;
        }
    };
    let read = read_extents(&layer);
    assert!(!clean || read.is_ok(), "checked and unreadable: {:?}", read.err());
    let layers: Arc<dyn Layers> = layers;
    // Parents and sources are not there: what needs them is an error, never a panic.
    if let Ok(view) = View::open(layers, &wanted) {
        let mut block = vec![0; header.block_size.bytes_usize()];
        for extent in view.extents(BlockAddress(0), BlockAddress(ADDRESS_END)).take(EXTENTS_MAX) {
            let Ok(extent) = extent else { break };
            let read = view.read(extent.start, 0, &mut block);
            std::hint::black_box(&read);
        }
    }
}

fn read_extents(layer: &Layer) -> sapwood::Result<()> {
    for extent in layer.extents_from(BlockAddress(0))?.take(EXTENTS_MAX) {
        let extent = extent?;
        layer.find(extent.start)?;
        layer.find(BlockAddress(extent.end().0 - 1))?;
        if let sapwood::extent::Target::Data { source, block } = extent.target
            && source.0 == 0
        {
            let checksum = layer.checksum(extent.start)?;
            let mut bytes = vec![0; layer.header().block_size.bytes_usize()];
            layer.file().read(block, 0, &mut bytes, || Ok(checksum))?;
        }
    }
    Ok(())
}
