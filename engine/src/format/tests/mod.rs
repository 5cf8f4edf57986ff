//! The format as a whole: damage is seen, bytes are canonical, and the normative text agrees.

mod damage;
mod document;
mod samples;
