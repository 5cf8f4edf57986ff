//! `stat`: tells what is known of a file in a tree.

use std::io;
use std::os::unix::ffi::OsStrExt;

use sapwood::files::{Attributes, FilesView, Inode, Paths, ReadFiles, Time};
use serde::Serialize;

use crate::args::StatArgs;
use crate::context::Context;
use crate::error::{Result, Verdict};
use crate::output::table::write_fields;
use crate::output::time::utc_seconds;
use crate::output::{Report, Text, printable_bytes};
use crate::tree::{FileReport, TreePath, hex, kind_word, mode_text, open_view};

#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    file: FileReport,
    extended_attributes: Vec<ExtendedAttribute>,
    #[serde(skip)]
    place: &'a TreePath,
    #[serde(skip)]
    attributes: Attributes,
}

#[derive(Serialize)]
struct ExtendedAttribute {
    name: String,
    value_hex: String,
    #[serde(skip)]
    shown: String,
}

impl Report for Told<'_> {
    fn write_text(&self, text: &mut Text<'_>) -> io::Result<()> {
        let attributes = &self.attributes;
        let units = text.units;
        let time = |time: Time| utc_seconds(time.seconds);
        let (permissions, mode) = (attributes.permissions, mode_text(attributes));
        let mut fields =
            vec![("file", self.place.to_string()), ("kind", kind_word(attributes.kind).to_owned())];
        fields.extend(self.file.target_text().map(|target| ("target", target.to_owned())));
        if let Some((major, minor)) = self.file.attributes.device {
            fields.push(("device", format!("{major}, {minor}")));
        }
        fields.extend([
            ("inode", format!("{}, generation {}", attributes.inode, attributes.generation)),
            ("links", attributes.links.to_string()),
            ("permissions", format!("{permissions:04o} {mode}")),
            ("owner", attributes.owner.to_string()),
            ("group", attributes.group.to_string()),
            ("size", units.size(attributes.size)),
            ("allocated", units.size(attributes.allocated_bytes)),
            ("accessed", time(attributes.accessed)),
            ("modified", time(attributes.modified)),
            ("changed", time(attributes.changed)),
            ("created", time(attributes.created)),
        ]);
        for attribute in &self.extended_attributes {
            fields.push(("attribute", attribute.shown.clone()));
        }
        write_fields(text, &fields)
    }
}

pub fn run(args: &StatArgs, context: &Context<'_>) -> Result<Verdict> {
    let store = context.open_store()?;
    let place = &args.path;
    let view = open_view(&store, &place.reference)?;
    let attributes = place.named(Paths::new(&view).symlink_metadata(&place.path))?;
    let path = place.path.as_os_str().as_bytes();
    let file = FileReport::new(&place.reference, path, path, &attributes, &view)?;
    let extended_attributes = extended_attributes(&view, attributes.inode)?;
    context.print(&Told { file, extended_attributes, place, attributes })
}

fn extended_attributes(view: &FilesView, inode: Inode) -> Result<Vec<ExtendedAttribute>> {
    let mut attributes = Vec::new();
    for name in view.extended_attribute_names(inode)? {
        let value = view.extended_attribute(inode, &name)?;
        let name = printable_bytes(&name);
        // As `getfattr` has it: bytes that are no text are told in digits.
        let shown = match std::str::from_utf8(&value) {
            Ok(text) if !text.contains(char::is_control) => format!("{name}=\"{text}\""),
            _ => format!("{name}=0x{}", hex(&value)),
        };
        attributes.push(ExtendedAttribute { name, value_hex: hex(&value), shown });
    }
    Ok(attributes)
}
