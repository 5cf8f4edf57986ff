//! The command as people and programs use it: every verb, every JSON document, every exit code.

mod archives;
mod builds;
mod containers;
mod disks;
mod exit_codes;
mod ids;
mod images;
mod interrupted;
mod json;
mod json_page;
mod life;
mod load;
mod mount;
mod newer;
mod readme;
mod real_image;
mod recovery;
mod registries;
mod removals;
mod saves;
mod support;
mod tour;
mod trees;
mod unreadable;
mod verbs;
