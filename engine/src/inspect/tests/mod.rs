//! Check and dump on files made by the encoders of the format, whole and damaged.

mod build;
mod damage;
mod journal;
mod store;
mod tree;
mod whole;
