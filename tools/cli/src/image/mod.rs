//! Raw images and other files of the host: read with their holes, written with holes, in one go
//! or not at all.

mod device;
mod pump;
mod source;
mod target;

pub use self::device::DeviceTarget;
pub use self::pump::{Filler, pump};
pub use self::source::{RawSource, StreamSource};
pub use self::target::{FileTarget, StreamTarget, Target, aside_failed, replaceable};
