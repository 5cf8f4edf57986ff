//! Chains longer than any other can be.

use super::*;

/// A chain whose layers are made when they are asked for, so that it can be of any length.
#[derive(Debug)]
struct Fabricated {
    host: Arc<dyn Host>,
}

impl Fabricated {
    fn id(number: u64) -> LayerId {
        let mut id = [3; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        LayerId(id)
    }

    /// Layer `number` of the chain, in a file of its own host.
    fn write(number: u64, parent: Option<LayerRef>) -> (Arc<dyn Host>, LayerRef) {
        let host: Arc<dyn Host> = Arc::new(MemoryHost::new());
        let path = FolderLayers::layer_path(Fabricated::id(number));
        let geometry = (BlockSize::DEFAULT, 1 << 40);
        let id = Fabricated::id(number);
        let mut builder = LayerBuilder::create(&*host, &path, id, geometry, parent).unwrap();
        builder.hollow(BlockAddress(number * 2), 1);
        let reference = builder.finish().unwrap();
        (host, reference)
    }

    /// What a child records of layer `number`: its own parent does not enter.
    fn reference(number: u64) -> LayerRef {
        Fabricated::write(number, None).1
    }
}

impl Layers for Fabricated {
    fn layer(&self, wanted: &LayerRef) -> Result<Arc<crate::layer::Layer>> {
        let number = u64::from_le_bytes(wanted.id.0[..8].try_into().unwrap());
        let parent = number.checked_sub(1).map(Fabricated::reference);
        let (host, _) = Fabricated::write(number, parent);
        FolderLayers::new(host, ReadPolicy::default(), 1).layer(wanted)
    }

    fn open_to_freeze(&self, _id: LayerId) -> Result<Arc<dyn Medium>> {
        unreachable!("nothing is frozen here")
    }

    fn frozen_layer(
        &self,
        _wanted: &LayerRef,
        _file: Arc<dyn Medium>,
    ) -> Result<Arc<crate::layer::Layer>> {
        unreachable!("nothing is frozen here")
    }

    fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    fn index_path(&self, tip: LayerId) -> std::path::PathBuf {
        format!("{tip}.index").into()
    }

    fn read_policy(&self) -> ReadPolicy {
        ReadPolicy::default()
    }
}

#[test]
fn depth_is_bounded_by_nothing_but_memory() {
    let layers = Arc::new(Fabricated { host: Arc::new(MemoryHost::new()) });
    let depth = 50_000;
    let tip = Fabricated::reference(depth - 1);
    let view = View::open(layers.clone(), &tip).unwrap();
    let check = |view: &View| {
        assert_eq!(view.depth(), depth);
        for number in [0, 1, depth / 2, depth - 1] {
            let expected = ViewTarget::Data {
                owner: Fabricated::id(number),
                block: FileBlock(2),
                depth: depth - 1 - number,
            };
            assert_eq!(view.find(BlockAddress(number * 2)).unwrap().target, expected);
            assert_eq!(view.find(BlockAddress(number * 2 + 1)).unwrap().target, ViewTarget::Hole);
        }
    };
    check(&view);
    // By its index the next one opens the tip alone.
    check(&View::open(layers, &tip).unwrap());
}
