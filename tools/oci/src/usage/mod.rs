//! Who takes how much of a store: images, containers, the cache of builds, and all else.

mod beside;
mod forest;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sapwood::store::{DamagedName, Holding, Holdings, Removal};
use sapwood::{LayerId, NameEntry, NameKind, Result, Store};

use crate::Sha256;
use crate::image::{IMAGE_CREATED_LABEL, IMAGE_LABEL, list_what_is_left, made};
use crate::own_names::OwnNames;
use crate::time;
use forest::Forest;

pub use beside::{KEPT_DIRECTORIES, allocated_bytes};

/// What a store holds, each byte of it counted once in `classes`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The images, by their first tag.
    pub images: Vec<ImageUsage>,
    /// The containers, by name.
    pub containers: Vec<ContainerUsage>,
    /// What keeps layers of builds, and of pulls that broke, by name.
    pub cache: Vec<CacheUsage>,
    /// All that takes space, by what it is for.
    pub classes: Vec<ClassUsage>,
    /// The names of which not all can be read, by name, and the layers without a name. What of such a
    /// name is sound counts as damaged where nothing else needs it.
    pub damaged: Vec<Damaged>,
}

/// A name that does not verify, is of a newer version, or whose history is not whole, or a layer without a
/// name that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The name.
    pub name: Option<String>,
    /// The layer that is lost or damaged; none where it is the name itself.
    pub layer: Option<LayerId>,
    /// What is wrong with it.
    pub damage: String,
    /// Nothing is: a newer version made it.
    pub is_newer: bool,
}

/// An image. Sizes are what the host has allocated for the layer files that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUsage {
    /// Its tags.
    pub tags: Vec<String>,
    /// The digest of its configuration.
    pub id: Sha256,
    /// Its image layer.
    pub layer: LayerId,
    /// When the image was made, as its configuration says, else when it came to be here; in nanoseconds since
    /// 1970 UTC.
    pub created: Option<i64>,
    /// All that it needs.
    pub bytes: u64,
    /// Of that, what other images need too.
    pub shared_bytes: u64,
    /// The rest.
    pub unique_bytes: u64,
    /// How many containers stand on it.
    pub containers: u64,
}

/// A container: a volume that stands on an image, or one that somebody else knows as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// The volume.
    pub name: String,
    /// The first tag of the image that it stands on; none where that has none any more.
    pub image: Option<String>,
    /// What it has over the image.
    pub bytes: u64,
    /// With the image.
    pub whole_bytes: u64,
    /// Whether somebody has its volume open.
    pub in_use: bool,
}

/// What a build left for the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheUsage {
    /// The tag; of a build that is under way, or was killed, its volume.
    pub tag: String,
    /// When its newest layer was made, in nanoseconds since 1970 UTC.
    pub created: Option<i64>,
    /// All the layers that it keeps.
    pub bytes: u64,
    /// Of that, what images, containers or other names need too.
    pub shared_bytes: u64,
}

/// What space is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Layers that images need.
    Images,
    /// Of the rest, those that containers need.
    Containers,
    /// Of the rest, those that other tags and volumes need.
    Others,
    /// Of the rest, those that builds left.
    BuildCache,
    /// Directories that programs of builds keep for the next one.
    BuildDirectories,
    /// Layers that cannot be read, and what only names on such layers need.
    Damaged,
    /// Layers that no name needs: snapshots without a name, and what was removed.
    Unnamed,
    /// Merged indexes, which can be made again.
    Indexes,
    /// Names, locks, what belongs to running containers, folders.
    Beside,
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Class; 9] = [
        Class::Images,
        Class::Containers,
        Class::Others,
        Class::BuildCache,
        Class::BuildDirectories,
        Class::Damaged,
        Class::Unnamed,
        Class::Indexes,
        Class::Beside,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Images => "images",
            Class::Containers => "containers",
            Class::Others => "other trees and disks",
            Class::BuildCache => "build cache",
            Class::BuildDirectories => "kept directories",
            Class::Damaged => "unreadable",
            Class::Unnamed => "without a name",
            Class::Indexes => "indexes",
            Class::Beside => "names and bookkeeping",
        }
    }
}

/// What one class takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassUsage {
    /// Which.
    pub class: Class,
    /// How many images, containers, names or layers.
    pub count: u64,
    /// Of those, how many are in use: images by containers, containers by who has them open.
    pub active: u64,
    /// What they take.
    pub bytes: u64,
    /// What removing those that are not in use, and collecting, would free.
    pub reclaimable_bytes: u64,
}

/// What a store holds. `known_containers` are volumes that are containers whatever they stand on; those whose
/// volume nobody has open count as not in use.
///
/// A store with damaged layers is told as far as it can be read; what could be freed is what could be once
/// those are given up.
///
/// Layers by one look at all of them; what could be freed by planning collections.
pub fn usage(store: &Store, known_containers: &BTreeSet<String>) -> Result<Usage> {
    let holdings = store.holdings()?;
    let forest = Forest::of(&holdings);
    let named = Named::of(store, &holdings, known_containers)?;
    let by_class = classes(&holdings, &named);
    let told: HashSet<LayerId> =
        named.damaged.iter().filter_map(|(_, damaged)| damaged.layer).collect();
    let nameless = holdings.lost.iter().filter(|(id, _)| !told.contains(id));
    let nameless = nameless.map(|(id, lost)| Damaged {
        name: None,
        layer: Some(*id),
        damage: lost.damage.clone(),
        is_newer: lost.is_newer,
    });
    Ok(Usage {
        images: images(store, &forest, &named)?,
        containers: containers(&holdings, &forest, &named),
        cache: cache(store, &forest, &named, &by_class)?,
        classes: totals(store, &holdings, &named, &by_class)?,
        damaged: damaged(&holdings, &named, |_| true).into_iter().chain(nameless).collect(),
    })
}

/// The part of [`usage`] that is about tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagUsage {
    /// The images, by their first tag.
    pub images: Vec<ImageUsage>,
    /// What keeps layers of builds, and of pulls that broke, by name.
    pub cache: Vec<CacheUsage>,
    /// The tags of which not all can be read.
    pub damaged: Vec<Damaged>,
}

/// What images take, and what builds left. By one look at all layers, where there are such tags.
pub fn usage_of_tags(store: &Store) -> Result<TagUsage> {
    if list_what_is_left(store)?.is_empty() && !store.tags()?.iter().any(is_of_cache) {
        return Ok(TagUsage::default());
    }
    let holdings = store.holdings()?;
    let forest = Forest::of(&holdings);
    let named = Named::of(store, &holdings, &BTreeSet::new())?;
    let by_class = classes(&holdings, &named);
    Ok(TagUsage {
        images: images(store, &forest, &named)?,
        cache: cache(store, &forest, &named, &by_class)?,
        damaged: damaged(&holdings, &named, |kind| kind == NameKind::Tag),
    })
}

/// What is wrong with names of the kinds that are asked for, in order.
fn damaged(
    holdings: &Holdings,
    named: &Named<'_>,
    is_asked: impl Fn(NameKind) -> bool,
) -> Vec<Damaged> {
    let themselves = holdings.damaged_names.iter().filter(|name| is_asked(name.kind));
    let themselves = themselves.map(|DamagedName { name, damage, is_newer, .. }| Damaged {
        name: Some(name.clone()),
        layer: None,
        damage: damage.clone(),
        is_newer: *is_newer,
    });
    let by_layers = named.damaged.iter().filter(|(holding, _)| is_asked(holding.name.kind));
    let mut all: Vec<_> = by_layers.map(|(_, damaged)| damaged.clone()).chain(themselves).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn images(store: &Store, forest: &Forest<'_>, named: &Named<'_>) -> Result<Vec<ImageUsage>> {
    let users = forest.users(named.images.values().map(|(_, holding)| holding.tip));
    let size = |id: LayerId| forest.allocated_bytes(id);
    let whole = forest.sums(size);
    let unique = forest.sums(|id| if users[&id] == 1 { size(id) } else { 0 });
    let mut images = Vec::new();
    for (layer, (tags, holding)) in &named.images {
        let info = store.layer(*layer)?;
        let made = info.annotations.labels.get(IMAGE_CREATED_LABEL);
        let (bytes, unique_bytes) = (whole.of(holding.tip), unique.of(holding.tip));
        images.push(ImageUsage {
            tags: tags.iter().map(|(tag, _)| tag.clone()).collect(),
            id: tags[0].1,
            layer: *layer,
            created: made.and_then(|made| time::parse(made)).or(info.annotations.created),
            bytes,
            shared_bytes: bytes - unique_bytes,
            unique_bytes,
            containers: named.containers_of.get(layer).copied().unwrap_or(0),
        });
    }
    images.sort_by(|a, b| a.tags.cmp(&b.tags));
    Ok(images)
}

fn containers(holdings: &Holdings, forest: &Forest<'_>, named: &Named<'_>) -> Vec<ContainerUsage> {
    let whole = forest.sums(|id| forest.allocated_bytes(id));
    let mut containers = Vec::new();
    for (holding, image) in &named.containers {
        let image = image.and_then(|image| named.images.get(&image));
        let whole_bytes = whole.of(holding.tip);
        // What the image borrows, the container does.
        let below = image.map_or(0, |(_, image)| whole.of(image.tip));
        containers.push(ContainerUsage {
            name: holding.name.name.clone(),
            image: image.map(|(tags, _)| tags[0].0.clone()),
            bytes: whole_bytes - below,
            whole_bytes,
            in_use: holdings.in_use.contains(&holding.name.top),
        });
    }
    containers
}

fn cache(
    store: &Store,
    forest: &Forest<'_>,
    named: &Named<'_>,
    by_class: &HashMap<LayerId, Class>,
) -> Result<Vec<CacheUsage>> {
    let size = |id: LayerId| forest.allocated_bytes(id);
    let whole = forest.sums(size);
    let is_shared = |id: LayerId| by_class[&id] != Class::BuildCache;
    let shared = forest.sums(|id| if is_shared(id) { size(id) } else { 0 });
    let mut cache = Vec::new();
    for holding in &named.cache {
        cache.push(CacheUsage {
            tag: holding.name.name.clone(),
            created: made(&store.layer(holding.name.top)?.annotations),
            bytes: whole.of(holding.tip),
            shared_bytes: shared.of(holding.tip),
        });
    }
    Ok(cache)
}

/// The tags of an image with the digest of its configuration, and what it needs.
pub(crate) type TaggedImage<'a> = (Vec<(String, Sha256)>, &'a Holding);

/// The names of a store, by what they are.
pub(crate) struct Named<'a> {
    /// By image layer.
    pub images: BTreeMap<LayerId, TaggedImage<'a>>,
    /// With the image layer that each stands on; none of one that is no image.
    pub containers: Vec<(&'a Holding, Option<LayerId>)>,
    pub containers_of: HashMap<LayerId, u64>,
    pub cache: Vec<&'a Holding>,
    pub others: Vec<&'a Holding>,
    /// Those of which not all can be read.
    pub damaged: Vec<(&'a Holding, Damaged)>,
}

impl<'a> Named<'a> {
    pub fn of(
        store: &Store,
        holdings: &'a Holdings,
        known_containers: &BTreeSet<String>,
    ) -> Result<Named<'a>> {
        let tags: HashMap<_, _> = list_what_is_left(store)?.into_iter().collect();
        let image_layers: HashSet<LayerId> = store
            .kept_snapshots()?
            .into_iter()
            .filter(|snapshot| snapshot.annotations.labels.contains_key(IMAGE_LABEL))
            .map(|snapshot| snapshot.id)
            .collect();
        let forest = Forest::of(holdings);
        let image_below = forest.nearest(|id| image_layers.contains(&id));
        let mut named = Named {
            images: BTreeMap::new(),
            containers: Vec::new(),
            containers_of: HashMap::new(),
            cache: Vec::new(),
            others: Vec::new(),
            damaged: Vec::new(),
        };
        for holding in &holdings.names {
            let (name, top) = (&holding.name.name, holding.name.top);
            let lost = holding.lost.map(|layer| {
                let lost = &holdings.lost[&layer];
                Damaged {
                    name: Some(name.clone()),
                    layer: Some(layer),
                    damage: lost.damage.clone(),
                    is_newer: lost.is_newer,
                }
            });
            let tag = tags.get(name);
            let unreadable = || tag.and_then(|image| image.as_ref().err().cloned());
            if let Some(damaged) = lost.or_else(unreadable) {
                named.damaged.push((holding, damaged));
                continue;
            }
            if is_of_cache(&holding.name) {
                named.cache.push(holding);
                continue;
            }
            if let Some(Ok(digest)) = tag {
                let image = named.images.entry(top).or_insert((Vec::new(), holding));
                image.0.push((name.clone(), *digest));
                continue;
            }
            let image = holding.tip.and_then(|tip| image_below.get(&tip).copied());
            let is_container = image.is_some() || known_containers.contains(name);
            if holding.name.kind == NameKind::Volume && is_container {
                named.containers.push((holding, image));
                if let Some(image) = image {
                    *named.containers_of.entry(image).or_default() += 1;
                }
            } else {
                named.others.push(holding);
            }
        }
        Ok(named)
    }
}

/// Whether a name keeps what builds and broken pulls left.
fn is_of_cache(name: &NameEntry) -> bool {
    let kept = [OwnNames::BUILD_CACHE, OwnNames::BUILD_VOLUMES, OwnNames::PARTIAL];
    kept.iter().any(|names| names.hold(name))
}

/// Whether this is of an image that is being built or is coming in: nobody has left it so far.
pub(crate) fn is_being_made(holding: &Holding, holdings: &Holdings) -> bool {
    let name = &holding.name;
    let is_of_one = OwnNames::BUILD_VOLUMES.hold(name) || OwnNames::PARTIAL.hold(name);
    is_of_one && holdings.in_use.contains(&name.top)
}

/// What each layer file is for: the first class, in order, that needs it.
fn classes(holdings: &Holdings, named: &Named<'_>) -> HashMap<LayerId, Class> {
    let mut classes = HashMap::new();
    let mut walked = HashSet::new();
    let mut add = |holding: &Holding, class: Class| {
        // From a layer that an earlier walk met on down, all were met.
        for id in holdings.history(holding.tip).take_while(|id| walked.insert(*id)) {
            for needed in holdings.layers[&id].lenders.iter().chain([&id]) {
                classes.entry(*needed).or_insert(class);
            }
        }
    };
    named.images.values().for_each(|(_, holding)| add(holding, Class::Images));
    named.containers.iter().for_each(|(holding, _)| add(holding, Class::Containers));
    named.others.iter().for_each(|holding| add(holding, Class::Others));
    named.cache.iter().for_each(|holding| add(holding, Class::BuildCache));
    named.damaged.iter().for_each(|(holding, _)| add(holding, Class::Damaged));
    for id in holdings.layers.keys() {
        classes.entry(*id).or_insert(Class::Unnamed);
    }
    classes
}

fn totals(
    store: &Store,
    holdings: &Holdings,
    named: &Named<'_>,
    by_class: &HashMap<LayerId, Class>,
) -> Result<Vec<ClassUsage>> {
    let mut bytes: HashMap<Class, u64> = HashMap::new();
    for (id, layer) in &holdings.layers {
        *bytes.entry(by_class[id]).or_default() += layer.allocated_bytes;
    }
    let unreadable = holdings.lost.iter().filter(|(id, _)| !holdings.layers.contains_key(id));
    let unreadable: u64 = unreadable.map(|(_, lost)| lost.allocated_bytes).sum();
    *bytes.entry(Class::Damaged).or_default() += unreadable;
    let beside = beside::measure(store, holdings)?;
    bytes.insert(Class::BuildDirectories, beside.directory_bytes);
    bytes.insert(Class::Indexes, beside.index_bytes);
    bytes.insert(Class::Beside, beside.other_bytes);

    let unused: BTreeSet<String> = unused_images(named, &BTreeSet::new());
    let idle: BTreeSet<String> = named
        .containers
        .iter()
        .filter(|(holding, _)| !holdings.in_use.contains(&holding.name.top))
        .map(|(holding, _)| holding.name.name.clone())
        .collect();
    let left = named.cache.iter().filter(|holding| !is_being_made(holding, holdings));
    let left: BTreeSet<String> = left.map(|holding| holding.name.name.clone()).collect();
    let garbage = store.would_free(&Removal::default())?.freed_bytes();
    let frees = |names: &BTreeSet<String>| -> Result<u64> {
        if names.is_empty() {
            return Ok(0);
        }
        let removal = Removal { names: names.clone(), ..Removal::default() };
        Ok(store.would_free(&removal)?.freed_bytes().saturating_sub(garbage))
    };
    let used = named.images.keys().filter(|image| named.containers_of.contains_key(image)).count();
    let unnamed = by_class.values().filter(|class| **class == Class::Unnamed).count();
    let class = |class: Class, count: usize, active: usize, reclaimable_bytes: u64| ClassUsage {
        class,
        count: count as u64,
        active: active as u64,
        bytes: bytes.get(&class).copied().unwrap_or(0),
        reclaimable_bytes,
    };
    let (images, containers) = (named.images.len(), named.containers.len());
    let (cache, others) = (named.cache.len(), named.others.len());
    let damaged = named.damaged.len() + holdings.damaged_names.len();
    let mut classes = vec![
        class(Class::Images, images, used, frees(&unused)?),
        class(Class::Containers, containers, containers - idle.len(), frees(&idle)?),
        class(Class::Others, others, others, 0),
        class(Class::BuildCache, cache, cache - left.len(), frees(&left)?),
        class(Class::BuildDirectories, beside.directories as usize, 0, beside.directory_bytes),
        class(Class::Damaged, damaged, 0, 0),
        class(Class::Unnamed, unnamed, 0, garbage),
        class(Class::Indexes, beside.indexes as usize, beside.indexes as usize, 0),
        class(Class::Beside, 0, 0, 0),
    ];
    if holdings.lost.is_empty() && damaged == 0 {
        classes.retain(|row| row.class != Class::Damaged);
    }
    Ok(classes)
}

/// The tags of images that no container stands on, but for those that go.
pub(crate) fn unused_images(named: &Named<'_>, going: &BTreeSet<String>) -> BTreeSet<String> {
    let staying =
        named.containers.iter().filter(|(holding, _)| !going.contains(&holding.name.name));
    let used: HashSet<LayerId> = staying.filter_map(|(_, image)| *image).collect();
    let unused = named.images.iter().filter(|(image, _)| !used.contains(image));
    unused.flat_map(|(_, (tags, _))| tags.iter().map(|(tag, _)| tag.clone())).collect()
}
